"""What off-policy learning needs: where it opens, and Q-networks for prices in order."""
