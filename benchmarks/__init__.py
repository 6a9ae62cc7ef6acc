"""What measures speed: each file prints a table and can be run alone."""
