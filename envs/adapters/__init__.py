"""Adapters of the market for Gymnasium, Stable-Baselines3 and PettingZoo."""
