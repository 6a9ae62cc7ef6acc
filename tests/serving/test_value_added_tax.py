"""A bundle of a market whose prices hold VAT: it serves shelf prices, and says what they earn without it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, Predictor, example_state, export, load_bundle
from repricer.serving.explanation import what_if
from repricer.serving.market_state import market_view
from repricer.serving.price_list.approval import check_decisions
from repricer.serving.price_list.rows import PriceRow

from .conftest import make_run

VAT = (0.19, 0.07, 0.0)


def bundle_of(spec: MarketSpec, folder: Path) -> Bundle:
    return load_bundle(export(make_run(spec, product_wise=True), folder / "bundle"))


@pytest.fixture(scope="module")
def taxed(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(spec.with_changes(products={"vat": np.array(VAT)}), tmp_path_factory.mktemp("taxed"))


def test_a_bundle_keeps_the_rates_and_prices_keep_their_margin_without_vat(taxed: Bundle, spec: MarketSpec) -> None:
    np.testing.assert_allclose(taxed.catalogue.vat, VAT)
    least = spec.products.unit_cost * (1 + np.array(VAT)) / (1 - 0.2)
    np.testing.assert_allclose(taxed.guardrails.least["minimum_margin"], least)
    answer = Predictor(taxed).price(example_state(taxed.catalogue))
    price = np.array([item.price for item in answer.prices])
    assert (price >= least - 1e-6).all()
    np.testing.assert_allclose(price / 0.05, np.round(price / 0.05), atol=1e-4)  # the grid is that of shelf prices


@pytest.mark.parametrize("n", range(3))
def test_what_a_price_earns_is_without_vat(taxed: Bundle, n: int) -> None:
    state = example_state(taxed.catalogue)
    for item in state["products"]:
        item["on_hand"] = None
    answer, name = Predictor(taxed).price(state), taxed.catalogue.products[n]
    (point,) = what_if(taxed, market_view(taxed.catalogue, state), answer, name, [3.0]).points
    discounts = answer.prices[n].discounts.values()
    assert point.revenue.mean / point.units.mean <= 3.0 / (1 + VAT[n]) + 1e-4
    assert point.revenue.mean / point.units.mean >= 3.0 * (1 - max(discounts)) / (1 + VAT[n]) - 1e-4
    cost = taxed.catalogue.unit_cost[n]
    assert point.profit.mean == pytest.approx(point.revenue.mean - cost * point.units.mean, rel=1e-4, abs=1e-4)


def test_a_bundle_without_vat_is_that_of_an_earlier_version(one: Bundle, one_path: Path) -> None:
    """Of a market without VAT nothing is written, and nothing is missed."""
    assert one.catalogue.vat is None
    assert "vat" not in json.loads((one_path / "catalogue.json").read_text())


def test_an_override_costs_what_it_earns_less_without_vat(
    dated_market: MarketSpec, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    """One rate: the sum is that of the market in shelf money, over 1 plus the rate."""
    taxed = dated_market.with_changes(products={"vat": 0.19})
    shelf = dated_market.with_changes(products={"unit_cost": taxed.products.shelf_cost})
    rows = [msgspec.structs.replace(row, status="approved") for row in price_rows]
    rows[0] = msgspec.structs.replace(rows[0], status="overridden", decided_price=2.3)
    lines = []
    for name, spec in {"taxed": taxed, "shelf": shelf}.items():
        bundle = bundle_of(spec, tmp_path / name)
        lines.append(next(line for line in check_decisions("list", rows, bundle) if "overridden" in line))
    amounts = [float(line.split("earn ")[1].split()[0].replace(",", "")) for line in lines]
    assert amounts[1] == pytest.approx(1.19 * amounts[0], abs=0.02)
    assert abs(amounts[0]) > 0.1
