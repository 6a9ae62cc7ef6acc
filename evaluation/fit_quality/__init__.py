"""Whether the fitted market sells what the shop sold."""
