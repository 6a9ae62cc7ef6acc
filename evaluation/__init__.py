"""What a policy is worth: paired comparison, exact optima, the report."""

from .ablation import Without
from .collusion import CollusionAudit, Yardstick, audit, profit_gain, yardstick
from .comparison import Comparison, Estimate, Row, evaluate
from .explanation import Explanation, explain
from .fidelity import fidelity
from .league import LeagueVerdict, judge_league
from .logs import LogRecorder, PriceLog, read_log
from .off_policy import OffPolicy, estimate_from_log
from .optimum import Bound, Optimum, exact_value, solve, upper_bound
from .policies import RULES, named_policy
from .sales import SalesRecorder
from .stress import StressRow, StressTable, stress_table
from .surrogate import SurrogateTree, surrogate_tree
from .training_seeds import interquartile_mean

__all__ = [
    "RULES",
    "Bound",
    "CollusionAudit",
    "Comparison",
    "Estimate",
    "Explanation",
    "LeagueVerdict",
    "LogRecorder",
    "OffPolicy",
    "Optimum",
    "PriceLog",
    "Row",
    "SalesRecorder",
    "StressRow",
    "StressTable",
    "SurrogateTree",
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
    "yardstick",
]
