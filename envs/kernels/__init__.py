"""The compiled stages of a period, in the order that period.py runs them, with their arrays and scratch."""
