"""What a policy is worth: paired comparison, exact optima, the report."""

from .ablation import Without
from .collusion import CollusionAudit, Yardstick, audit, profit_gain, yardstick
from .comparison import Comparison, Estimate, Row, evaluate
from .fidelity import fidelity
from .league import LeagueVerdict, judge_league
from .optimum import Optimum, exact_value, solve
from .policies import RULES, named_policy
from .sales import SalesRecorder

__all__ = [
    "RULES",
    "CollusionAudit",
    "Comparison",
    "Estimate",
    "LeagueVerdict",
    "Optimum",
    "Row",
    "SalesRecorder",
    "Without",
    "Yardstick",
    "audit",
    "evaluate",
    "exact_value",
    "fidelity",
    "judge_league",
    "named_policy",
    "profit_gain",
    "solve",
    "yardstick",
]
