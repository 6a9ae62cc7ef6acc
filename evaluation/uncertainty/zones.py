"""The price zones of one chain: what their lists gain together, and whether their gains differ by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .draws import Z90, Interval, quantiles

SIGNIFICANCE = 0.05


class ZoneGain(NamedTuple):
    """What a list gains in one zone.

    Attributes:
        base: What its current prices earn, currency per episode.
        draws: Gain under each posterior draw, as a share of that.

    Example:
        >>> ZoneGain(300.0, (0.02, 0.04)).base
        300.0
    """

    base: float
    draws: tuple[float, ...]


def chain_gain(zones: Sequence[ZoneGain | None]) -> tuple[float, float, float] | None:
    """The relative gain of several zones, added up under each draw, and its 90% interval; None where a zone has no base, or zones have different numbers of
    draws.

    Zones of a chain share the response to prices, and draw m of it is the same in all: errors of the response are common, and
    do not cancel as those of independent zones would.

    Args:
        zones: Those without a change among them, whose gains are 0.

    Example:
        >>> chain_gain([ZoneGain(300.0, (0.02, 0.04)), ZoneGain(100.0, (0.06, 0.08))])
        (0.04, 0.03, 0.05)
    """
    known = [zone for zone in zones if zone is not None]
    if len(known) < len(zones) or len({len(zone.draws) for zone in known}) != 1:
        return None
    base = np.array([zone.base for zone in known])
    draws = base @ np.array([zone.draws for zone in known]) / base.sum()
    return (float(draws.mean()), *quantiles(draws))


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
    from statsmodels.stats.meta_analysis import combine_effects

    mean, low, high = np.array(list(gains.values()), dtype=np.float64).T
    with np.errstate(
        invalid="ignore"
    ):  # it takes roots of other estimates too, of numbers below 0 where zones gain alike
        found: Any = combine_effects(mean, np.maximum((high - low) / (2 * Z90), 1e-6) ** 2, method_re="dl")
    spread = max(float(found.tau2), 0.0) ** 0.5
    ends = zip(mean - np.hypot(mean - low, Z90 * spread), mean + np.hypot(high - mean, Z90 * spread), strict=True)
    intervals = {zone: (float(a), float(b)) for zone, (a, b) in zip(gains, ends, strict=True)}
    return Heterogeneity(float(found.q), float(found.test_homogeneity().pvalue), spread, intervals)


def zone_lines(gains: Mapping[str, tuple[float, float, float] | None]) -> list[str]:
    """The test in words; zones for which no change is recommended are left out, and a single one has no test.

    Example:
        >>> zone_lines({"a": (0.05, 0.03, 0.07), "b": (0.06, 0.04, 0.08)})[0]
        'zones: gains from +5.0% to +6.0% differ no more than their intervals allow (Cochran Q 0.3, p = 0.56)'
    """
    known = {zone: gain for zone, gain in gains.items() if gain is not None}
    if len(known) < 2:
        return []
    found = heterogeneity(known)
    means = [mean for mean, *_ in known.values()]
    test = f"(Cochran Q {found.q:.1f}, p {'< 0.001' if found.p_value < 1e-3 else f'= {found.p_value:.2f}'})"
    span = f"gains from {min(means):+.1%} to {max(means):+.1%}"
    if found.p_value >= SIGNIFICANCE:
        return [f"zones: {span} differ no more than their intervals allow {test}"]
    return [
        f"Not yet reliable: {span} in zones of one chain differ by more than their intervals allow {test}; to settle it, try "
        "the lists in a few stores of the highest and the lowest zone against others. With the spread between zones added:",
        *(
            f"  {zone}: {known[zone][0]:+.1%} (90% interval {a:+.1%} to {b:+.1%})"
            for zone, (a, b) in found.intervals.items()
        ),
    ]
