"""Policies under parameter uncertainty: gains over posterior draws, and the recommended prices."""

from .assessment import Assessment, assess, past_lines, plan_beside_past
from .by_product import ProductFigures, product_figures
from .draws import DrawComparison, Gain, charged_range, compare_draws, joint_outside
from .recommendation import RULE, Candidate, candidates, costs_assumed, recommend, words_of
from .zones import ZoneGain, chain_gain, heterogeneity, zone_lines

__all__ = [
    "RULE",
    "Assessment",
    "Candidate",
    "DrawComparison",
    "Gain",
    "ProductFigures",
    "ZoneGain",
    "assess",
    "candidates",
    "chain_gain",
    "charged_range",
    "compare_draws",
    "costs_assumed",
    "heterogeneity",
    "joint_outside",
    "past_lines",
    "plan_beside_past",
    "product_figures",
    "recommend",
    "words_of",
    "zone_lines",
]
