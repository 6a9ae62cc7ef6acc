"""Networks of policies, against the one that a preset has."""
