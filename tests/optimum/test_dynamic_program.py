"""The general dynamic program and the program of several stocks, against programs that share no code with them."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.optimum import exact_value, solve, upper_bound
from repricer.pricing import FixedPrice
from scipy.stats import nbinom, poisson

SIX_DIGITS = 1e-6
LOGIT = {"family": "mnl", "quality": 3.0, "price_sensitivity": 0.4}
RIVAL = {"names": ["r"], "regular_price": 8.0, "quality": 2.5, "price_sensitivity": 0.35, "floor": 4, "ceiling": 12}
LADDER = {"price_ladder": {"start": 3, "stop": 12, "step": 1}}


def agree(optimum, spec, value, *, exact=True):
    assert optimum.value == pytest.approx(value, rel=SIX_DIGITS)
    if exact:
        assert exact_value(spec, optimum.policy) == pytest.approx(value, rel=SIX_DIGITS)


@pytest.mark.parametrize(("rule", "step"), [("match", 0), ("undercut:1", 1)])
def test_a_rival_that_answers_a_period_later(make, rule, step):
    """It charges what the shop charged last, or less, before the customers come."""
    spec = make(
        None,
        market={"horizon_periods": 8, "objective": "profit", "discount_factor": 0.95},
        products={"regular_price": 9.0, "unit_cost": 2.0},
        arrivals={"rate": [5.0, 6, 7, 8, 9, 8, 7, 6]},
        demand=LOGIT,
        competitors=RIVAL | {"rule": rule},
        prices=LADDER,
    )

    @cache
    def value(t, last):
        if t == 8:
            return 0.0
        rival = min(max(last - step, 4), 12)
        outside, rate = 1 + np.exp(2.5 - 0.35 * rival), spec.arrivals.rate[t, 0]

        def money(price):
            weight = np.exp(3 - 0.4 * price)
            return (price - 2) * rate * weight / (outside + weight) + 0.95 * value(t + 1, price)

        return max(money(price) for price in range(3, 13))

    agree(solve(spec), spec, value(0, 9))


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_an_undercutter_of_the_next_period(make, ending):
    market = {"horizon_periods": 30, "discount_factor": 0.9, "ending": ending}
    spec = make("undercutter", market=market, competitors={"answers_within_period": False})
    prices, values = np.arange(1, 101.0), np.zeros(100)  # by the price charged last
    rival = np.clip(prices - 1, 1, 100)[:, None]
    sale = (1 - prices / 100) * np.where(prices < rival, 1, np.where(prices == rival, 0.5, 0))
    for _ in range(30 if ending == "terminated" else 400):
        values = (prices * sale + 0.9 * values).max(axis=1)
    agree(solve(spec), spec, values[49])


@pytest.mark.parametrize("lead", [0, 1, 2, 3])
@pytest.mark.parametrize("season", [[4.0] * 5, [2.0, 6.0, 9.0, 4.0, 2.0]])
def test_orders_with_lead_times_and_lost_sales(make, lead, season):
    """Demand beyond stock costs money, also from an empty shelf; orders are paid for when they are placed."""
    spec = make(
        None,
        market={"horizon_periods": 5, "objective": "profit"},
        products={"regular_price": 5.0, "unit_cost": 1.0},
        arrivals={"rate": season},
        demand={"family": "exponential", "quality": 0.3, "price_sensitivity": 0.2},
        stock={
            "initial_units": 2,
            "replenishment": "action",
            "max_order_units": 3,
            "lead_time_periods": lead,
            "cost_due": "ordered",
            "holding_cost": 0.1,
            "lost_sale_cost": 0.7,
            "order_cost": 0.2,
        },
        prices={"price_ladder": [3, 4, 5, 7]},
    )
    demand = np.arange(80)

    @cache
    def value(t, units, due):
        if t == 5:
            return 0.0
        best = -np.inf
        for order, price in product(range(4), (3, 4, 5, 7)):
            arriving = (*due, order)
            there = units + (order if lead == 0 else 0)
            mass = poisson.pmf(demand, season[t] * min(1.0, np.exp(0.3 - 0.2 * price)))
            sold = np.minimum(demand, there)
            money = mass @ (price * sold - 0.1 * (there - sold) - 0.7 * (demand - sold)) - order - 0.2 * (order > 0)
            following = (there, ()) if lead == 0 else (there + arriving[0], arriving[1:])
            later = [value(t + 1, following[0] - n, following[1]) for n in range(there + 1)]
            chance = np.append(mass[:there], mass[there:].sum())
            best = max(best, money + chance @ later)
        return best

    optimum = solve(spec)
    agree(optimum, spec, value(0, 2, (0,) * max(lead - 1, 0)), exact=False)
    if season[0] == 2.0:
        money = rollout(spec, optimum.policy, episodes=20_000, seed=lead, expected=True).objective
        assert abs(money.mean() - optimum.value) < 4 * money.std() / money.size**0.5


@pytest.mark.parametrize(("shortage", "horizon"), [("lost", 3), ("backlog", 3), ("lost", 7)])
def test_a_calendar_that_starts_again(make, shortage, horizon):
    """Pricing and ordering where the market goes on after the episode, by value iteration over the season of three."""
    season, steps = [2.0, 5.0, 1.0], (3.0, 4.0, 5.0, 7.0)
    spec = make(
        None,
        market={"horizon_periods": horizon, "objective": "profit", "discount_factor": 0.8, "ending": "truncated"},
        products={"regular_price": 5.0, "unit_cost": 1.0},
        arrivals={"rate": (season * 3)[:horizon]},
        demand={"family": "exponential", "quality": 0.3, "price_sensitivity": 0.2},
        stock={
            "initial_units": 0,
            "replenishment": "action",
            "max_order_units": 6,
            "lead_time_periods": 0,
            "shortage": shortage,
            "cost_due": "ordered",
            "holding_cost": 0.5,
            "lost_sale_cost": 0.7 * (shortage == "lost"),
            "backlog_cost": 2.0 * (shortage == "backlog"),
        },
        prices={"price_ladder": list(steps)},
    )
    least, demand = (-40 if shortage == "backlog" else 0), np.arange(40)
    units = np.arange(least, 31)
    owed, sold = np.minimum(units[:, None] - demand, 0), np.minimum(demand, np.maximum(units[:, None], 0))
    left = units[:, None] - demand if shortage == "backlog" else units[:, None] - sold
    spent, index = 0.5 * np.maximum(left, 0), np.clip(left, least, 30) - least
    spent = spent - (2.0 if shortage == "backlog" else 0.7) * owed
    values = np.zeros(units.size)
    for _ in range(120):
        for rate in season[::-1]:
            after = np.full(units.size, -np.inf)
            for price in steps:
                mass = poisson.pmf(demand, rate * min(1.0, np.exp(0.3 - 0.2 * price)))
                paid = price * (demand if shortage == "backlog" else sold)
                after = np.maximum(after, (paid - spent + 0.8 * values[index]) @ mass)
            values = np.max([np.append(after[q:], np.full(q, -np.inf)) - q for q in range(7)], axis=0)
    optimum = solve(spec)
    assert optimum.policy.products[0].price.shape[0] == 3
    agree(optimum, spec, values[-least])


def test_every_program_knows_a_calendar_that_starts_again(make):
    """Without stock a perpetuity of seasons; several stocks, a regime and a rival by what their policies earn."""
    market = {"horizon_periods": 4, "ending": "truncated", "discount_factor": 0.9}
    rate = {"rate": [0.9, 0.3, 0.9, 0.3]}
    plain = make(None, market=market, arrivals=rate)
    agree(solve(plain), plain, np.exp(-1) * (0.9 + 0.9 * 0.3) / (1 - 0.81))
    assert upper_bound(plain).value == pytest.approx(solve(plain).value, rel=1e-5)
    stocks = make("three-stocks", market=market, arrivals=rate, stock={"initial_units": [1, 2, 1]})
    kinds = {"names": ["a", "b"], "transition": [[0.9, 0.1], [0.3, 0.7]], "initial": [1, 0], "utility": [0.0, 0.5]}
    regime = make(None, market=market, arrivals=rate, regimes=kinds, stock={"initial_units": 3})
    rival = make("undercutter", market=market, arrivals=rate)
    for spec in (stocks, regime, rival):
        optimum = solve(spec)
        agree(optimum, spec, optimum.value)
        assert optimum.value <= upper_bound(spec).value


@pytest.mark.parametrize("scale", ["linear", "log", "saturating"])
def test_reference_prices_with_a_ladder(make, scale):
    """Every path of prices, whose reference prices are then exact."""
    steps = (3.0, 4.0, 5.0, 6.5, 8.0)
    spec = make(
        None,
        market={"horizon_periods": 7, "discount_factor": 0.97},
        products={"regular_price": 6.0},
        arrivals={"rate": 40.0},
        demand={"family": "mnl", "quality": 2.0, "price_sensitivity": 0.4},
        reference_price={"memory": 0.6, "gain": 0.8, "loss": 1.1, "scale": scale},
        prices={"price_ladder": list(steps)},
    )
    gaps = {
        "linear": lambda r, p: r - p,
        "log": lambda r, p: np.log(r / p),
        "saturating": lambda r, p: (1 - (p / r) ** 2) / 2,
    }
    gap = gaps[scale]
    paths = np.array(list(product(steps, repeat=7)))
    money, reference = np.zeros(len(paths)), np.full(len(paths), 6.0)
    for t, price in enumerate(paths.T):
        away = gap(reference, price)
        weight = np.exp(2 - 0.4 * price + np.where(away > 0, 0.8, 1.1) * away)
        money += 0.97**t * 40 * price * weight / (1 + weight)
        reference = 0.6 * reference + 0.4 * price
    agree(solve(spec), spec, money.max())


def test_no_optimum_is_below_what_its_own_policy_earns(make):
    for memory in (0.35, 0.7, 0.9):
        spec = make(
            "remembered",
            market={"ending": "terminated", "horizon_periods": 25},
            reference_price={"memory": memory, "gain": 0.01, "loss": 0.05},
            prices={"floor": None, "ceiling": None, "price_ladder": {"start": 5, "stop": 20, "step": 1}},
        )
        optimum = solve(spec)
        assert exact_value(spec, optimum.policy) <= optimum.value * (1 + 1e-12)


def test_overdispersed_demand_against_a_stock(make):
    spec = make(
        None,
        market={"horizon_periods": 6},
        products={"regular_price": 2.0},
        arrivals={"rate": 3.0, "overdispersion": 0.5},
        stock={"initial_units": 7, "salvage_value": 0.2},
        prices={"price_ladder": [0.5, 1.0, 1.5, 2.0, 3.0]},
    )
    values, demand = 0.2 * np.arange(8.0), np.arange(200)
    for _ in range(6):
        before, values = values, np.empty(8)
        for units in range(8):
            sold = np.minimum(demand, units)
            money = [
                nbinom.pmf(demand, 2, 2 / (2 + 3 * np.exp(-p))) @ (p * sold + before[units - sold])
                for p in (0.5, 1.0, 1.5, 2.0, 3.0)
            ]
            values[units] = max(money)
    agree(solve(spec), spec, values[7])


SHELF = {
    "market": {"horizon_periods": 4},
    "arrivals": {"rate": 0.8, "process": "single"},
    "stock": {"initial_units": [1, 2, 1]},
}
NESTS = {"family": "nested-logit", "nest": ["x", "x", "y"], "nesting": [0.5, 0.3]}
THREE = {"names": ["a", "b", "c"], "regular_price": 6.0}


def shares(utility, there):
    """Purchase probabilities of the nests ((a, b), (c))."""
    inside, nesting, pull = np.zeros(2), (0.5, 0.3), np.zeros(3)
    for j, own in enumerate(((0, 1), (2,))):
        for i in own:
            pull[i] = np.exp(utility[i] / (1 - nesting[j])) * there[i]
        inside[j] = pull[list(own)].sum()
    weight = np.array([x ** (1 - m) if x else 0.0 for x, m in zip(inside, nesting, strict=True)])
    nest = np.array([0, 0, 1])
    return weight[nest] / (1 + weight.sum()) * np.divide(pull, inside[nest], out=np.zeros(3), where=inside[nest] > 0)


def test_stock_and_reference_prices_together(make):
    """Between reference prices values are interpolated; no fixed price does better, and memory matters."""
    spec = make(
        None,
        market={"horizon_periods": 8},
        products={"regular_price": 2.0},
        arrivals={"rate": 3.0},
        demand={"family": "mnl", "quality": 1.0, "price_sensitivity": 1.0},
        stock={"initial_units": 6},
        reference_price={"memory": 0.5, "gain": 0.5, "loss": 0.8},
        prices={"price_ladder": [1.0, 1.5, 2.0, 2.5, 3.0]},
    )
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-4)
    fixed = max(exact_value(spec, FixedPrice(price)) for price in (1.0, 1.5, 2.0, 2.5, 3.0))
    assert fixed < optimum.value * 0.995


def test_an_optimum_does_not_print_its_tables(make):
    assert repr(solve(make("scarce"))).startswith("Optimum(value=30.45")
    assert len(repr(solve(make("scarce")))) < 100
