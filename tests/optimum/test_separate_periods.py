import numpy as np
import pytest
from repricer.optimum import exact_value, solve, upper_bound
from repricer.pricing import FixedPrice
from scipy.optimize import minimize
from scipy.special import lambertw


def test_equal_mark_ups_by_lamberts_function(make):
    spec = make("logit")
    optimum, cost = solve(spec), np.array([3.0, 2.0, 1.0])
    assert optimum.method == "closed form"
    assert optimum.value == pytest.approx(9.162189, abs=5e-7)
    assert optimum.policy.price[0] - cost == pytest.approx(np.full(3, 13.1622), abs=5e-5)
    w = lambertw(np.exp(np.array([4, 3.5, 3]) - 0.25 * cost - 1).sum()).real
    assert optimum.policy.price[0] - cost == pytest.approx(np.full(3, (1 + w) / 0.25), rel=1e-12)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def test_mark_ups_of_product_specific_coefficients(make):
    slope = np.array([0.25, 0.35, 0.5])
    optimum = solve(make("logit", demand={"price_sensitivity": slope}))
    assert optimum.value == pytest.approx(7.428083, abs=5e-7)
    assert optimum.policy.price[0] == pytest.approx(np.array([3, 2, 1]) + 1 / slope + optimum.value, rel=1e-12)


def test_bounds_and_ladders_are_searched_by_brute_force(make):
    slope, cost, quality = np.array([0.25, 0.35, 0.5]), np.array([3.0, 2.0, 1.0]), np.array([4, 3.5, 3])
    prices = {"price_ladder": {"start": 2, "stop": 30, "step": 0.75}, "floor": [2, 9, 2], "ceiling": [12, 30, 30]}
    spec = make("logit", demand={"price_sensitivity": slope}, prices=prices)
    steps = spec.prices.price_ladder.steps
    grids = [steps[(steps >= low) & (steps <= high)] for low, high in zip([2, 9, 2], [12, 30, 30], strict=True)]
    rows = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    weight = np.exp(quality - slope * rows)
    money = ((rows - cost) * weight).sum(axis=1) / (1 + weight.sum(axis=1))
    assert solve(spec).value == pytest.approx(money.max(), rel=1e-12)
    assert solve(spec).policy.price[0] == pytest.approx(rows[money.argmax()])


@pytest.mark.parametrize("prices", [{}, {"price_ladder": {"start": 4, "stop": 24, "step": 0.5}}])
def test_prices_felt_as_logarithms_have_their_optimum(make, prices):
    regular, slope, cost = np.array([12.0, 9.0, 10.0]), np.array([0.25, 0.35, 0.5]), np.array([3.0, 2.0, 1.0])
    curvature, quality = np.array([1.0, 0.5, 1.0]), np.array([4, 3.5, 3])
    demand = {"price_sensitivity": slope, "price_curvature": curvature}
    spec = make("logit", products={"regular_price": regular}, demand=demand, prices=prices)

    def loss(price: np.ndarray) -> float:
        felt = (1 - curvature) * price + curvature * regular * (1 + np.log(price / regular))
        weight = np.exp(quality - slope * felt)
        return -float((price - cost) @ weight / (1 + weight.sum()))

    if prices:
        price = regular.copy()
        for _ in range(9):  # product by product until nothing moves: each has one peak
            for n, rungs in enumerate([np.arange(4, 24.5, 0.5)] * 3):
                price[n] = min(rungs, key=lambda rung, n=n: loss(np.where(np.arange(3) == n, rung, price)))
    else:
        price = minimize(loss, regular, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x
    optimum = solve(spec)
    assert optimum.value == pytest.approx(-loss(price), rel=1e-9)
    assert optimum.policy.price[0] == pytest.approx(price, rel=1e-5)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-6)
    assert upper_bound(spec).value >= optimum.value * (1 - 1e-9)
    if not prices:
        assert upper_bound(spec).value == pytest.approx(optimum.value, rel=1e-6)


def test_categories_add_up(make):
    both = make(
        "logit",
        products={"category": ["x", "x", "y"]},
        arrivals={"rate": [1.0, 2.0]},
    )
    alone = make(
        "logit",
        products={"names": ["a", "b"], "unit_cost": [3, 2]},
        demand={"quality": [4, 3.5]},
    )
    single = make("logit", products={"names": ["c"], "unit_cost": 1}, demand={"quality": 3}, arrivals={"rate": 2.0})
    assert solve(both).value == pytest.approx(solve(alone).value + solve(single).value, rel=1e-12)


def test_the_calendar_moves_prices_and_discounting_counts(make):
    season, rate = [0.0, 1.0, 0.0], [1.0, 2.0, 3.0]
    spec = make(
        "logit",
        market={"horizon_periods": 3, "discount_factor": 0.9},
        demand={"season": season},
        arrivals={"rate": rate},
    )
    value = sum(
        0.9**t * r * solve(make("logit", demand={"season": s})).value
        for t, (s, r) in enumerate(zip(season, rate, strict=True))
    )
    optimum = solve(spec)
    assert optimum.value == pytest.approx(value, rel=1e-12)
    assert optimum.policy.price[0] == pytest.approx(optimum.policy.price[2])
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def test_an_endless_market_is_worth_its_perpetuity(make):
    endless = make("logit", market={"ending": "truncated", "discount_factor": 0.9})
    assert solve(endless).value == pytest.approx(9.162189 / (1 - 0.9), abs=5e-6)
    assert exact_value(endless, solve(endless).policy) == pytest.approx(solve(endless).value, rel=1e-7)


