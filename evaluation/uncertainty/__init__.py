"""Policies under parameter uncertainty: gains over posterior draws, break-even points, the recommended prices."""

from .assessment import Assessment, assess
from .break_even import BreakEven, Crossing, break_even
from .by_product import ProductFigures, product_figures
from .candidates import Candidate, candidates, words_of
from .draws import DrawComparison, compare_draws
from .gain import Gain
from .past import past_lines, plan_beside_past
from .recommendation import RULE, Recommendation, Rule, Standing, costs_assumed, recommend
from .support import charged_range, joint_outside
from .zones import heterogeneity, zone_lines

__all__ = [
    "RULE",
    "Assessment",
    "BreakEven",
    "Candidate",
    "Crossing",
    "DrawComparison",
    "Gain",
    "ProductFigures",
    "Recommendation",
    "Rule",
    "Standing",
    "assess",
    "break_even",
    "candidates",
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
