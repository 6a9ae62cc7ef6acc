"""What protects the persons in the tables: refused columns, roles, the log of who read."""
