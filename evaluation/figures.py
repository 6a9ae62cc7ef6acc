"""How the verdict and the report write figures."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..scenarios import MarketSpec


def known(value: Any) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def number(value: Any, digits: int | None = None) -> str:
    """A number with thousands separators and a true minus sign; a dash for an unknown value.

    Example:
        >>> number(-1234.5), number(0.25), number(None)
        ('−1,234', '0.25', '–')
    """
    if not known(value):
        return "–"
    if digits is None:
        digits = _usual_digits(value)
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def _usual_digits(value: float) -> int:
    if isinstance(value, int) or abs(value) >= 1000:
        return 0
    return 1 if abs(value) >= 100 else 2


def percent(value: Any, digits: int = 1) -> str:
    """A fraction as a percentage; a dash for an unknown value.

    Example:
        >>> percent(0.125)
        '12.5%'
    """
    return f"{number(100 * value, digits)}%" if known(value) else "–"


def currency_of(spec: MarketSpec) -> str:
    """The currency after a space, or nothing where the scenario does not name it."""
    return "" if spec.market.currency == "currency" else f" {spec.market.currency}"
