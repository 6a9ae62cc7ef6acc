"""Scenario files of markets whose optimum is known."""