SEGMENTS = [("two-segments", 8.0958, 5.5200, 26.73), ("three-segments", 7.6668, 4.7495, 11.43)]


@pytest.mark.parametrize(("name", "personal", "one", "price"), SEGMENTS)
def test_one_price_for_all_segments_and_one_for_each(make, name, personal, one, price):
    common = make(name)
    assert solve(common).value / 3 == pytest.approx(one, abs=5e-5)
    assert exact_value(common, FixedPrice(price)) == pytest.approx(solve(common).value, rel=1e-6)
    assert exact_value(common, FixedPrice(price)) < solve(common).value
    assert exact_value(common, solve(common).policy) == pytest.approx(solve(common).value, rel=1e-7)
    apart = make(name, prices={"max_discount": 0.95})
    assert solve(apart).value / 3 == pytest.approx(personal, abs=5e-5)
    assert exact_value(apart, solve(apart).policy) == pytest.approx(solve(apart).value, rel=1e-7)


@pytest.mark.parametrize("name", ["two-segments", "three-segments"])
@pytest.mark.parametrize("limit", [{"max_discount": 0.4}, {"max_discount": 0.9, "max_segment_spread": 0.3}])
def test_short_discounts_are_searched_by_brute_force(make, name, limit):
    spec = make(name, prices=limit)
    optimum, most = solve(spec), limit["max_discount"]
    reach = min(most, limit.get("max_segment_spread", 1.0))
    quality, slope = spec.demand.quality[:, 0], spec.demand.price_sensitivity[:, 0]
    share = spec.arrivals.segment_share[0]
    listed = np.linspace(1, 80, 1581)[:, None]
    best = 0.0
    # A discount that all segments get lets their prices be further apart.
    for common in np.linspace(0, most - reach, 31):
        paid = np.maximum(1, listed * (1 - common - np.linspace(0, reach, 401)))
        worth = [paid * w / (1 + np.exp(b * paid - q)) for q, b, w in zip(quality, slope, share, strict=True)]
        best = max(best, sum(money.max(axis=1) for money in worth).max())
    assert best <= optimum.value / 3 * (1 + 1e-9)
    assert best == pytest.approx(optimum.value / 3, rel=1e-4)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-6)


def test_joint_monopoly_and_nash_of_the_duopoly(make):
    """Calvano et al. (2020): one owner of both products, and the best answer to a rival who stays at Nash."""
    firm = {"family": "mnl", "quality": 8.0, "price_sensitivity": 4.0}
    cost = {"unit_cost": 1.0, "regular_price": 1.472927}
    profit = {"objective": "profit", "horizon_periods": 1}
    monopoly = solve(make(None, market=profit, products={"names": ["a", "b"], **cost}, demand=firm))
    assert monopoly.value / 2 == pytest.approx(0.337490, abs=5e-7)
    assert monopoly.policy.price[0] == pytest.approx(np.full(2, 1.924981), abs=5e-7)
    rival = {"names": ["r"], "regular_price": 1.472927, "quality": 8.0, "price_sensitivity": 4.0}
    against = make(None, market=profit, products=cost, demand=firm, competitors=rival)
    assert solve(against).value == pytest.approx(0.222927, abs=5e-7)
    assert solve(against).policy.price[0, 0] == pytest.approx(1.472927, abs=5e-7)
    assert exact_value(against, solve(against).policy) == pytest.approx(solve(against).value, rel=1e-7)


@pytest.mark.parametrize(
    ("family", "slope", "price"),
    [
        ("linear", 0.1, 5.0),
        ("cheapest", 0.1, 5.0),
        ("exponential", 0.5, 2.0),
        ("constant-elasticity", 2.0, np.exp(0.5)),
    ],
)
def test_single_products_of_every_family(make, family, slope, price):
    quality = 0.0 if family == "exponential" else 1.0
    spec = make(
        None,
        demand={"family": family, "quality": quality, "price_sensitivity": slope},
        prices={"floor": 0.5, "ceiling": 9},
    )
    optimum = solve(spec)
    assert optimum.method == "price search"
    assert optimum.policy.price[:, 0] == pytest.approx(np.full(10, price), rel=1e-6)
    assert exact_value(spec, FixedPrice(price * 1.05)) < optimum.value


def test_the_ladder_is_kept(make):
    spec = make("two-segments", prices={"price_ladder": {"start": 2, "stop": 50, "step": 7}})
    values = {p: exact_value(spec, FixedPrice(float(p))) for p in range(2, 51, 7)}
    assert solve(spec).policy.price[0, 0] == max(values, key=values.get)
    assert solve(spec).value == pytest.approx(max(values.values()), rel=1e-7)
