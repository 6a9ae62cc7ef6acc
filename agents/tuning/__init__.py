"""Search over an algorithm's settings."""
