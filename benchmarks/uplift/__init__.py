"""Predicted against realised gains on synthetic shops whose customers are known."""

from .families import FAMILIES
from .shop import Shop, draw_shop

__all__ = ["FAMILIES", "Shop", "draw_shop"]
