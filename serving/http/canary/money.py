"""What the markets of a newer bundle earn, beside the others, each against its own past."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ...decision import CANARY, POLICY

LEAST_MARKETS = 10
"""Markets of each arm from which on there is a judgement."""


def confidence_of_loss(
    rows: Iterable[Mapping[str, Any]], digest: str, costs: Mapping[str, float], vat: Mapping[str, float]
) -> float | None:
    """The confidence, in [0, 1], that the markets of a newer bundle earn less than before,
    compared with the other markets in the same time.

    Args:
        rows: Decisions with what they sold, as `DecisionLog.sold` gives them, in order.
        digest: The newer bundle.
        costs: Unit costs by product that count, currency per unit; none where revenue counts.
        vat: Value added tax in the prices paid, by product, a share of the price without it; those without need none.

    Returns:
        One-sided, by Welch's test of the changes of the money per decision, each over the mean size of what it was and
        is, which is like a change of the logarithm and also counts what earns nothing, or less. None, as nothing can be
        judged, while fewer than ten markets of each arm are known before and after.
    """
    earned: dict[str, float] = defaultdict(float)
    made: dict[str, tuple[str, str, bool]] = {}
    began = False
    for row in rows:
        tried = row["arm"] == CANARY and row["bundle"] == digest
        began = began or tried
        # During the trial, a market belongs to the arm that it is in.
        if row["units"] is not None and (tried or row["arm"] == POLICY):
            made[row["request_id"]] = row["market"], row["arm"], began
            net = row["paid"] / (1 + vat.get(row["product"], 0.0))
            earned[row["request_id"]] += net - costs.get(row["product"], 0.0) * row["units"]
    sums: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    for request, (market, arm, during) in made.items():
        sums[market, arm, during].append(earned[request])
    changes: dict[str, list[float]] = {CANARY: [], POLICY: []}
    for (market, arm, during), money in sums.items():
        if during and (past := sums.get((market, POLICY, False))):
            before, after = statistics.fmean(past), statistics.fmean(money)
            size = (abs(after) + abs(before)) / 2
            changes[arm].append((after - before) / size if size else 0.0)
    if min(map(len, changes.values())) < LEAST_MARKETS:
        return None
    gap = statistics.fmean(changes[POLICY]) - statistics.fmean(changes[CANARY])
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in changes.values()))
    return 0.5 * (1 + math.erf(gap / max(error, 1e-12) / math.sqrt(2)))
