"""Price experiments: their plan, their reading, and certificates of what prices lose at most."""
