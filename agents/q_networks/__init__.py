"""Q-networks for prices in order."""
