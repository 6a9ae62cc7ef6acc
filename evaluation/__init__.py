"""Evaluation of policies: paired comparisons, exact optima, off-policy estimates, explanations and the report."""

from ..optimum import Bound, Optimum, exact_value, solve, upper_bound
from .comparison import Comparison, Estimate, Row, Without, evaluate, interquartile_mean
from .competition import (
    CollusionAudit,
    LeagueVerdict,
    Yardstick,
    audit,
    audit_policy,
    judge_league,
    profit_gain,
    yardstick,
)
from .explanation import PriceExplanation, SurrogateTree, explain, surrogate_tree
from .fairness import GroupFigures, group_figures
from .fit_quality import fidelity
from .off_policy import OffPolicy, estimate_from_log
from .policies import POLICY_NAMES, named_policy
from .price_log import LogRecorder, PriceLog, read_log
from .sales import SalesRecorder
from .stress import StressRow, StressTable, stress_table
from .what_if import TriedPrices, what_if

__all__ = [
    "POLICY_NAMES",
    "Bound",
    "CollusionAudit",
    "Comparison",
    "Estimate",
    "GroupFigures",
    "LeagueVerdict",
    "LogRecorder",
    "OffPolicy",
    "Optimum",
    "PriceExplanation",
    "PriceLog",
    "Row",
    "SalesRecorder",
    "StressRow",
    "StressTable",
    "SurrogateTree",
    "TriedPrices",
    "Without",
    "Yardstick",
    "audit",
    "audit_policy",
    "estimate_from_log",
    "evaluate",
    "exact_value",
    "explain",
    "fidelity",
    "group_figures",
    "interquartile_mean",
    "judge_league",
    "named_policy",
    "profit_gain",
    "read_log",
    "solve",
    "stress_table",
    "surrogate_tree",
    "upper_bound",
    "what_if",
    "yardstick",
]
