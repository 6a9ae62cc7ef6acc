"""Learning from logged prices alone, without a simulated market."""
