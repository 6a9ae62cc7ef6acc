"""Benchmarks of speed and of what methods are worth; each file can be run by itself."""
