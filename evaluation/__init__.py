"""Evaluation of policies: paired comparisons, exact optima, off-policy estimates, explanations and the report."""

from ..optimum import Bound, Optimum, exact_value, solve, upper_bound
from .compare.ablation import Without
from .compare.comparison import Comparison, Estimate, Row, evaluate
from .compare.stress import StressRow, StressTable, stress_table
from .compare.training_seeds import interquartile_mean
from .competition.collusion import CollusionAudit, Yardstick, audit, profit_gain, yardstick
from .competition.league_verdict import LeagueVerdict, judge_league
from .explanation.price_explanation import PriceExplanation, explain
from .explanation.surrogate import SurrogateTree, surrogate_tree
from .fit_quality.fidelity import fidelity
from .off_policy.estimators import OffPolicy, estimate_from_log
from .off_policy.price_log import LogRecorder, PriceLog, read_log
from .policies import POLICY_NAMES, named_policy
from .sales import SalesRecorder
from .what_if import WhatIf, what_if

__all__ = [
    "POLICY_NAMES",
    "Bound",
    "CollusionAudit",
    "Comparison",
    "Estimate",
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
    "WhatIf",
    "Without",
    "Yardstick",
    "audit",
    "estimate_from_log",
    "evaluate",
    "exact_value",
    "explain",
    "fidelity",
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
