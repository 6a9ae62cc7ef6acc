"""Who answers a market, and what is done with many answers at once."""
