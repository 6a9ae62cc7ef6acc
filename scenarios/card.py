"""The card of a market: the keys of every section that is on, in the words of its file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..pricing import PriceEndings, PriceLadder
from .description import MarketDescription
from .fields import listed

GROUPS = {
    "textbook": "markets from the literature, most of them with a known optimum",
    "benchmarks": "markets for measuring speed",
    "shops": "markets of a real shop's size and kind, with assumed numbers",
}
_INDENT = 18
_NAMES_ON_CARD = 6


def headline(spec: MarketDescription) -> str:
    """Name, version and sizes, for a line."""
    sizes = spec.sizes
    market = spec.market
    parts = [_count(sizes["N"], "product"), _count(market.horizon_periods, market.period)]
    if sizes["K"] > 1:
        parts.insert(1, _count(sizes["K"], "segment"))
    return f"{spec.name}, version {spec.version}: {', '.join(parts)}"


def card(spec: MarketDescription, *, columns: int = 100, known: Mapping[str, str] | None = None) -> str:
    """The whole card.

    Args:
        columns: Width to wrap lines at.
        known: Further entries by heading, placed between the parts and the sources; its optimum,
            for example.
    """
    entries = list((describe(spec) | dict(known or {})).items())
    for heading in ("sources", "traps", "assumptions"):
        entries += [("" if i else heading, line) for i, line in enumerate(getattr(spec, heading))]
    lines = (
        textwrap.fill(f"{heading:<{_INDENT}}{text}", columns, subsequent_indent=" " * _INDENT)
        for heading, text in entries
    )
    return "\n".join([f"{spec.name}, version {spec.version}", spec.summary, "", *lines])


def group(spec: MarketDescription) -> str:
    """Which of `GROUPS` a market belongs to; a textbook market has no assumptions."""
    if spec.name.startswith("bench-"):
        return "benchmarks"
    return "shops" if spec.assumptions else "textbook"


def describe(spec: MarketDescription) -> dict[str, str]:
    """The keys and values of every section that is on, by its name; the first key, and those that differ from their default.

    Example:
        >>> from repricer import load_scenario
        >>> describe(load_scenario("stationary-logit"))["stock"]
        'initial_units 40'
    """
    sections = {item.name: getattr(spec, item.name) for item in fields(spec)}
    described = {name: _keys(part) for name, part in sections.items() if is_dataclass(part)}
    return {name: text for name, text in described.items() if text}


def _keys(part: Any) -> str:
    words = []
    for n, item in enumerate(fields(part)):
        current = getattr(part, item.name)
        if current is not None and (n == 0 or not np.all(current == item.default)):
            words.append(f"{item.name} {_value(current)}")
    return "; ".join(words)


def _value(current: Any) -> str:
    """Numbers as a range, and the first few of several names."""
    if isinstance(current, PriceLadder):
        return f"{current.steps.size} prices from {current.steps[0]:g} to {current.steps[-1]:g}"
    if isinstance(current, PriceEndings):
        return " or ".join(f"{fraction:g}" for fraction in current.fractions)
    if isinstance(current, np.ndarray):
        low, high = (f"{end(current):,.6g}" for end in (np.nanmin, np.nanmax))
        return low if low == high else f"{low} to {high}"
    if isinstance(current, tuple):
        names = dict.fromkeys(name if isinstance(name, str) else " < ".join(name) for name in current)
        return listed([*names], _NAMES_ON_CARD)
    return f"{current:,}" if isinstance(current, int) and not isinstance(current, bool) else str(current)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
