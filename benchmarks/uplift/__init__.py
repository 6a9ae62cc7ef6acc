"""Predicted against realised gains on synthetic shops whose customers are known."""

from .history import FAMILIES
from .settings import BOUNDS, FORECASTERS, StudySettings
from .shop import Shop, draw_shop
from .study import run_study, summarise

__all__ = ["BOUNDS", "FAMILIES", "FORECASTERS", "Shop", "StudySettings", "draw_shop", "run_study", "summarise"]
