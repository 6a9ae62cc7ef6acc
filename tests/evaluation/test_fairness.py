"""Prices and surplus by protected group: reference values by hand, and what an interval holds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from repricer.evaluation import group_figures
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import load_scenario, spec_from_table
from repricer.scenarios.sections import Fairness, Posterior

AGE = Fairness(("young", "old"), ("age", "age"), np.array([[0.25, 0.75], [0.8, 0.2]]))


class Discounts:
    """One list price, and a discount for each segment."""

    name = "discounts"

    def __init__(self, price: float, discount: tuple[float, float]) -> None:
        self.price, self.discount = price, np.float32(discount)

    def act(self, view):
        price = np.full_like(view.list_price, self.price)
        return Action(price, np.broadcast_to(self.discount, (*price.shape, 2)))


def figures_of(found, name: str):
    return found.rows.set_index("name").loc[name]


def test_groups_of_a_logit_market_by_hand():
    spec = replace(load_scenario("segment-prices"), fairness=AGE)
    found = group_figures(spec, Discounts(10.0, (0.0, 0.3)), against=FixedPrice(9.0), episodes=2)
    sensitivity, share = spec.demand.price_sensitivity[:, 0], spec.arrivals.segment_share[0]
    paid = np.array([10.0, 7.0])

    def surplus(price):
        return np.log1p(np.exp(4 - price * sensitivity)) / sensitivity

    buys = 1 / (1 + np.exp(paid * sensitivity - 4))
    for name, shares in zip(AGE.groups, AGE.share.T, strict=True):
        of = share * shares / (share @ shares)
        row = figures_of(found, name)
        assert row["customers"] == pytest.approx(share @ shares)
        assert row["basket_price"] == pytest.approx(of @ paid, rel=1e-6)
        assert row["price_paid"] == pytest.approx(of @ (paid * buys) / (of @ buys), rel=1e-6)
        assert row["surplus"] == pytest.approx(of @ surplus(paid), rel=2e-3)
        assert row["surplus_change"] == pytest.approx(of @ (surplus(paid) - surplus(9.0)), rel=2e-2)
        assert row["basket_price_before"] == pytest.approx(9)
        assert np.isnan(row["surplus_low"])
    gap = found.gaps.set_index("kind").loc["age"]
    old, young = (figures_of(found, name) for name in ("old", "young"))
    assert gap["price_ratio"] == pytest.approx(old["basket_price"] / young["basket_price"])
    assert (gap["dearest"], gap["cheapest"], gap["best"], gap["worst"]) == ("old", "young", "young", "old")
    assert gap["surplus_gap"] == pytest.approx(young["surplus_change"] - old["surplus_change"])
    assert gap["price_ratio_before"] == pytest.approx(1)


def test_surplus_of_a_nested_logit_is_its_log_sum():
    nested = {"family": "nested-logit", "nest": ["m", "m", "n"], "nesting": [0.5, 0.8]}
    spec = spec_from_table(
        {
            "name": "nests",
            "version": 1,
            "market": {"horizon_periods": 2},
            "products": {"names": ["a", "b", "c"], "regular_price": [4.0, 5.0, 3.0]},
            "arrivals": {"rate": 10.0, "segments": ["s", "t"], "segment_share": [[0.5, 0.5]]},
            "demand": {"quality": [[3.0] * 3, [4.0] * 3], "price_sensitivity": [[0.6] * 3, [0.9] * 3]} | nested,
            "prices": {"floor": 1.0, "ceiling": 20.0},
        }
    )
    found, price = group_figures(spec, "regular", against=FixedPrice(6.0), episodes=1), spec.products.regular_price
    for k, slope in enumerate((0.6, 0.9)):
        value = np.exp((3.0 + k) - slope * price)
        inclusive = (value[:2] ** (1 / 0.5)).sum() ** 0.5 + value[2]
        assert found.rows["surplus"][k] == pytest.approx(np.log1p(inclusive) / slope, rel=2e-3)


def test_intervals_are_over_draws_and_paired():
    spec = replace(load_scenario("segment-prices"), fairness=AGE)
    factor = np.array([0.9, 1.0, 1.1, 1.2])
    spec = replace(spec, posterior=Posterior(draws=4, sensitivity=factor[:, None]))
    found = group_figures(spec, "fixed:8", against="fixed:8", episodes=1)
    assert found.draws == 4
    assert (found.rows["surplus_low"] < found.rows["surplus_high"]).all()
    np.testing.assert_array_equal(found.rows[["surplus_change_low", "surplus_change_high"]], 0.0)
    assert group_figures(spec, "fixed:8", draws=2, episodes=1).draws == 2
    with pytest.raises(ValueError, match="draws must lie in 1 to 4"):
        group_figures(spec, "fixed:8", draws=5)


def test_a_price_list_and_its_document():
    spec = load_scenario("segment-prices")
    found = group_figures(spec, np.full((spec.sizes["T"], 1), 7.0), episodes=1)
    assert found.policy == "price list"
    assert found.rows["basket_price"].tolist() == pytest.approx([7.0, 7.0])
    document = json.loads(json.dumps(found.to_dict()))
    assert document["groups"][0]["surplus_low"] is None
    assert [row["kind"] for row in document["gaps"]] == ["segment"]


def test_gaps_in_words():
    spec = replace(load_scenario("segment-prices"), fairness=AGE)
    by_segment, by_age = group_figures(spec, Discounts(10.0, (0.0, 0.3)), against="fixed:9", episodes=1).sentences
    assert by_segment.startswith(
        "By segment, the same basket costs 'careful' 1.429 times what it costs 'keen' (1.000 under"
    )
    assert "more for 'young' than for 'old'." in by_age
    assert group_figures(load_scenario("stationary-logit"), "fixed:9", episodes=1).sentences == []


def test_equal_prices_are_called_equal():
    spec = replace(load_scenario("segment-prices"), fairness=AGE)
    for sentence in group_figures(spec, "fixed:10", against="fixed:9", episodes=1).sentences:
        assert "the same basket costs all the same; the surplus of a customer changes by" in sentence
