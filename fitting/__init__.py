"""From a shop's tables to a market."""
