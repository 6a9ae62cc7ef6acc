"""This project's PPO on the inventory markets of gym-invmgmt, beside the results that its authors publish."""
