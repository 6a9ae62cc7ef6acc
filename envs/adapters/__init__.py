"""Adapters of the market for Gymnasium, Stable-Baselines3 and PettingZoo, and the learner's view
that they share.
"""
