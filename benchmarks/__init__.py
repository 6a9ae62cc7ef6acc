"""Benchmarks of speed, and fingerprints of the numbers; each file can be run by itself."""
