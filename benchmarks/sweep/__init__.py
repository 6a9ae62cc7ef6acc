"""Many trainings in one table: every algorithm on every market with every seed."""

from .plan import Sweep, SweepError
from .run import run_sweep
from .summary import Summary, summarise

__all__ = ["Summary", "Sweep", "SweepError", "run_sweep", "summarise"]
