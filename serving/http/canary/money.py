"""What the markets of a newer bundle earn, beside the others, each against its own past."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ...decision import CANARY, POLICY

Rows = Iterable[Mapping[str, Any]]
"""Decisions with what they sold, as `DecisionLog.sold` gives them."""


def confidence_of_loss(
    around: tuple[Rows, Rows], digest: str, costs: Mapping[str, float], vat: Mapping[str, float], least_markets: int
) -> float | None:
    """The confidence, in [0, 1], that the markets of a newer bundle earn less than before,
    compared with the other markets in the same time.

    Args:
        around: What was sold before the trial, and since.
        digest: The newer bundle.
        costs: Unit costs by product that count, currency per unit; none where revenue counts.
        vat: Value added tax in the prices paid, by product, a share of the price without it; those without need none.
        least_markets: Markets of each arm from which on there is a judgement; two at least.

    Returns:
        One-sided, by Welch's test of the changes of the money per decision, each over the mean size of what it was and
        is, which is like a change of the logarithm and also counts what earns nothing, or less. None, as nothing can be
        judged, while fewer markets of each arm are known before and after.
    """
    before, since = (_by_market(rows, digest, costs, vat) for rows in around)
    changes: dict[str, list[float]] = {CANARY: [], POLICY: []}
    # During the trial, a market belongs to the arm that it is in.
    for (market, arm), money in since.items():
        if past := before.get((market, POLICY)):
            was = statistics.fmean(past)
            now = statistics.fmean(money)
            size = (abs(now) + abs(was)) / 2
            changes[arm].append((now - was) / size if size else 0.0)
    if min(map(len, changes.values())) < least_markets:
        return None
    gap = statistics.fmean(changes[POLICY]) - statistics.fmean(changes[CANARY])
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in changes.values()))
    return 0.5 * (1 + math.erf(gap / max(error, 1e-12) / math.sqrt(2)))


def _by_market(
    rows: Rows, digest: str, costs: Mapping[str, float], vat: Mapping[str, float]
) -> dict[tuple[str, str], list[float]]:
    """The money of each decision whose sales are known, by market and arm."""
    earned = defaultdict[tuple[str, str, str], float](float)
    for row in rows:
        is_counted = row["arm"] == POLICY or (row["arm"] == CANARY and row["bundle"] == digest)
        if row["units"] is not None and is_counted:
            net = row["paid"] / (1 + vat.get(row["product"], 0.0))
            earned[row["market"], row["arm"], row["request_id"]] += net - costs.get(row["product"], 0.0) * row["units"]
    found = defaultdict[tuple[str, str], list[float]](list)
    for (market, arm, _), money in earned.items():
        found[market, arm].append(money)
    return found
