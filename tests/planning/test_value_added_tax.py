"""Prices that hold VAT: customers see them, and all money is without it, whoever counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repricer.agents.classical import myopic
from repricer.agents.posterior import PosteriorMoney, draws_of
from repricer.agents.posterior.best_plan import best_plan
from repricer.agents.posterior.deals import PlanValue, own_plan
from repricer.agents.posterior.prices import best_prices
from repricer.envs import Market, catalogue_of, rollout
from repricer.envs.adapters.learner_view import LearnerView
from repricer.evaluation import solve, upper_bound, what_if
from repricer.evaluation.competition import _Game
from repricer.evaluation.policies import named_policy
from repricer.evaluation.rule_costs import rule_costs
from repricer.evaluation.uncertainty.assessment import plan_beside_past
from repricer.fitting.price_search import PriceSearch, shadow_cost
from repricer.planning.account import _money, account
from repricer.planning.experiments.value import PriceTest, drawn_outcomes
from repricer.planning.markdown import plan_markdown
from repricer.planning.markdown_inputs import StockRow
from repricer.pricing import Action, CostPlus, FixedPrice
from repricer.pricing.features import feature_constants
from repricer.scenarios import MarketSpec, load_scenario, save_scenario
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.sections import Posterior, Returns
from repricer.scenarios.shop_sections import PastSection, PlanSection

RATE, DRAWS, WEEKS = 0.19, 6, 8
OTHER_MONEY = ("holding_cost", "lost_sale_cost", "order_cost", "backlog_cost", "salvage_value")


@pytest.fixture(scope="module")
def taxed(make_shop) -> MarketSpec:
    """A market of one rate, with a plan of its own, deals that suppliers fund, returns, personal discounts and a posterior."""
    spec = make_shop(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7},
        products={"ids": ["1", "2", "3"], "vat": RATE},
        prices={"floor": [2.0, 2.5, 1.5], "minimum_margin": 0.1, "max_change": 0.3},
    )
    planned = np.tile([4.2, 5.0, 3.0], (WEEKS, 1))
    planned[3] = [3.5, 5.0, 2.5]
    rng = np.random.default_rng(3)
    posterior = Posterior(
        draws=DRAWS,
        arrivals=np.exp(rng.normal(0, 0.1, (DRAWS, 1, 1))),
        sensitivity=np.exp(rng.normal(0, 0.2, (DRAWS, 3))),
    )
    past = {
        "units": np.array([[90.0, 80.0, 70.0]] * 3),
        "revenue": np.array([[300.0, 340.0, 180.0]] * 3) / (1 + RATE),
        "profit": np.array([[100.0, 90.0, 80.0]] * 3) / (1 + RATE),
        "deals": np.zeros((3, 3)),
    }
    shop = {
        "plan": PlanSection(price=planned, funding=0.1),
        "past": PastSection(charged_low=[3.0, 4.5, 2.0], charged_high=[4.5, 5.5, 3.5], **past),
    }
    returns = Returns(probability=np.full(3, 0.05), handling_cost=np.full(3, 0.2))
    return replace(spec, **shop, posterior=posterior, returns=returns)


@pytest.fixture(scope="module")
def in_shelf_money(taxed: MarketSpec) -> MarketSpec:
    """The same market in the money that customers pay: no VAT, and all costs with it. Its money is 1 + RATE times as much."""
    more = 1 + RATE
    return taxed.with_changes(
        products={"vat": np.array(0.0), "unit_cost": taxed.products.shelf_cost},
        stock={name: getattr(taxed.stock, name) * more for name in OTHER_MONEY},
        returns={"handling_cost": taxed.returns.handling_cost * more},
        plan={"funding": taxed.plan.funding * more},
        past={name: getattr(taxed.past, name) * more for name in ("revenue", "profit")},
    )


def simulated(spec: MarketSpec) -> Any:
    run = rollout(spec, FixedPrice(np.array([4.1, 5.2, 2.9])), episodes=3, seed=1)
    return np.stack([run.revenue, run.profit, run.objective])


def expected(spec: MarketSpec) -> Any:
    market = Market(spec, num_markets=3, seed=1)
    outcome = market.step(Action(np.tile(np.float32([4.1, 5.2, 2.9]), (3, 1)), np.full((3, 3, 2), 0.1, np.float32)))
    return np.stack([outcome.expected_revenue, outcome.expected_profit])


def product_wise_rewards(spec: MarketSpec) -> Any:
    market = Market(spec, num_markets=3, seed=1)
    view = LearnerView(market, product_wise=True, reward="expected-gain", reward_scale=1.0)
    return view.rewards(market.step(Action(np.tile(np.float32([4.1, 5.2, 2.9]), (3, 1)))))


def over_draws(spec: MarketSpec) -> Any:
    return PosteriorMoney(spec, draws_of(spec)).by_draw(np.array([4.1, 5.2, 2.9]))


def of_plans(spec: MarketSpec) -> Any:
    return PlanValue(spec, draws=range(DRAWS)).money_by_draw(own_plan(spec))


def asked(spec: MarketSpec) -> Any:
    draws = what_if(spec, planned_prices(spec) * 1.05).draws
    return np.stack([draws["revenue"], draws["profit"]])


def beside_past(spec: MarketSpec) -> Any:
    return [[row["revenue"], row["profit"]] for row in plan_beside_past(spec)]


def of_experiments(spec: MarketSpec) -> Any:
    test = PriceTest((0,), 1.1 * planned_prices(spec)[:, [0]])
    outcomes = drawn_outcomes(spec, [test], weeks=4)
    return np.concatenate([outcomes.losses.ravel(), outcomes.planned.ravel(), outcomes.unknown])


def searched(spec: MarketSpec) -> Any:
    search = PriceSearch(spec)
    return search.money(np.array([4.1, 5.2, 2.9]), spec.products.unit_cost)


def accounted(spec: MarketSpec) -> Any:
    units = np.tile([30.0, 20.0, 40.0], (2, 1))
    row = account(spec, planned_prices(spec)[:2], units, draws=4)["rows"][0]["revenue"]
    return [row["realised"], row["predicted"], *row["interval90"]]


def of_stores(spec: MarketSpec) -> Any:
    day = pd.Timestamp("2018-01-03")
    rows = {"date": day, "product": ["1", "2"], "units": [2.0, 3.0], "price_paid": [4.0, 5.0], "store": "s"}
    return _money(spec, pd.DataFrame(rows), pd.Timestamp("2018-01-01"), pd.Timestamp("2018-01-08"))


MONEY: tuple[Callable[[MarketSpec], Any], ...] = (
    simulated,
    expected,
    product_wise_rewards,
    over_draws,
    of_plans,
    asked,
    beside_past,
    of_experiments,
    searched,
    accounted,
    of_stores,
)


@pytest.mark.parametrize("money", MONEY, ids=lambda money: money.__name__)
def test_money_is_that_of_the_market_in_shelf_money_less_its_vat(
    money: Callable[[MarketSpec], Any], taxed: MarketSpec, in_shelf_money: MarketSpec
) -> None:
    there = np.asarray(money(in_shelf_money), np.float64)
    assert np.abs(there).max() > 1e-3
    np.testing.assert_allclose((1 + RATE) * np.asarray(money(taxed), np.float64), there, rtol=2e-5, atol=2e-4)


def fixed(spec: MarketSpec) -> Any:
    return best_prices(spec, PosteriorMoney(spec, draws_of(spec)))


def of_each_period(spec: MarketSpec) -> Any:
    return myopic(spec).path


def planned(spec: MarketSpec) -> Any:
    return best_plan(spec).path


def of_rules(spec: MarketSpec) -> Any:
    return np.stack([spec.guardrails.low, spec.guardrails.high, spec.guardrails.paid_low])


def cost_plus(spec: MarketSpec) -> Any:
    return CostPlus(0.4).act(Market(spec).view).price


def observed(spec: MarketSpec) -> Any:
    return feature_constants(catalogue_of(spec)).fixed


def searched_prices(spec: MarketSpec) -> Any:
    return PriceSearch(spec).best(spec.products.unit_cost, *spec.price_bounds)


def average_price(spec: MarketSpec) -> Any:
    run = rollout(spec, FixedPrice(np.array([4.1, 5.2, 2.9])), episodes=3, seed=1)
    return [run.average_transaction_price, *(row["average_price"] for row in plan_beside_past(spec))]


def marked_down(spec: MarketSpec) -> Any:
    return plan_markdown(spec, [StockRow("1", 60)], "2018-02-11").price


PRICES = (fixed, of_each_period, planned, of_rules, cost_plus, observed, searched_prices, average_price, marked_down)


@pytest.mark.parametrize("prices", PRICES, ids=lambda prices: prices.__name__)
def test_prices_are_those_of_the_market_in_shelf_money(
    prices: Callable[[MarketSpec], Any], taxed: MarketSpec, in_shelf_money: MarketSpec
) -> None:
    np.testing.assert_allclose(prices(taxed), prices(in_shelf_money), rtol=1e-5)


def test_each_product_has_its_rate_and_the_demand_of_its_shelf_price(make_shop) -> None:
    """Also where rates differ: the same units as without VAT, and of each price p the money p / (1 + v) - c."""
    vat, price = np.array([0.19, 0.07, 0.0]), np.array([4.1, 5.2, 2.9], np.float32)
    plain = make_shop(stock=None, prices={"max_discount": 0.0})
    spec = plain.with_changes(products={"vat": vat})
    found, without = (
        Market(each, num_markets=200, seed=4).step(Action(np.tile(price, (200, 1)))) for each in (spec, plain)
    )
    np.testing.assert_array_equal(found.units, without.units)
    np.testing.assert_array_equal(found.paid, without.paid)
    net = price / (1 + vat)
    np.testing.assert_allclose(found.revenue, found.units * net, rtol=1e-5)
    np.testing.assert_allclose(found.profit, found.units * (net - spec.products.unit_cost), rtol=1e-4, atol=1e-4)
    margin = found.expected_profit / found.expected_revenue
    np.testing.assert_allclose(margin, np.tile((net - spec.products.unit_cost) / net, (200, 1)), rtol=1e-4)


def test_what_rules_cost_is_without_vat(make_shop) -> None:
    rng = np.random.default_rng(5)
    posterior = Posterior(draws=4, sensitivity=np.exp(rng.normal(0, 0.2, (4, 3))))
    prices = {"tick": 0.05, "max_discount": 0.0, "ceiling": [4.2, 9.0, 6.0]}
    plain = replace(
        make_shop(stock=None, reference_price=None, recommendation=None, prices=prices), posterior=posterior
    )
    spec = plain.with_changes(products={"vat": RATE})
    shelf = plain.with_changes(products={"unit_cost": spec.products.shelf_cost})
    found, there = (rule_costs(each) for each in (spec, shelf))
    assert (1 + RATE) * found.profit == pytest.approx(there.profit)
    assert (1 + RATE) * found.together.cost == pytest.approx(there.together.cost)
    assert found.together.cost > 0


def test_a_profit_floor_is_held_without_vat(make_shop) -> None:
    plain = make_shop(stock=None, recommendation=None, reference_price=None, market={"objective": "revenue"})
    spec = plain.with_changes(products={"vat": RATE})
    dearest = np.array([2.5, 3.2, 1.6])
    own = PriceSearch(plain).money(plain.products.regular_price, dearest * (1 + RATE))
    there = shadow_cost(plain, dearest * (1 + RATE), own)
    assert there.any()
    np.testing.assert_allclose((1 + RATE) * shadow_cost(spec, dearest, own / (1 + RATE)), there, rtol=1e-3)


def test_rivals_are_played_without_our_vat() -> None:
    plain = load_scenario("calvano-duopoly")
    spec = plain.with_changes(products={"vat": RATE, "unit_cost": plain.products.unit_cost / (1 + RATE)})
    price = np.array([[1.5, 1.6]])
    (ours, theirs), (mine, yours) = _Game(spec, 0).profit(price)[0], _Game(plain, 0).profit(price)[0]
    assert ours == pytest.approx(mine / (1 + RATE))
    assert theirs == pytest.approx(yours)


@pytest.mark.parametrize("name", ["stationary-logit", "three-stocks", "gallego-van-ryzin"])
def test_no_solver_takes_vat_for_revenue(name: str) -> None:
    plain = load_scenario(name)
    spec = plain.with_changes(products={"vat": RATE})
    assert solve(plain) is not None
    assert upper_bound(plain) is not None
    assert solve(spec) is None
    assert upper_bound(spec) is None
    with pytest.raises(ValueError, match="an exact solver, whose prices hold no VAT; got"):
        named_policy("optimum", spec)


def test_a_scenario_keeps_its_rates_and_one_of_an_earlier_version_has_none(taxed: MarketSpec, tmp_path) -> None:
    path = save_scenario(taxed, tmp_path)
    assert load_scenario(path).products.vat.tolist() == [RATE] * 3
    arrays = dict(np.load(tmp_path / "scenario.npz"))
    del arrays["products.vat"]
    np.savez(tmp_path / "scenario.npz", **arrays)
    assert load_scenario(path).products.vat.tolist() == [0.0] * 3
