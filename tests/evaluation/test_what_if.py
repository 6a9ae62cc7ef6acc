"""What-if: differences against the planned prices are those of the expected units, draw by draw, and add up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import repricer
from repricer.envs import expected_units
from repricer.evaluation import TriedPrices
from repricer.scenarios import MarketSpec
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PastSection, PlanSection

DRAWS, WEEKS = 20, 8
MEASURES = ("units", "revenue", "profit")


@pytest.fixture(scope="module")
def market(make_shop) -> MarketSpec:
    """Two categories, remembered prices, a plan of its own, dates, ids and a posterior; product 2 may not go below 4."""
    spec = make_shop(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7},
        products={"ids": ["1", "2", "3"]},
        prices={"floor": [2.0, 4.0, 1.5], "bounds_from_sales": ["a", "c"], "minimum_margin": 0.1},
    )
    planned = np.tile([4.2, 5.0, 3.0], (WEEKS, 1))
    planned[3] = [3.5, 5.0, 2.5]
    rng = np.random.default_rng(3)
    posterior = Posterior(
        draws=DRAWS,
        arrivals=np.exp(rng.normal(0, 0.1, (DRAWS, 1, 1))),
        sensitivity=np.exp(rng.normal(0, 0.2, (DRAWS, 3))),
        utility=rng.normal(0, 0.2, (DRAWS, 3)),
        reference=np.exp(rng.normal(0, 0.2, (DRAWS, 3))),
    )
    past = PastSection(charged_low=[3.0, 4.5, 2.0], charged_high=[4.5, 5.5, 3.5])
    return replace(spec, plan=PlanSection(price=planned), past=past, posterior=posterior)


def by_hand(spec: MarketSpec, price: np.ndarray) -> np.ndarray:
    """(M, T, N) expected units, period by period, reference prices rolled forward."""
    found = []
    for m in range(spec.num_draws):
        reference, weeks = spec.products.regular_price, []
        for t, row in enumerate(price):
            shown = spec.shown_by_recommender[None]
            weeks.append(expected_units(spec.draw(m), t, row, reference=reference, shown=shown)[0].sum(axis=0))
            reference = 0.7 * reference + 0.3 * row
        found.append(weeks)
    return np.array(found)


def test_the_planned_prices_change_nothing(market: MarketSpec) -> None:
    found = repricer.what_if(market, planned_prices(market))
    changes = [name for name in found.total if "change" in name or "others" in name]
    assert len(changes) == 12
    assert all(found.total[name] == 0 for name in changes)
    assert (found.to_frame().filter(like="change").to_numpy() == 0).all()
    assert found.total["units"] > 0
    assert not found.warnings


def test_figures_are_those_of_the_expected_units(market: MarketSpec) -> None:
    tried = planned_prices(market)
    tried[2:, 0] = 3.3
    found = repricer.what_if(market, tried)
    units, before = by_hand(market, tried), by_hand(market, planned_prices(market))
    table = found.to_frame()
    np.testing.assert_allclose(table["units"], units.mean(axis=0).ravel(), rtol=1e-9)
    np.testing.assert_allclose(table["units_change"], (units - before).mean(axis=0).ravel(), atol=1e-9)
    revenue, margin = (units * tried).sum(axis=(1, 2)), tried - market.products.unit_cost
    assert found.total["revenue"] == pytest.approx(revenue.mean())
    assert found.total["profit"] == pytest.approx((units * margin).sum(axis=(1, 2)).mean())
    low, high = np.quantile(revenue, [0.05, 0.95], method="weibull")
    assert (found.total["revenue_low"], found.total["revenue_high"]) == pytest.approx((low, high))
    # The interval of the whole is that of the sums, not the sum of the ends.
    assert table["revenue_high"].sum() > high * 1.001


def test_customers_are_used_to_a_price_that_is_lower_in_all_weeks(market: MarketSpec) -> None:
    """The reference price of the whole course is lower in proportion: nothing but the lasting response is left."""
    plan = np.tile(market.products.regular_price, (WEEKS, 1))
    steady = replace(market, plan=replace(market.plan, price=plan))
    tried = 0.9 * plan
    units = repricer.what_if(steady, tried).to_frame()["units"].to_numpy().reshape(WEEKS, 3)
    shown = steady.shown_by_recommender[None]
    used_to = [
        [expected_units(steady.draw(m), t, row, shown=shown)[0].sum(axis=0) for t, row in enumerate(tried)]
        for m in range(DRAWS)
    ]
    np.testing.assert_allclose(units, np.mean(used_to, axis=0), rtol=1e-6)
    fresh = [expected_units(steady.draw(m), 0, tried[0], reference=plan[0], shown=shown)[0].sum() for m in range(DRAWS)]
    assert units[0].sum() < 0.99 * np.mean(fresh)


def test_what_is_taken_from_other_products(market: MarketSpec) -> None:
    one = repricer.what_if(market, {"a": 3.3}).to_frame("product").set_index("product")
    assert one.loc["a", "units_from_others"] == pytest.approx(0, abs=1e-9)
    assert one.loc["b", "units_from_others"] == pytest.approx(one.loc["b", "units_change"])
    assert one.loc["b", "units_from_others"] < 0 < one.loc["a", "units_change"]
    assert one.loc["c", "units_change"] == 0, "a product of another category"
    both = repricer.what_if(market, {"a": 3.3, "b": 4.2}).to_frame("product").set_index("product")
    own = both["units_change"] - both["units_from_others"]
    assert own["a"] == pytest.approx(one.loc["a", "units_change"])
    assert (both["units_from_others"][["a", "b"]] < 0).all()


def test_rollups_add_up(market: MarketSpec) -> None:
    zones = {"north": market, "south": replace(market, name="small-shop-2")}
    brands = {"a": "Own", "3": "Own"}
    found = repricer.what_if(zones, {"a": 3.3, "c": 2.5}, brands=brands)
    for by, count in {"zone": 2, "category": 2, "brand": 2, "product": 3, "week": WEEKS}.items():
        table = found.to_frame(by)
        assert len(table) == count
        for name in (f"{prefix}{measure}" for measure in MEASURES for prefix in ("planned_", "")):
            assert table[name].sum() == pytest.approx(found.total[name])
        assert table["units_from_others"].sum() == pytest.approx(found.total["units_from_others"])
    assert set(found.to_frame("brand")["brand"]) == {"Own", "no brand"}
    alone = repricer.what_if(market, {"a": 3.3, "c": 2.5})
    assert found.to_frame("zone")["profit"].tolist() == pytest.approx([alone.total["profit"]] * 2)
    with pytest.raises(
        ValueError, match="by must be one of category, zone, product, week; got 'brand'; give the brands"
    ):
        alone.to_frame("brand")


def test_tables_name_weeks_and_zones(market: MarketSpec) -> None:
    rows = [("1", "3.30", "2018-01-10", "north"), ("c", "2.5", "", ""), ("", "", "", "")]
    table = pd.DataFrame(rows, columns=["product", "price", "week", "zone"])
    found = repricer.what_if({"north": market, "south": market}, table).rows
    changed = found[found["price"] != found["planned_price"]]
    of_a = changed[changed["product"] == "a"]
    assert of_a[["zone", "week", "price"]].to_numpy().tolist() == [["north", "2018-01-08", 3.3]]
    # Week 4 plans 2.50 already.
    assert len(changed[changed["product"] == "c"]) == 2 * (WEEKS - 1)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (("d", "3", "", ""), "prices, row 3, column product: must be a name or id of the market; got 'd'"),
        (
            ("a", "0", "", ""),
            "row 3, column price: must be above zero, currency per unit, after a change as well; got '0'",
        ),
        (("a", "-9", "", ""), "column price: must be above zero, currency per unit, after a change as well; got '-9'"),
        (("a", "x", "", ""), "or a change such as -10% or +.20; got 'x'"),
        (("a", "10%", "", ""), "or a change such as -10% or +.20; got '10%'"),
        (("a", "nan", "", ""), "or a change such as -10% or +.20; got 'nan'"),
        (("a", "3", "2019-01-01", ""), "column week: must be one of the market, 2018-01-01 to 2018-02-25; got '2019"),
        (("a", "3", "soon", ""), "column week: must be one of the market, 2018-01-01 to 2018-02-25; got 'soon'"),
        (("a", "3", "", "nroth"), "column zone: must be a zone of the market; got 'nroth'; did you mean 'north'"),
        (("b", "5", "2018-01-01", ""), "column product: must be priced once a week; got 'b'"),
    ],
)
def test_wrong_cells_are_named(market: MarketSpec, row: tuple[str, ...], line: str) -> None:
    table = pd.DataFrame([("b", "5.1", "", ""), row], columns=["product", "price", "week", "zone"])
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        repricer.what_if({"north": market}, table)
    assert line in str(refused.value)


def test_changes_are_those_of_the_planned_prices_week_by_week(market: MarketSpec) -> None:
    planned = planned_prices(market)
    rows = pd.DataFrame(
        {"product": ["a", "b", "c"], "price": ["-10%", "+.20", "- 0.5"], "week": ["", "2018-01-08", ""]}
    )
    found = repricer.what_if(market, rows).rows["price"].to_numpy().reshape(planned.shape)
    expected = planned * [0.9, 1.0, 1.0] + [0.0, 0.0, -0.5]
    expected[1, 1] += 0.2
    np.testing.assert_allclose(found, expected)
    by_name = repricer.what_if(market, {"a": "-10%", "b": 5.2}).rows["price"].to_numpy().reshape(planned.shape)
    np.testing.assert_allclose(by_name, np.stack([0.9 * planned[:, 0], np.full(WEEKS, 5.2), planned[:, 2]], axis=1))


def test_wrong_columns_and_arrays_are_named(market: MarketSpec) -> None:
    with pytest.raises(ValueError, match=r"row 1: columns are .*; got 'prize'; did you mean 'price'"):
        repricer.what_if(market, pd.DataFrame({"product": ["a"], "prize": [3.0]}))
    with pytest.raises(ValueError, match="got no price; add it"):
        repricer.what_if(market, pd.DataFrame({"product": ["a"]}))
    with pytest.raises(ValueError, match=r"must have the shape \(T, N\) = \(8, 3\); got \(2, 3\)"):
        repricer.what_if(market, np.ones((2, 3)))
    with pytest.raises(ValueError, match="must be finite and above zero; got -3 to 5"):
        repricer.what_if(market, np.array([4.0, 5.0, -3.0]))
    with pytest.raises(ValueError, match="needs a market fitted on data; got stationary-logit"):
        repricer.what_if("stationary-logit", {"x": 3.0})


def test_a_rule_that_is_left_is_a_warning_with_its_cost(market: MarketSpec) -> None:
    found = repricer.what_if(market, {"a": 1.9 + 1.0, "c": 9.0})
    rule, *charged = found.warnings
    # Of both weeks in which 9.00 is asked for against the ceiling of 5.00, at the mean of the market.
    assert rule.startswith("9 for 'c' in the week of 2018-01-01 and 7 more leaves the price rule ceiling; 5 is allowed")
    cost = float(rule.split("earn ")[1].split()[0])
    units = []
    for price in (9.0, 5.0):
        # Customers who are used to a regular price of 9.00 remember the plan's.
        money, reference = 0.0, market.products.regular_price
        for t in range(WEEKS):
            row = planned_prices(market)[t].copy()
            row[2] = price
            shown = market.shown_by_recommender[None]
            got = expected_units(market, t, row, reference=reference, shown=shown)[0].sum(axis=0)
            money += got[2] * (price - 1.0)
        units.append(money)
    assert rule.endswith("more profit")
    assert cost == pytest.approx(units[1] - units[0], abs=0.01)
    assert any("'a' is outside what was mostly charged" in line for line in charged)


@pytest.mark.parametrize(
    ("product", "price", "rule"),
    [("b", 3.9, "floor"), ("b", 8.5, "ceiling"), ("a", 2.1, "minimum margin")],
)
def test_a_hard_rule_is_refused(market: MarketSpec, product: str, price: float, rule: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"prices must keep the rules that no person may leave; got {price:g} for '{product}'.* {rule};",
    ):
        repricer.what_if(market, {product: price})


def test_what_is_not_priced_can_be_asked(market: MarketSpec) -> None:
    """By the shop's word or for want of knowledge; it takes customers from others at its planned prices, and gives them."""
    held = market.with_changes(
        prices={
            "frozen": ("b", "c"),
            "frozen_as_planned": True,
            "frozen_because": {"b": "your rule keeps it", "c": "it is too new"},
            "floor": [2.0, 4.0, 1.5],
            "bounds_from_sales": ["a", "c"],
        }
    )
    free = repricer.what_if(market, {"c": "-10%"})
    for product in ("b", "c"):
        found = repricer.what_if(held, {product: "-10%"})
        assert found.total["units_change"] != 0
        assert any(f"for '{product}'" in line and "leaves the price rule" in line for line in found.warnings)
    # The plan's own deal is in both, so that the answer is that of a market in which it is priced.
    asked = repricer.what_if(held, {"c": "-10%"})
    assert asked.total["units_change"] == pytest.approx(free.total["units_change"])
    assert asked.total["planned_revenue"] == pytest.approx(free.total["planned_revenue"])


def test_intervals_shrink_with_the_posterior(market: MarketSpec) -> None:
    def width(found: TriedPrices) -> float:
        return found.total["profit_change_high"] - found.total["profit_change_low"]

    assert market.posterior is not None
    sure = replace(market, posterior=Posterior(draws=DRAWS))
    assert width(repricer.what_if(market, {"a": 3.3})) > 0
    assert width(repricer.what_if(sure, {"a": 3.3})) == pytest.approx(0, abs=1e-9)


def test_it_prints_short_and_is_plain_data(market: MarketSpec) -> None:
    found = repricer.what_if(market, {"a": 3.3})
    assert len(repr(found)) < 150
    assert f"units {found.total['units_change']:+,.0f}" in repr(found)
    plain = json.loads(json.dumps(found.to_dict("product")))
    assert plain["total"] == found.total
    assert [row["product"] for row in plain["rows"]] == ["a", "b", "c"]
