from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from repricer.serving.http.canary.money import confidence_of_loss


def sold(effect: float, *, markets: int = 40, periods: int = 8, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Two products of many markets, of which every fourth is on the newer bundle in the second half."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(5, 50, markets)
    for period in range(periods):
        for m in range(markets):
            tried = m % 4 == 0 and period >= periods // 2
            for product in ("tea", "coffee"):
                units = float(rng.poisson(size[m] * (effect if tried else 1.0) * (1 + period / 10)))
                yield {
                    "request_id": f"{m}.{period}",
                    "market": f"store {m}",
                    "arm": "canary" if tried else "policy",
                    "bundle": "new" if tried else "old",
                    "product": product,
                    "units": units,
                    "paid": 2.0 * units,
                }


def test_markets_that_earn_less_are_noticed_and_others_not() -> None:
    assert confidence_of_loss(sold(0.7), "new", {}, {}) > 0.99
    assert confidence_of_loss(sold(1.3), "new", {}, {}) < 0.01
    calm = [confidence_of_loss(sold(1.0, seed=seed), "new", {}, {}) for seed in range(60)]
    assert sum(value > 0.99 for value in calm) <= 3
    assert 0.3 < np.mean(calm) < 0.7


def test_few_markets_and_another_bundle_say_nothing() -> None:
    assert confidence_of_loss(sold(0.5, markets=36), "new", {}, {}) is None
    assert confidence_of_loss(sold(0.5), "newer still", {}, {}) is None
    unknown = ({**row, "units": None, "paid": None} for row in sold(0.5))
    assert confidence_of_loss(unknown, "new", {}, {}) is None


def test_costs_count_where_profit_does() -> None:
    dear = {"tea": 1.0, "coffee": 1.0}
    assert confidence_of_loss(sold(0.7), "new", dear, {}) == pytest.approx(confidence_of_loss(sold(0.7), "new", {}, {}))
    selling_more_below_cost = [
        {**row, "units": 1.9 * row["units"], "paid": 1.05 * row["paid"]} if row["arm"] == "canary" else row
        for row in sold(1.0)
    ]
    assert confidence_of_loss(selling_more_below_cost, "new", {}, {}) < 0.5
    assert confidence_of_loss(selling_more_below_cost, "new", dear, {}) > 0.99


@pytest.mark.parametrize("cost", [2.0, 3.0])
def test_markets_that_earned_nothing_or_less_before_are_judged(cost: float) -> None:
    costs = {"tea": cost, "coffee": cost}
    dearer = [{**row, "paid": row["paid"] * 0.7} if row["arm"] == "canary" else row for row in sold(1.0)]
    found = confidence_of_loss(dearer, "new", costs, {})
    assert found is not None
    assert found > 0.99


def test_vat_is_no_money_of_the_shop() -> None:
    """Of two products at the same price, the one that holds VAT is worth less: more of it for less of the other is a loss."""
    shifted = [
        {**row, key: more * row[key]} if row["arm"] == "canary" else row
        for row in sold(1.0)
        for key, more in [("paid", 1.3 if row["product"] == "tea" else 0.7)]
    ]
    without = confidence_of_loss(shifted, "new", {}, {})
    assert confidence_of_loss(shifted, "new", {}, {"tea": 0.5, "coffee": 0.0}) > without
    assert confidence_of_loss(shifted, "new", {}, {"tea": 0.5, "coffee": 0.5}) == pytest.approx(without)
