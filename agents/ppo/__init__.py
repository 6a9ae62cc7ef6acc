"""Proximal policy optimisation with a compiled update."""
