"""The compiled stages of a period; period.py runs them in order."""
