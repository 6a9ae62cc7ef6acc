"""What a list opens with is what the assessment says, and its figures by product add up to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.evaluation.uncertainty import Assessment
from repricer.evaluation.what_if import what_if
from repricer.planning.list_summary import ListPart, list_summary
from repricer.planning.price_list import proposed_rows
from repricer.scenarios import MarketSpec
from repricer.serving.price_list.rows import PriceRow
from repricer.serving.price_list.summary import ListSummary


@pytest.fixture(scope="module")
def summary(assessed: Assessment, price_rows: list[PriceRow]) -> ListSummary:
    return list_summary([ListPart("all stores", assessed, price_rows)])


def test_it_says_what_the_assessment_says(
    summary: ListSummary, assessed: Assessment, price_rows: list[PriceRow]
) -> None:
    (zone,) = summary.zones
    assert zone.verdict == assessed.headline
    assert zone.gain is not None
    assert assessed.relative_gain == (zone.gain.mean, zone.gain.low, zone.gain.high)
    assert (summary.currency, summary.objective) == ("currency", "profit")
    assert zone.changed == sum(abs(row.change) >= 5e-4 for row in price_rows)


def test_prices_at_a_bound_are_counted(
    summary: ListSummary, price_rows: list[PriceRow], dated_market: MarketSpec
) -> None:
    (zone,) = summary.zones
    ceiling = dict(zip(dated_market.products.names, dated_market.prices.ceiling, strict=True))
    at_ceiling = sum(row.new_price == pytest.approx(ceiling[row.product]) for row in price_rows)
    assert at_ceiling > 0
    assert zone.bounds["ceiling"] == at_ceiling
    stepped = sum("max change" in row.rules for row in price_rows if abs(row.change) >= 5e-4)
    assert zone.bounds.get("max change", 0) == stepped
    assert max(at_ceiling, stepped) <= zone.at_bound <= zone.changed


def test_changes_by_product_add_up_to_the_gain(summary: ListSummary, assessed: Assessment) -> None:
    total = assessed.compared.gain(assessed.recommendation.policy, assessed.recommendation.current)
    changes = [one.profit for one in summary.products if one.profit]
    assert sum(one.mean for one in changes) == pytest.approx(total.mean, rel=0.1)
    assert all(one.low <= one.mean <= one.high for one in changes)
    # The interval of a sum over weeks is no sum of intervals: it holds what is expected, not what chance brings.
    assert any(one.low < one.mean for one in changes)


def test_leaving_a_product_costs_what_what_if_says(
    summary: ListSummary, price_rows: list[PriceRow], dated_market: MarketSpec
) -> None:
    price = np.array([row.new_price for row in price_rows]).reshape(3, -1).T
    current = np.array([row.current_price for row in price_rows]).reshape(3, -1).T
    whole = what_if(dated_market, price).total["profit"]
    for n, product in enumerate(summary.products):
        left = price.copy()
        left[:, n] = current[:, n]
        cost = product.cost_of_leaving
        assert cost is not None
        assert cost.mean == pytest.approx(whole - what_if(dated_market, left).total["profit"], rel=0.02, abs=0.02)
        assert cost.low <= cost.mean <= cost.high
    assert [one.cost_of_leaving is not None and one.cost_of_leaving.mean == 0 for one in summary.products] == [
        False,
        True,
        False,
    ]


def test_its_intervals_are_spread_by_the_model_error(
    summary: ListSummary, assessed: Assessment, price_rows: list[PriceRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repricer.planning.list_summary.model_error", lambda spec: 3.0)
    wide = list_summary([ListPart("all stores", assessed, price_rows)])
    for name in ("units", "revenue", "profit", "cost_of_leaving"):
        plain, spread = ([getattr(one, name) for one in found.products] for found in (summary, wide))
        assert any(one.low < one.high for one in plain), name
        for one, other in zip(plain, spread, strict=True):
            assert other.mean == pytest.approx(one.mean)
            assert other.high - other.low == pytest.approx(3 * (one.high - one.low))


def test_a_list_that_changes_nothing_says_so(assessed: Assessment) -> None:
    none = replace(assessed.recommendation, policy=assessed.recommendation.current)
    unchanged = replace(assessed, recommendation=none)
    found = list_summary([ListPart("all stores", unchanged, proposed_rows(unchanged))])
    (zone,) = found.zones
    assert (zone.gain, zone.amount, zone.changed) == (None, None, 0)
    assert zone.sentences("EUR")[1] == "No price changes."
    for product in found.products:
        assert product.units is not None
        assert product.units.mean == pytest.approx(0)


def test_zones_are_added_up(assessed: Assessment, price_rows: list[PriceRow], summary: ListSummary) -> None:
    both = list_summary([ListPart(name, assessed, price_rows) for name in ("north", "south")])
    assert summary.together is None
    assert both.together is not None
    assert both.zones[0].gain is not None
    assert both.together.mean == pytest.approx(both.zones[0].gain.mean, rel=0.05)
    assert (both.together.low, both.together.high) == pytest.approx((both.zones[0].gain.low, both.zones[0].gain.high))
