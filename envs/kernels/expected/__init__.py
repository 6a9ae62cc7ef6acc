"""Means of a period in closed form, before the draw: units demanded, units sold, money."""
