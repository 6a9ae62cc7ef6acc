"""A signed policy bundle: its files, its signature, and how it is read and verified."""
