"""How the report writes figures."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..compare.comparison import Estimate

NORMAL95 = 1.96


def known(value: Any) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def number(value: Any, digits: int | None = None) -> str:
    """A number with thousands separators and a true minus sign; a dash for an unknown value."""
    if not known(value):
        return "–"
    if digits is None:
        digits = 0 if isinstance(value, int) or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def percent(value: Any, digits: int = 1) -> str:
    """A fraction as a percentage; a dash for an unknown value."""
    return f"{number(100 * value, digits)}%" if known(value) else "–"


def estimate(mean: Any, error: Any) -> Estimate:
    """A figure with a standard error as a mean with its 95% interval."""
    half = NORMAL95 * error if known(error) else math.inf
    return Estimate(mean, mean - half, mean + half) if known(mean) else Estimate(math.nan, math.nan, math.nan)
