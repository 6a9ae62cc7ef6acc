"""Markdown schedules keep the rules and the budget, and sell the stock in simulated seasons of the market."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from repricer.envs import Market, catalogue_of, seed_for
from repricer.planning.markdown import MarkdownPlan, plan_markdown
from repricer.planning.markdown_inputs import StockRow, Terms, read_stock
from repricer.planning.markdown_search import SeasonDemand
from repricer.pricing import Action, PriceEndings, PricePath
from repricer.pricing.price_rules.overrides import allowed_path
from repricer.scenarios import MarketSpec, load_scenario, spec_from_table
from repricer.scenarios.sections import Posterior

DRAWS, WEEKS = 20, 8
STOCK = [StockRow("light", 90), StockRow("3", 50)]
UNTIL = "2018-02-25"


@pytest.fixture(scope="session")
def spec() -> MarketSpec:
    """Three substitutes with shocks, overdispersion, reference prices and a posterior."""
    made = spec_from_table(
        {
            "name": "coats",
            "version": 1,
            "market": {"horizon_periods": WEEKS, "first_day": "2018-01-01", "period": "week"},
            "products": {
                "names": ["light", "warm", "wool"],
                "ids": ["1", "2", "3"],
                "regular_price": [40.0, 60.0, 80.0],
            },
            "arrivals": {"rate": 60.0, "overdispersion": 0.1},
            "demand": {"quality": [1.0, 1.4, 1.6], "price_sensitivity": 0.06},
            "prices": {"floor": [10.0, 15.0, 20.0], "ceiling": [50.0, 70.0, 90.0], "tick": 0.5},
            "reference_price": {"memory": 0.7, "gain": 0.5, "loss": 0.8},
            "shocks": {"volatility": 0.1, "persistence": 0.5},
        }
    )
    generator = np.random.default_rng(5)
    posterior = Posterior(
        draws=DRAWS,
        arrivals=np.exp(0.15 * generator.standard_normal((DRAWS, 1, 1))),
        sensitivity=np.exp(0.1 * generator.standard_normal((DRAWS, 3))),
        utility=0.15 * generator.standard_normal((DRAWS, 3)),
    )
    return replace(made, posterior=posterior)


def planned(spec: MarketSpec, stock: list[StockRow] = STOCK, until: str = UNTIL, **terms: Any) -> MarkdownPlan:
    return plan_markdown(spec, stock, until, terms=Terms(**terms))


def test_prices_only_fall_within_the_budget_and_the_rules(spec: MarketSpec) -> None:
    ruled = spec.with_changes(
        prices={"max_change": 0.4, "max_changes": 1, "change_window_periods": 3, "line_order": (("light", "wool"),)}
    )
    plan = planned(ruled, [StockRow("light", 200, price=38.0), StockRow("wool", 90, changes=2, lowest_price=25.0)])
    rules, catalogue = plan.spec.guardrails, catalogue_of(plan.spec)
    np.testing.assert_array_equal(
        allowed_path(rules, catalogue, plan.price, plan.current, plan.current[:1])[0], plan.price
    )
    for item, most, lowest in zip(plan.products, (3, 2), (10.0, 25.0), strict=True):
        path = np.array([item.price_now, *item.price])
        assert (np.diff(path) <= 0).all()
        assert 0 < item.changes == (np.diff(path) < 0).sum() <= most
        assert path[-1] >= lowest
    assert plan.products[0].price_now == 38.0
    np.testing.assert_array_equal(plan.price[:, 1], 60.0)


def test_units_put_by_at_a_fall_come_on_top_of_what_is_planned_with(spec: MarketSpec) -> None:
    """Remembered prices have followed: nothing is put by at a price that lasts."""
    price, levels = np.tile([40.0, 60.0, 80.0], (8, 1)), np.array([60.0, 45.0, 30.0])
    more = spec.with_changes(reference_price={"units_gain": 1.0, "units_loss": 0.5})
    plain, stocked = (SeasonDemand(each, seed=0).wanted(1, levels, price) for each in (spec, more))
    np.testing.assert_array_equal(plain, stocked)


@pytest.mark.parametrize(
    "grid",
    [
        {"tick": None, "price_endings": PriceEndings(np.array([0.49, 0.99]))},
        {"price_gaps": (("light", "warm"),), "gap_shares": np.array([0.7])},
    ],
    ids=["endings", "gap"],
)
def test_schedules_pass_the_price_rules_as_they_are(spec: MarketSpec, grid: dict[str, Any]) -> None:
    plan = planned(spec.with_changes(prices=grid), [StockRow("light", 90), StockRow("warm", 70, price=57.3)])
    rules, current = plan.spec.guardrails, plan.current
    allowed, *_ = allowed_path(rules, catalogue_of(plan.spec), plan.price, current, current[:1])
    np.testing.assert_array_equal(allowed, plan.price)
    assert all(item.changes and np.all(np.diff(item.price) <= 0) for item in plan.products)


def test_a_floor_of_the_sales_alone_gives_way_to_a_persons_price(spec: MarketSpec) -> None:
    stock = [StockRow("light", 250, price=9.5, lowest_price=7.5)]
    with pytest.raises(ValueError, match="price of 'light' must be at least 10, the lowest that the price rules allow"):
        planned(spec, stock)
    soft = spec.with_changes(prices={"bounds_from_sales": ("light",)})
    plan = planned(soft, stock)
    assert plan.products[0].price_now == 9.5
    assert 7.5 <= min(plan.products[0].price) < 9.5
    dear = spec.with_changes(prices={"bounds_from_sales": ("light",), "minimum_advertised_price": [8.0, 0.0, 0.0]})
    with pytest.raises(ValueError, match=r"lowest_price of 'light' must be 8, .* got 7.5"):
        planned(dear, stock)


def test_seasons_of_the_market_meet_the_target(spec: MarketSpec) -> None:
    plan = planned(spec)
    sold = np.concatenate([_season(plan.spec, m, plan.price) for m in range(plan.spec.num_draws)])
    met = (sold >= np.ceil(0.95 * plan.spec.stock.initial_units)).mean(axis=0)
    assert met[[0, 2]].min() >= 0.95
    for item, share in zip(plan.products, met[[0, 2]], strict=True):
        assert item.met
        assert item.can_meet
        assert abs(item.probability - share) < 0.03
        assert item.price[-1] > plan.spec.guardrails.low[plan.spec.products.names.index(item.product)]


def _season(spec: MarketSpec, m: int, price: np.ndarray) -> np.ndarray:
    """(E, N) units sold in seasons that the plan has not seen."""
    market = Market(spec.draw(m), num_markets=100, seed=seed_for("validation", m), assumed=spec)
    policy = PricePath(price.astype(np.float32), as_charged=True)
    return np.sum([market.step(policy.act(market.view)).units for _ in price], axis=0)


def test_one_price_is_the_run_out_price_where_stock_binds() -> None:
    """Gallego and van Ryzin (1994): arrivals a, willingness to pay exponential, x units: the price log(a T / x)."""
    spec = load_scenario("gallego-van-ryzin")
    arrivals = 20.0
    spec = spec.with_changes(
        market={"first_day": "2018-01-01", "period_days": 1},
        arrivals={"rate": np.full((50, 1), arrivals)},
        prices={"price_ladder": None, "tick": 0.01, "floor": np.array([0.2]), "ceiling": np.array([6.0])},
    )
    spec = replace(spec, posterior=Posterior(draws=1))
    for units in (100, 200):
        terms = Terms(sell_through=0.5, confidence=0.5, changes=1, salvage=0.0)
        (item,) = plan_markdown(spec, [StockRow("unit", units, price=4.0)], "2018-02-19", terms=terms).products
        assert item.changes == 1
        assert item.price[0] == item.price[-1] == pytest.approx(np.log(50 * arrivals / units), rel=0.08)
        assert item.revenue == pytest.approx(units * np.log(50 * arrivals / units), rel=0.06)


def test_more_stock_or_more_confidence_never_raises_prices(spec: MarketSpec) -> None:
    few, more, most = (planned(spec, [StockRow("warm", units)], changes=1).products[0].price for units in (40, 70, 100))
    assert np.mean(few) > np.mean(more) > np.mean(most)
    assert few[0] >= more[0] > most[0]
    loose, strict = (planned(spec, [StockRow("warm", 70)], confidence=c).products[0] for c in (0.6, 0.95))
    assert np.mean(strict.price) < np.mean(loose.price)
    assert strict.probability > loose.probability


def test_planned_again_each_week_prices_never_rise(spec: MarketSpec) -> None:
    """The weekly use: what is left, the price now, the changes left and what was sold go into the next plan."""
    row, paid, calendar = StockRow("warm", 70, price=60.0, changes=3, sold=0), [60.0], spec.calendar
    market = Market(plan_markdown(spec, [row], UNTIL).spec.draw(3), seed=7)
    sold = 0
    assert calendar is not None
    for week in calendar.labels:
        plan = plan_markdown(spec, [row], UNTIL, start=week)
        paid.append(plan.products[0].price[0])
        units = int(market.step(Action(plan.price[:1].astype(np.float32))).units[0, 1])
        left, changed, sold = row.on_hand - units, paid[-1] < paid[-2], (row.sold or 0) + units
        if not left:
            break
        row = structs.replace(row, on_hand=left, price=paid[-1], changes=(row.changes or 0) - changed, sold=sold)
    assert (np.diff(paid) <= 0).all()
    assert np.count_nonzero(np.diff(paid)) <= 3
    assert sold >= 0.95 * 70


def test_what_cannot_be_met_is_said_and_sells_the_most(spec: MarketSpec) -> None:
    plan = planned(spec.with_changes(prices={"frozen": ("warm",)}), [StockRow("light", 5000), StockRow("warm", 500)])
    light, warm = plan.products
    assert (light.can_meet, light.met, light.probability) == (False, False, 0.0)
    assert light.price == (10.0,) * 8
    assert (warm.can_meet, warm.price, warm.changes) == (False, (60.0,) * 8, 0)
    for item, regular in ((light, 40.0), (warm, 60.0)):
        share = item.sell_through[0]
        assert item.revenue == pytest.approx(item.price[0] * share * item.on_hand)
        assert item.salvage == pytest.approx(0.1 * regular * (1 - share) * item.on_hand)


def test_a_price_from_above_its_ceiling_falls_on(spec: MarketSpec) -> None:
    """The largest change alone would not let it come down to the ceiling."""
    plan = planned(spec.with_changes(prices={"max_change": 0.2}), [StockRow("light", 5000, price=80.0, changes=3)])
    assert plan.products[0].price[:3] == pytest.approx((50.0, 40.0, 32.0), rel=0.02)


def test_the_season_is_the_whole_weeks_between_the_dates(spec: MarketSpec) -> None:
    plan = plan_markdown(spec, STOCK, "2018-02-10", start="2018-01-17")
    calendar = plan.spec.calendar
    assert calendar is not None
    assert (calendar.labels[0], str(calendar.last_day), len(plan.price)) == ("2018-01-15", "2018-02-04", 3)


def test_what_does_not_fit_is_refused(spec: MarketSpec) -> None:
    def refused(stock: list[StockRow], until: str = UNTIL, **changes: Any) -> str:
        with pytest.raises(ValueError, match="got") as wrong:
            plan_markdown(replace(spec, **changes), stock, until)
        return str(wrong.value)

    assert "got 'wol'; did you mean 'wool'?" in refused([StockRow("wol", 3)])
    assert "must have one row; got 'wool' again" in refused([StockRow("3", 3), StockRow("wool", 3)])
    assert "price of 'wool' must be at least 20" in refused([StockRow("wool", 3, price=19.0)])
    assert "lowest_price of 'wool' must be 20" in refused([StockRow("wool", 3, lowest_price=19.0)])
    assert "date must be 2018-01-01 to 2018-02-25" in refused(STOCK, "2018-03-01")
    assert "until must leave a whole period from 2018-01-01 on; got 2018-01-05" in refused(STOCK, "2018-01-05")
    assert "without a posterior" in refused(STOCK, posterior=None)
    assert "got none" in refused([])
    with pytest.raises(ValueError, match="markdown: confidence must be a number from 0 to below 1; got 1"):
        Terms(confidence=1.0)
    with pytest.raises(ValueError, match="stock: on_hand must be a whole number from 1; got 0"):
        StockRow("wool", 0)


def test_columns_may_be_left_out_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    path.write_text("\ufeffproduct,on_hand,price,changes,sold\ntea,120,,,\n 2 ,3.0,1.5,1,7\n\n", encoding="utf-8")
    assert read_stock(path) == [StockRow("tea", 120), StockRow("2", 3, price=1.5, changes=1, sold=7)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns product, on_hand; got no product"),
        ("product\ntea\n", "got no on_hand"),
        ("product,onhand\ntea,3\n", "got 'onhand'; did you mean 'on_hand'?"),
        ("product,product,on_hand\ntea,tea,3\n", "must have the column product once"),
        ("product,on_hand\ntea\n", "row 2: must have 2 cells"),
        ("product,on_hand\ntea,\n", "row 2 must have product, on_hand; got no on_hand"),
        ("product,on_hand\ntea,3\nmilk,2.5\n", "row 3: on_hand must be a whole number from 1; got 2.5"),
        (
            "product,on_hand,price\ntea,3,cheap\n",
            "row 2: price must be a number from -1e+09 to 1e+09, or null; got 'cheap'",
        ),
        (
            "product,on_hand,price\ntea,3,inf\n",
            "row 2: price must be a number from -1e+09 to 1e+09, or null; got 'inf'",
        ),
    ],
)
def test_wrong_cells_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "stock.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must") as wrong:
        read_stock(path)
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_file_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ValueError, match=f"{path} must be a CSV file; got:"):
            read_stock(path)
