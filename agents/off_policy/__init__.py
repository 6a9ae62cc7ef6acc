"""Where off-policy learning opens."""
