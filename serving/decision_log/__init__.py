"""The append-only log of decisions and of the sales that followed."""
