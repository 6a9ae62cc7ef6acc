"""What a policy is worth: paired comparison, exact optima, the report."""

from .comparison import Comparison, Estimate, Row, evaluate
from .optimum import Optimum, exact_value, solve
from .policies import RULES, named_policy
from .sales import SalesRecorder

__all__ = [
    "RULES",
    "Comparison",
    "Estimate",
    "Optimum",
    "Row",
    "SalesRecorder",
    "evaluate",
    "exact_value",
    "named_policy",
    "solve",
]
