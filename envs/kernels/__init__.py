"""The compiled stages of a period, in the order in which period.py runs them, with their arrays and
scratch.
"""
