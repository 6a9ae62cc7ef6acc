"""Rows that can be read but hardly be meant, and customers who may be none."""
