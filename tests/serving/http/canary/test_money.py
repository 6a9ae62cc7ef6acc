from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def loss(
    rows: Iterable[dict[str, Any]],
    costs: Mapping[str, float] = {},
    vat: Mapping[str, float] = {},
    digest: str = "new",
) -> float | None:
    """The confidence of a loss, of ten markets of each arm at least, by rows of which the trial begins with the newer bundle."""
    known = list(rows)
    began = next(number for number, row in enumerate(known) if row["arm"] == "canary")
    return confidence_of_loss((known[:began], known[began:]), digest, costs, vat, 10)


def test_markets_that_earn_less_are_noticed_and_others_not() -> None:
    assert loss(sold(0.7)) > 0.99
    assert loss(sold(1.3)) < 0.01
    calm = [loss(sold(1.0, seed=seed)) for seed in range(60)]
    assert sum(value > 0.99 for value in calm) <= 3
    assert 0.3 < np.mean(calm) < 0.7


def test_few_markets_and_another_bundle_say_nothing() -> None:
    assert loss(sold(0.5, markets=36)) is None
    assert loss(sold(0.5), digest="newer still") is None
    unknown = ({**row, "units": None, "paid": None} for row in sold(0.5))
    assert loss(unknown) is None


def test_costs_count_where_profit_does() -> None:
    dear = {"tea": 1.0, "coffee": 1.0}
    assert loss(sold(0.7), dear) == pytest.approx(loss(sold(0.7)))
    selling_more_below_cost = [
        {**row, "units": 1.9 * row["units"], "paid": 1.05 * row["paid"]} if row["arm"] == "canary" else row
        for row in sold(1.0)
    ]
    assert loss(selling_more_below_cost) < 0.5
    assert loss(selling_more_below_cost, dear) > 0.99


@pytest.mark.parametrize("cost", [2.0, 3.0])
def test_markets_that_earned_nothing_or_less_before_are_judged(cost: float) -> None:
    costs = {"tea": cost, "coffee": cost}
    dearer = [{**row, "paid": row["paid"] * 0.7} if row["arm"] == "canary" else row for row in sold(1.0)]
    found = loss(dearer, costs)
    assert found is not None
    assert found > 0.99


def test_vat_is_no_money_of_the_shop() -> None:
    """Of two products at the same price, the one that holds VAT is worth less: more of it for less of the other is a loss."""
    shifted = [
        {**row, key: more * row[key]} if row["arm"] == "canary" else row
        for row in sold(1.0)
        for key, more in [("paid", 1.3 if row["product"] == "tea" else 0.7)]
    ]
    without = loss(shifted)
    assert loss(shifted, vat={"tea": 0.5, "coffee": 0.0}) > without
    assert loss(shifted, vat={"tea": 0.5, "coffee": 0.5}) == pytest.approx(without)


def test_a_former_trial_of_the_bundle_is_neither_its_past_nor_this_trial() -> None:
    before, since = [list(sold(effect, periods=2, seed=seed)) for effect, seed in ((0.1, 0), (1.0, 1))]
    former = [row for row in before if row["arm"] == "canary"]
    plain = [{**row, "arm": "policy"} for row in sold(1.0, periods=2)]
    found = confidence_of_loss(([*former, *plain], since), "new", {}, {}, 10)
    assert found == confidence_of_loss((plain, since), "new", {}, {}, 10)
