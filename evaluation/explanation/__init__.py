"""Explanations of a single price and of a whole policy."""
