"""Whether the gains of several price zones differ by more than their intervals allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from .gain import Z90, Interval

_LEVEL = 0.05


class Heterogeneity(NamedTuple):
    """Cochran's test of equal gains, and the spread between zones by DerSimonian and Laird (1986), Meta-analysis in
    Clinical Trials, Controlled Clinical Trials 7(3).

    Attributes:
        q: Cochran's Q.
        p_value: Of the test that all zones gain the same.
        spread: Standard deviation of the true gains between zones.
        intervals: By zone, the 90% interval with the variance between zones added to its own.
    """

    q: float
    p_value: float
    spread: float
    intervals: dict[str, Interval]


def heterogeneity(gains: Mapping[str, tuple[float, float, float]]) -> Heterogeneity:
    """Test whether zones gain the same.

    Args:
        gains: By zone, the mean relative gain and its 90% interval; two zones or more.

    Example:
        >>> found = heterogeneity({"a": (0.05, 0.03, 0.07), "b": (1.59, 1.33, 2.1)})
        >>> found.p_value < 0.001, round(found.spread, 1)
        (True, 1.1)
    """
    mean, low, high = np.array(list(gains.values()), dtype=np.float64).T
    variance = np.maximum((high - low) / (2 * Z90), 1e-6) ** 2
    weight = 1 / variance
    q = float(weight @ (mean - weight @ mean / weight.sum()) ** 2)
    free = len(mean) - 1
    between = max(0.0, (q - free) / (weight.sum() - (weight**2).sum() / weight.sum()))
    more = Z90**2 * between
    ends = [
        (m - np.hypot(m - a, more**0.5), m + np.hypot(b - m, more**0.5))
        for m, a, b in zip(mean, low, high, strict=True)
    ]
    intervals = {zone: (float(a), float(b)) for zone, (a, b) in zip(gains, ends, strict=True)}
    return Heterogeneity(q, float(chi2.sf(q, free)), float(between**0.5), intervals)


def zone_lines(gains: Mapping[str, tuple[float, float, float] | None]) -> list[str]:
    """The test in words; zones for which no change is recommended are left out, and nothing is said of a single one.

    Example:
        >>> zone_lines({"a": (0.05, 0.03, 0.07), "b": (0.06, 0.04, 0.08)})[0]
        'zones: gains from +5.0% to +6.0% differ no more than their intervals allow (Cochran Q 0.3, p = 0.56)'
    """
    known = {zone: gain for zone, gain in gains.items() if gain is not None}
    if len(known) < 2:
        return []
    found, means = heterogeneity(known), [mean for mean, *_ in known.values()]
    test = f"(Cochran Q {found.q:.1f}, p {'< 0.001' if found.p_value < 1e-3 else f'= {found.p_value:.2f}'})"
    span = f"gains from {min(means):+.1%} to {max(means):+.1%}"
    if found.p_value >= _LEVEL:
        return [f"zones: {span} differ no more than their intervals allow {test}"]
    return [
        f"Not yet reliable: {span} in zones of one chain differ by more than their intervals allow {test}; to settle it, try "
        "the lists in a few stores of the highest and the lowest zone against others. With the spread between zones added:",
        *(
            f"  {zone}: {known[zone][0]:+.1%} (90% interval {low:+.1%} to {high:+.1%})"
            for zone, (low, high) in found.intervals.items()
        ),
    ]
