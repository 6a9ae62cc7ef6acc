"""The append-only log of decisions and outcomes."""
