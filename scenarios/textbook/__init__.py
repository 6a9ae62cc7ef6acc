"""Scenario files that come with the package: textbook markets, benchmarks, shops."""
