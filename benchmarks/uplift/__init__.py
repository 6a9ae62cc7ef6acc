"""Predicted against realised gains on synthetic shops whose customers are known."""

from .estimates import run_estimates, summarise_estimates
from .history import FAMILIES
from .settings import StudySettings
from .shop import draw_shop, shop_tables
from .study import run_study, summarise
from .truth import Truth

__all__ = [
    "FAMILIES",
    "StudySettings",
    "Truth",
    "draw_shop",
    "run_estimates",
    "run_study",
    "shop_tables",
    "summarise",
    "summarise_estimates",
]
