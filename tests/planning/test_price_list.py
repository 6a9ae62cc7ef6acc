"""The proposed list: every product in every week, at prices that the rules allow, with what they are expected to earn."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import catalogue_of, expected_units
from repricer.evaluation.uncertainty import Assessment, assess, product_figures
from repricer.planning.price_list import _Reasons, priced_rows, proposed_rows
from repricer.pricing import Action, MarketView
from repricer.pricing.policies import PricePath
from repricer.pricing.price_rules.overrides import allowed_path
from repricer.scenarios import MarketSpec
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.price_section import LawSection
from repricer.scenarios.sections import Halves, PromotionSection
from repricer.serving.price_list.rows import ListError, PriceRow


def _array(rows: list[PriceRow], name: str, products: int = 3) -> np.ndarray:
    """(T, N) one column of the list."""
    return np.array([getattr(row, name) for row in rows], dtype=float).reshape(products, -1).T


def test_it_covers_all_products_and_weeks(price_rows: list[PriceRow]) -> None:
    assert len({row.key for row in price_rows}) == len(price_rows) == 3 * 8
    assert [row.week for row in price_rows[:2]] == [dt.date(2018, 1, 1), dt.date(2018, 1, 8)]
    assert {row.product_id for row in price_rows} == {"007", "008", "=9"}
    assert {(row.zone, row.status) for row in price_rows} == {("all stores", "proposed")}


def test_prices_are_allowed_and_frozen_products_stay(
    price_rows: list[PriceRow], dated_market: MarketSpec, assessed: Assessment
) -> None:
    assert assessed.recommendation.change
    current, new = _array(price_rows, "current_price"), _array(price_rows, "new_price")
    allowed, steps, _ = allowed_path(
        dated_market.guardrails, catalogue_of(dated_market), new, current, dated_market.initial_price[None]
    )
    np.testing.assert_allclose(allowed, new, rtol=1e-6)
    assert not any(any(week) for week in steps)
    assert (new[:, 1] == 2.9).all()
    assert {row.reason.partition(":")[0] for row in price_rows if row.product == "biscuit"} == {"Stays"}
    moved = [row for row in price_rows if abs(row.change) > 0.01]
    assert moved
    assert all(row.reason.startswith("Raised" if row.change > 0 else "Lowered") for row in moved)


def test_a_price_that_stays_says_whether_by_rule_or_for_want_of_knowledge(dated_market: MarketSpec) -> None:
    silent = "the sales do not tell how customers respond to other prices"
    said = {None: f"Stays: {silent}, or by your rule.", ("biscuit",): f"Stays: {silent}.", (): "Stays: by your rule."}
    for unidentified, words in said.items():
        spec = dated_market.with_changes(evidence={"unidentified": unidentified})
        assert _Reasons(spec, True)(0, 1, 0.0) == words


def test_a_product_that_is_not_priced_has_its_own_reason(dated_market: MarketSpec) -> None:
    plan = dated_market.plan.price.copy()
    plan[2, 1] = 1.1  # a deal below any floor
    spec = dated_market.with_changes(prices={"frozen_as_planned": True, "frozen_because": {"biscuit": "it is too new"}})
    spec = replace(spec, plan=replace(spec.plan, price=plan))
    assert _Reasons(spec, True)(0, 1, 0.0) == "Stays as planned: it is too new."
    rows = proposed_rows(assess(spec, [], learned=[], draws=10, episodes=2))
    own = [row for row in rows if row.product == "biscuit"]
    assert [row.new_price for row in own] == [row.current_price for row in own] == pytest.approx(plan[:, 1])
    assert {row.reason for row in own} == {"Stays as planned: it is too new."}
    # What it sells on deal is paid at the price of the deal.
    assert own[2].expected_revenue == pytest.approx(1.1 * own[2].expected_units, rel=0.01)


def test_a_reason_says_how_the_market_answers(dated_market: MarketSpec) -> None:
    """It took the elasticity at the regular price for one that holds at every price."""
    regular = dated_market.products.regular_price
    above, below = (
        "a price 10% above the regular one is expected to lose",
        "a price 10% below the regular one is expected to sell",
    )
    elsewhere = "so that other products or a price rule decide"
    for step, words in (
        (0.1, f"Raised 5.0%: {above} {{:.0%}} of the units, of which 17% may be lost before profit falls."),
        (-0.1, f"Lowered 5.0%: {below} {{:.0%}} more units, {elsewhere}."),
    ):
        price = regular * np.array([1 + step, 1.0, 1.0])
        before, after = (expected_units(dated_market, 0, each)[0, :, 0].sum() for each in (regular, price))
        assert _Reasons(dated_market, True)(0, 0, step / 2) == words.format(abs(after / before - 1))


def test_figures_are_those_of_the_listed_prices(
    price_rows: list[PriceRow], dated_market: MarketSpec, assessed: Assessment
) -> None:
    new, revenue = _array(price_rows, "new_price"), _array(price_rows, "expected_revenue")
    np.testing.assert_allclose(_array(price_rows, "expected_units") * new, revenue, rtol=0.01)
    total = assessed.compared.expected[assessed.recommendation.policy][0].mean()
    assert revenue.sum() == pytest.approx(total, rel=0.03)
    assert (_array(price_rows, "units_low") <= _array(price_rows, "expected_units")).all()
    assert (_array(price_rows, "expected_units") <= _array(price_rows, "units_high")).all()
    # Arrivals vary by 20% between the draws; chance by the square root of the units.
    units = _array(price_rows, "expected_units")
    expected = 0.04 * units**2 / (0.04 * units**2 + units)
    assert abs(np.mean(_array(price_rows, "parameter_share") - expected)) < 0.12


def test_marks_and_lowest_prices(price_rows: list[PriceRow], dated_market: MarketSpec) -> None:
    assert dated_market.plan is not None
    for row in price_rows:
        n = dated_market.products.names.index(row.product)
        outside = not dated_market.past.charged_low[n] <= row.new_price <= dated_market.past.charged_high[n]
        assert bool(row.outside_charged) == outside
    assert any(row.outside_charged for row in price_rows)
    first = price_rows[:8]
    # 30 days are five weeks; before the list, prices are not known.
    assert [row.lowest_price_30_days for row in first[:5]] == [None] * 5
    assert first[5].lowest_price_30_days == min(row.new_price for row in first[:5])


def test_no_change_keeps_the_current_prices(assessed: Assessment) -> None:
    none = replace(assessed.recommendation, policy=assessed.recommendation.current)
    rows = proposed_rows(replace(assessed, recommendation=none))
    assert all(row.new_price == row.current_price for row in rows)
    assert {row.reason for row in rows if row.product != "biscuit"} == {
        "Stays: no change of the current prices is recommended."
    }


def test_a_planned_price_that_misses_what_the_shop_fixed_is_named(dated_market: MarketSpec) -> None:
    current = planned_prices(dated_market)
    floor = dated_market.prices.floor.copy()
    floor[0] = current[:, 0].max() + 0.5
    ceiling = np.maximum(dated_market.prices.ceiling, floor)
    fixed = dated_market.with_changes(prices={"floor": floor, "ceiling": ceiling, "bounds_from_sales": ()})
    policy = PricePath(current.astype(np.float32), as_charged=True)
    for spec in (fixed, fixed.with_changes(prices={"bounds_from_sales": dated_market.products.names})):
        rows = priced_rows(spec, policy, current, current, lambda *_: "Stays.")
        named = {row.product: row.rules for row in rows if row.week == rows[0].week and row.rules}
        missed = f"planned price misses floor by {floor[0] - current[0, 0]:.4g}"
        assert named == ({spec.products.names[0]: missed} if spec is fixed else {})


def test_a_market_without_dates_is_refused(dated_market: MarketSpec) -> None:
    undated = assess(dated_market.with_changes(market={"first_day": ""}), [], learned=[], draws=2, episodes=2)
    with pytest.raises(ListError, match="needs a market with dates; got test-market"):
        proposed_rows(undated)


def test_a_rule_that_holds_a_price_back_is_named(dated_market: MarketSpec) -> None:
    # The policy asks for the regular price of 5; 5.50 was charged last.
    held = dated_market.with_changes(prices={"max_change": 0.02})
    found = assess(held, [], learned=[], draws=2, episodes=2)
    rows = proposed_rows(replace(found, recommendation=replace(found.recommendation, policy="regular")))
    first = next(row for row in rows if row.product_id == "=9")
    assert first.new_price == pytest.approx(5.4)  # the tick next to 2% below
    assert first.rules.startswith("max change")


def test_a_frozen_product_sells_what_is_planned_at_its_planned_price(
    dated_market: MarketSpec, price_rows: list[PriceRow]
) -> None:
    """Its demand holds the plan, as in the market of a fit, where it is simulated at one price."""
    assert dated_market.plan is not None
    plan = dated_market.plan.price.copy()
    plan[2, 1] = 2.0
    spec = replace(dated_market, plan=replace(dated_market.plan, price=plan))
    rows = proposed_rows(assess(spec, [], learned=[], draws=20, episodes=2))
    (row, as_before), cost = (found[10] for found in (rows, price_rows)), spec.products.unit_cost[1]
    assert (row.product, row.new_price, as_before.new_price) == ("biscuit", 2.0, 2.9)
    assert row.expected_units == pytest.approx(as_before.expected_units, rel=0.01)
    assert row.expected_revenue == pytest.approx(2.0 * row.expected_units, abs=0.02)
    assert row.revenue_high == pytest.approx(2.0 * row.units_high, abs=0.02)
    assert row.expected_profit == pytest.approx((2.0 - cost) * row.expected_units, rel=0.02)


def test_products_that_the_policy_promotes_are_named_as_the_figures_hold_them(dated_market: MarketSpec) -> None:
    spec = replace(dated_market, promotion=PromotionSection(lift=np.full((2, 3), 0.8), cost=np.zeros(3)))
    price = np.tile([2.1, 2.9, 5.5], (8, 1))
    shown = np.zeros((8, 3), np.float32)
    shown[2, 0] = shown[5, 2] = 1.0
    plain, listed = (
        priced_rows(spec, PricePath(price.astype(np.float32), promoted), price, price, lambda *_: "Stays.")
        for promoted in (None, shown)
    )
    assert {row.reason for row in plain} == {"Stays."}
    words = np.array([row.reason for row in listed]).reshape(3, -1).T
    np.testing.assert_array_equal(words == "Stays. On display or in the mailer.", shown > 0.5)
    more = _array(listed, "expected_units") / _array(plain, "expected_units")
    assert (more[shown > 0.5] > 1.1).all()


def test_expected_figures_count_discounts_as_far_as_the_price_paid_may_fall(dated_market: MarketSpec) -> None:
    class Generous:
        name = "generous"

        def act(self, view: MarketView) -> Action:
            price = np.tile(np.float32([2.1, 2.9, 5.5]), (view.num_markets, 1))
            discount = np.full((*price.shape, view.catalogue.num_segments), 0.3, np.float32)
            return Action(price, discount=discount)

    prices = {"floor": np.array([2.0, 2.8, 5.0]), "max_discount": 0.3, "frozen": ()}
    spec = dated_market.with_changes(prices=prices)
    rows = priced_rows(spec, Generous(), *[np.tile([2.1, 2.9, 5.5], (8, 1))] * 2, lambda *_: "")
    found = product_figures(spec, Generous())
    for name, wanted in (("expected_revenue", found.revenue.mean), ("expected_profit", found.profit.mean)):
        np.testing.assert_allclose(_array(rows, name), wanted, atol=0.006)


def test_a_list_for_the_european_union_states_prior_prices(dated_market: MarketSpec, assessed: Assessment) -> None:
    spec = replace(dated_market, law=LawSection(("EU",)))
    policy, current = assessed.policy, planned_prices(spec)
    price = current.copy()
    price[2:5, 0] *= 0.8
    rows = priced_rows(spec, policy, price, current, lambda t, n, change: "Because.")[: len(price)]
    usual = float(min(row.new_price for row in rows[:2]))
    lowest = spec.guardrails.prices_before(spec.products.regular_price)[-1, 0]
    prior = min(usual, float(lowest))
    off = np.floor((1 - price[2, 0] / prior) * 1e4 + 1e-6) / 1e4
    words = f"Because. May be announced as a reduction of {off:.2%} from {prior:,.2f}."
    # As long as the reduced price holds; what comes after it is none.
    assert [row.reason for row in rows[2:6]] == [words, words, words, "Because."]
    assert rows[2].lowest_price_30_days == pytest.approx(prior)
    assert rows[0].lowest_price_30_days is not None


def test_the_list_states_what_the_half_of_the_sales_expects_that_the_verdict_is_from(dated_market: MarketSpec) -> None:
    busy = np.repeat([2.0, 0.5], 10)[:, None, None]
    spec = replace(dated_market, halves=Halves(draws=20, arrivals=busy))
    found = assess(spec, [], learned=[], draws=20, episodes=2)
    units = _array(proposed_rows(found), "expected_units").sum()
    for half, factor in ((spec.scored, 1.0), (spec.searched, 4.0)):
        own = product_figures(half, found.policy).units.mean.sum()
        assert own == pytest.approx(factor * units, rel=0.1)
