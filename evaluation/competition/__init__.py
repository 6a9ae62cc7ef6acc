"""Markets with several sellers: collusion audit and league verdict."""
