"""The market as Gymnasium, Stable-Baselines3 and PettingZoo expect it."""
