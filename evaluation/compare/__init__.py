"""Policies side by side: paired comparison, stress tests, ablations."""
