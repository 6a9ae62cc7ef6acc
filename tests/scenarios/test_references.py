"""The files hold the markets whose values were published: each value again, from the file's numbers, by a page of NumPy."""

import numpy as np
import pytest
from repricer.evaluation import solve
from repricer.scenarios import load_scenario
from scipy.optimize import brentq, minimize
from scipy.special import lambertw
from scipy.stats import poisson


@pytest.mark.parametrize(
    ("name", "value"),
    [("gallego-van-ryzin", 15.4464), ("stationary-logit", 435.668), ("low-before-high", 358.395), ("scarce", 30.4538)],
)
def test_what_the_solver_reaches(name, value):
    assert solve(load_scenario(name)).value == pytest.approx(value, rel=5e-6)


def test_regimes():
    spec = load_scenario("regimes")
    prices, stock = spec.prices.price_ladder.steps, int(spec.stock.initial_units[0])
    sensitivity = spec.demand.price_sensitivity[0, 0] * spec.regimes.sensitivity
    mean = spec.arrivals.rate[0, 0] * np.exp(-np.outer(sensitivity, prices))
    mass = poisson.pmf(np.arange(stock + 1), mean[..., None])  # (Z, P, D)
    value = np.zeros((2, stock + 1))
    for _ in range(spec.market.horizon_periods):
        later, value = spec.regimes.transition @ value, np.zeros_like(value)
        for n in range(1, stock + 1):
            sold = np.arange(n)
            rest = 1 - mass[:, :, :n].sum(axis=2)
            units = mass[:, :, :n] @ sold + n * rest
            go_on = np.einsum("zpd,zd->zp", mass[:, :, :n], later[:, n - sold]) + rest * later[:, :1]
            value[:, n] = (prices * units + go_on).max(axis=1)
    assert spec.regimes.initial @ value[:, stock] == pytest.approx(619.856, abs=1e-3)


def test_three_stocks():
    spec = load_scenario("three-stocks")
    quality, slope, arrival = spec.demand.quality[0], spec.demand.price_sensitivity[0, 0], spec.arrivals.rate[0, 0]
    units = int(spec.stock.initial_units[0])
    value = np.zeros((units + 1,) * 3)
    for _ in range(spec.market.horizon_periods):
        weight = np.zeros_like(value)
        for j in range(3):
            lost = np.full_like(value, np.inf)  # what one unit less of j costs later; a sold-out product is not chosen
            here, below = [slice(None)] * 3, [slice(None)] * 3
            here[j], below[j] = slice(1, None), slice(None, -1)
            lost[tuple(here)] = value[tuple(here)] - value[tuple(below)]
            weight += np.exp(quality[j] - slope * lost - 1)
        # All products carry the markup (1 + W) / b over what they cost later, and the customer brings W / b.
        value = value + arrival * lambertw(weight).real / slope
    assert value[-1, -1, -1] == pytest.approx(282.498, abs=1e-3)


def test_undercutter():
    spec = load_scenario("undercutter")
    own = spec.prices.price_ladder.steps
    chance = lambda low: np.clip(spec.demand.quality[0, 0] - spec.demand.price_sensitivity[0, 0] * low, 0, 1)  # noqa: E731

    def half(rival):
        """(own, rival) money of half a period."""
        won = (own[:, None] < rival) + 0.5 * (own[:, None] == rival)
        return own[:, None] * won * chance(np.minimum(own[:, None], rival))

    answer = np.maximum(own - 1, spec.competitors.floor[0])
    money = half(own[None]) + np.diag(half(answer[None]))[:, None]
    value = np.zeros(own.size)
    for _ in range(spec.market.horizon_periods):
        total = money + spec.market.discount_factor * value[np.searchsorted(own, answer)][:, None]
        value = total.max(axis=0)
    opening = np.searchsorted(own, spec.competitors.regular_price[0])
    assert value[opening] == pytest.approx(2262.006, abs=2e-3)
    assert spec.market.discount_factor**spec.market.horizon_periods < 1e-5
    best = own[total.argmax(axis=0)]
    assert best[34] == 66  # a rival at 35 or below is led up
    assert best[35] == 35  # one at 36 is undercut


def test_price_and_order():
    spec = load_scenario("price-and-order")
    stock, prices = spec.stock, spec.prices.price_ladder.steps
    cost, gamma = spec.products.unit_cost[0], spec.market.discount_factor
    mean = spec.arrivals.rate[0, 0] * (spec.demand.quality[0, 0] - spec.demand.price_sensitivity[0, 0] * prices)
    demand = np.arange(60)
    mass = poisson.pmf(demand, np.maximum(mean, 0)[:, None])
    units = np.arange(-160, 61)
    ordered, sold = np.arange(int(stock.max_order_units[0]) + 1), units[:, None] - demand
    kept = -stock.holding_cost[0] * np.maximum(sold, 0) - stock.backlog_cost[0] * np.maximum(-sold, 0)
    value = np.zeros(units.size)
    for _ in range(spec.market.horizon_periods):
        later = kept + gamma * value[np.clip(sold + 160, 0, units.size - 1)]
        after_order = (later @ mass.T + prices * mean).max(axis=1)
        value = np.max(
            [after_order[np.minimum(np.arange(units.size) + q, units.size - 1)] - cost * q for q in ordered], 0
        )
    assert value[160 + int(stock.initial_units[0])] == pytest.approx(588.903, abs=2e-3)


def test_equal_markup():
    spec = load_scenario("equal-markup")
    slope, cost = spec.demand.price_sensitivity[0], spec.products.unit_cost
    brought = lambertw(np.exp(spec.demand.quality[0] - slope * cost - 1).sum()).real / slope[0]
    assert brought == pytest.approx(9.162189, abs=1e-6)
    np.testing.assert_allclose(spec.products.regular_price - cost, 13.1622, atol=1e-4)
    assert spec.arrivals.rate.sum() == 100


def test_segment_prices():
    spec = load_scenario("segment-prices")
    slope, share = spec.demand.price_sensitivity[:, 0], spec.arrivals.segment_share[0]
    each = lambertw(np.exp(spec.demand.quality[:, 0] - 1)).real / slope
    assert share @ each == pytest.approx(8.0958, abs=1e-4)
    best = each + 1 / slope
    assert best.max() == pytest.approx(spec.products.regular_price[0], abs=0.01)
    assert 1 - best.min() / best.max() < spec.prices.max_discount
    assert best.min() > spec.prices.floor[0]
    price = np.linspace(1, 60, 5901)
    chance = 1 / (1 + np.exp(np.outer(price, slope) - spec.demand.quality[:, 0]))
    one = price * (chance @ share)
    assert (one.max(), price[one.argmax()]) == pytest.approx((5.5200, 26.73), abs=1e-2)


def test_reference_price():
    spec = load_scenario("reference-price")
    grid = np.linspace(spec.prices.floor[0], spec.prices.ceiling[0], 441)
    effect, memory = spec.reference_price.gain[0], spec.reference_price.memory
    price, reference = grid[:, None], grid[None]
    chance = spec.demand.quality[0, 0] - spec.demand.price_sensitivity[0, 0] * price + effect * (reference - price)
    assert chance.min() > 0  # nothing is cut: the closed form is the market's
    assert chance.max() < 1
    money, value = (price - spec.products.unit_cost[0]) * spec.arrivals.rate[0, 0] * chance, np.zeros(grid.size)
    for _ in range(spec.market.horizon_periods):
        later = np.interp(memory * reference + (1 - memory) * price, grid, value)
        total = money + spec.market.discount_factor * later
        value = total.max(axis=0)
    assert np.interp(spec.products.regular_price[0], grid, value) == pytest.approx(8083.385, rel=1e-6)


def test_falling_prices():
    spec = load_scenario("falling-prices")
    prices, stock = spec.prices.price_ladder.steps, int(spec.stock.initial_units[0])
    mean = spec.arrivals.rate[0, 0] * np.exp(-spec.demand.price_sensitivity[0, 0] * prices)
    mass = poisson.pmf(np.arange(stock + 1), mean[:, None])  # (P, D)
    value = np.zeros((prices.size, stock + 1))  # by current price and units
    for _ in range(spec.market.horizon_periods):
        charged = np.zeros_like(value)
        for n in range(1, stock + 1):
            sold, rest = np.arange(n), 1 - mass[:, :n].sum(axis=1)
            units = mass[:, :n] @ sold + n * rest
            charged[:, n] = prices * units + (mass[:, :n] * value[:, n - sold]).sum(axis=1) + rest * value[:, 0]
        value = np.maximum.accumulate(charged, axis=0)  # any price up to the current one
    assert prices[-1] == spec.products.regular_price[0]
    assert value[-1, stock] == pytest.approx(1420.557, abs=1e-3)
    assert solve(spec).value == pytest.approx(1420.557, abs=1e-3)


def test_nested_logit():
    spec, total = load_scenario("nested-logit"), 0.0
    for c, nesting in enumerate(spec.demand.nesting):
        own = spec.category_index == c
        quality, slope = spec.demand.quality[0, own], spec.demand.price_sensitivity[0, own]
        cost = spec.products.unit_cost[own]

        def loss(price, quality=quality, slope=slope, cost=cost, nesting=nesting):
            weight = np.exp((quality - slope * price) / (1 - nesting))
            nest = weight.sum() ** (1 - nesting)
            return -((price - cost) @ weight) / weight.sum() * nest / (1 + nest)

        found = [minimize(loss, cost + markup, method="Nelder-Mead", options={"fatol": 1e-12}) for markup in (2, 6, 15)]
        total -= spec.market.horizon_periods * spec.arrivals.rate[0, c] * min(each.fun for each in found)
    assert total == pytest.approx(8097.645, abs=1e-2)
    assert solve(spec).value == pytest.approx(8097.6455, abs=1e-3)


@pytest.mark.parametrize(("shortage", "lead", "value"), [("backlog", 2, 275.5290), ("lost", 1, None)])
def test_dual_sourcing(shortage, lead, value):
    """Value iteration with loops over both orders; 60 units owed or on hand are more than ever matter."""
    change = {"shortage": shortage, "lead_time_periods": lead, "lost_sale_cost": 1.0, "order_cost": 0.4 * (lead == 1)}
    spec = load_scenario("dual-sourcing").with_changes(stock=change, express={"order_cost": 0.2 * (lead == 1)})
    prices, gamma, stock, owed = spec.prices.price_ladder.steps, spec.market.discount_factor, spec.stock, 60
    units, demand, orders = np.arange(-owed * (shortage == "backlog"), 61), np.arange(40), np.arange(7)
    mass = poisson.pmf(demand, 10 * (1 - 0.1 * prices[:, None]))
    sold = demand[:, None] + 0 * units if shortage == "backlog" else np.minimum(demand[:, None], units)
    left, missed = units - sold, np.where(units > 0, demand[:, None] - sold, 0)
    now = prices[:, None] * (mass @ sold) - mass @ (
        stock.holding_cost[0] * np.maximum(left, 0) + stock.backlog_cost[0] * np.maximum(-left, 0) + missed
    )
    place = lambda left: np.clip(left - units[0], 0, units.size - 1)  # noqa: E731
    worth = np.zeros((units.size, orders.size if lead == 2 else 1))  # units on hand, and due after the period
    fixed = np.array([stock.order_cost[0], spec.express.order_cost[0]])
    for _ in range(420):
        kept = np.empty_like(worth)
        for due in range(worth.shape[1]):
            after = [worth[place(left + due), q] if lead == 2 else worth[place(left + q), 0] for q in orders]
            ordered = [
                (now + gamma * mass @ a).max(axis=0) - 2 * q - fixed[0] * (q > 0)
                for q, a in zip(orders, after, strict=True)
            ]
            stocked = np.max(ordered, axis=0)
            sooner = [stocked[place(units + e)] - 2.5 * e - fixed[1] * (e > 0) for e in orders]
            kept[:, due] = np.max(sooner, axis=0)
        worth = kept
    assert solve(spec).value == pytest.approx(worth[place(4), 0], rel=1e-6)
    assert value is None or solve(spec).value == pytest.approx(value, abs=1e-4)


def test_three_nests():
    spec = load_scenario("three-nests")
    demand, cost = spec.demand, spec.products.unit_cost

    def loss(price):
        weight, worth = 1.0, 0.0
        for members, nesting in zip(([0, 1], [2, 3, 4], [5, 6, 7]), demand.nesting, strict=True):
            pull = np.exp(
                (demand.quality[0, members] - demand.price_sensitivity[0, members] * price[members]) / (1 - nesting)
            )
            weight += pull.sum() ** (1 - nesting)
            worth += pull.sum() ** -nesting * (pull @ (price - cost)[members])
        return -worth / weight

    rng, bounds = np.random.default_rng(0), [(1.0, 60.0)] * 8
    tight = {"ftol": 1e-15, "gtol": 1e-10, "maxfun": 100_000}
    found = [
        minimize(loss, cost + rng.uniform(1, 30, 8), method="L-BFGS-B", bounds=bounds, options=tight) for _ in range(20)
    ]
    best = min(found, key=lambda result: result.fun)
    optimum = solve(spec)
    assert -1000 * best.fun == pytest.approx(7235.376, abs=1e-2)  # ten periods of a hundred customers
    assert optimum.value == pytest.approx(7235.3759, abs=1e-3)
    np.testing.assert_allclose(optimum.policy.price[0], best.x, rtol=1e-4)


def test_lead_times():
    """Value iteration with loops over what is on order; 40 units on hand and 24 late are more than ever matter."""
    spec = load_scenario("lead-times")
    prices, gamma, stock, most, behind = spec.prices.price_ladder.steps, spec.market.discount_factor, spec.stock, 40, 24
    chance = spec.demand.quality[0, 0] - spec.demand.price_sensitivity[0, 0] * prices
    demand = np.arange(40)
    mass = poisson.pmf(demand, spec.arrivals.rate[0, 0] * chance[:, None])
    units, orders = np.arange(most + 1), np.arange(int(stock.max_order_units[0]) + 1)
    left = np.maximum(units - demand[:, None], 0)
    lost = np.where(units > 0, np.maximum(demand[:, None] - units, 0), 0)
    now = prices[:, None] * (mass @ (units - left)) - mass @ (
        stock.holding_cost[0] * left + stock.lost_sale_cost[0] * lost
    )
    best = lambda later: (now + gamma * mass @ later).max(axis=0)  # noqa: E731
    after = lambda more: np.minimum(left + more, most)  # noqa: E731
    cost, late = spec.products.unit_cost[0], stock.delay_probability[2]
    near, far, unreliable = np.zeros(most + 1), np.zeros((most + 1, orders.size)), np.zeros((most + 1, behind + 1))
    for _ in range(250):
        near = np.max([best(near[after(q)]) - cost * q for q in orders], axis=0)
        far = np.stack(
            [np.max([best(far[after(due), q]) - cost * q for q in orders], axis=0) for due in orders], axis=1
        )
        coming = np.array(
            [
                best((1 - late) * unreliable[after(due), 0] + late * unreliable[left, min(due, behind)])
                for due in range(behind + orders.size)
            ]
        )
        unreliable = np.max([coming[q : q + behind + 1].T - cost * q for q in orders], axis=0)
    start = int(stock.initial_units[0])
    values = near[start], far[start, 0], unreliable[start, 0]
    assert values == pytest.approx((137.940, 122.134, 122.254), abs=1e-3)
    assert solve(spec).value == pytest.approx(sum(values), abs=1e-3)


def test_network():
    """The price of a product is its opportunity cost plus (1 + W) / b only with a common b: here each state is searched."""
    spec = load_scenario("network")
    quality, slope = spec.demand.quality[0], spec.demand.price_sensitivity[0]
    seats, rate = spec.capacity.units.astype(int), spec.arrivals.rate[0, 0]
    value = np.zeros(seats + 1)
    for _ in range(spec.market.horizon_periods):
        lost = np.full(
            (*value.shape, 3), np.inf
        )  # what the seats sold would have earned; a sold-out product is not chosen
        lost[1:, :, 0] = value[1:] - value[:-1]
        lost[:, 1:, 1] = value[:, 1:] - value[:, :-1]
        lost[1:, 1:, 2] = value[1:, 1:] - value[:-1, :-1]
        # All prices are lost + 1 / b + theta, and theta, what the customer brings, is the sum of weight / b: by halves.
        low, high = np.zeros_like(value), np.full_like(value, 200.0)
        for _ in range(60):
            theta = (low + high) / 2
            brings = (np.exp(quality - slope * (lost + theta[..., None]) - 1) / slope).sum(axis=-1)
            low, high = np.where(brings > theta, theta, low), np.where(brings > theta, high, theta)
        value = value + rate * low
    assert value[tuple(seats)] == pytest.approx(442.071, abs=1e-3)
    assert solve(spec).value == pytest.approx(442.071, abs=1e-3)


def test_added_capacity():
    spec = load_scenario("added-capacity")
    quality, slope, rate = spec.demand.quality[0], spec.demand.price_sensitivity[0], spec.arrivals.rate[0, 0]
    added, start = spec.capacity.added[:, 0].astype(int), int(spec.capacity.units[0])

    def excess(theta, lost):
        """What a customer brings at prices of lost + 1 / b + theta, less theta."""
        return (np.exp(quality - slope * (lost + theta) - 1) / slope).sum() - theta

    value = [0.0] * 15  # by rooms left, of which no more than 14 can ever be
    for t in reversed(range(spec.market.horizon_periods)):
        if t + 1 < spec.market.horizon_periods:
            value = [value[min(max(left + added[t + 1], 0), 14)] for left in range(15)]
        before, value = value, []
        for left in range(15):
            lost = np.array([before[left] - before[left - rooms] if left >= rooms else np.inf for rooms in (1, 2)])
            value.append(before[left] + rate * (brentq(excess, 0, 200, args=(lost,)) if left else 0.0))
    assert value[start] == pytest.approx(202.216, abs=1e-3)
    assert solve(spec).value == pytest.approx(202.216, abs=1e-3)


def test_calvano_duopoly():
    spec = load_scenario("calvano-duopoly")
    quality, slope, cost = spec.demand.quality[0, 0], spec.demand.price_sensitivity[0, 0], spec.products.unit_cost[0]

    def share(price):
        weight = np.exp(quality - slope * price)
        return weight / (1 + 2 * weight)

    nash = brentq(lambda p: 1 - slope * (p - cost) * (1 - share(p)), 1.01, 3)
    monopoly = brentq(lambda p: 1 - slope * (p - cost) * (1 - 2 * share(p)), 1.01, 4)
    assert (nash, monopoly) == pytest.approx((1.472927, 1.924981), abs=1e-6)
    assert ((nash - cost) * share(nash), (monopoly - cost) * share(monopoly)) == pytest.approx(
        (0.222927, 0.337490), abs=1e-6
    )
    wider = 0.1 * (monopoly - nash)
    np.testing.assert_allclose(
        spec.prices.price_ladder.steps, np.linspace(nash - wider, monopoly + wider, 15), atol=1e-6
    )
    for key in ("quality", "price_sensitivity"):
        np.testing.assert_array_equal(getattr(spec.demand, key), getattr(spec.competitors, key))


def test_the_opening_price_is_where_the_reference_is():
    assert load_scenario("price-and-order").products.regular_price[0] == 6.75
    for name in ("price-and-order", "reference-price", "calvano-duopoly"):
        market = load_scenario(name).market
        assert market.ending == "truncated"
        assert market.discount_factor**market.horizon_periods < 1e-5


def test_regime_probabilities_follow_the_chain():
    spec = load_scenario("regimes")
    periods = spec.market.horizon_periods
    found = spec.regime_probabilities()
    assert found.shape == (periods, len(spec.regimes.names))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found[0], spec.regimes.initial)
    powers = [np.linalg.matrix_power(spec.regimes.transition, t) for t in (1, 2, periods + 4)]
    np.testing.assert_allclose(spec.regime_probabilities(periods + 5)[[1, 2, -1]], spec.regimes.initial @ powers)
    np.testing.assert_array_equal(load_scenario("stationary-logit").regime_probabilities(3), np.ones((3, 1)))


def test_incomplete_learning():
    """A sale at 8 says as much as a refusal at 12, and the reverse; 10 says nothing: the belief is in two counts."""
    spec = load_scenario("incomplete-learning")
    prices, periods = spec.prices.price_ladder.steps, spec.market.horizon_periods
    slope = spec.demand.price_sensitivity[0, 0] * spec.posterior.sensitivity[[0, 1]]
    assert spec.posterior.sensitivity[:, 0].tolist() == [2.5, 0.5, 0.5, 0.5]
    chance = 0.5 - slope * (prices - 10)  # (draws, prices)
    np.testing.assert_allclose(chance, [[0.7, 0.5, 0.3], [0.54, 0.5, 0.46]])

    def value(choose):
        later = np.zeros((periods + 1,) * 2)  # by number of signs for the first draw, and against it
        for seen in reversed(range(periods)):
            signs, against = np.indices((seen + 1,) * 2)
            first = 1 / (1 + 3 * (0.54 / 0.7) ** signs * (0.46 / 0.3) ** against)
            sells = [first * chance[0, i] + (1 - first) * chance[1, i] for i in range(3)]
            up, down, stay = later[1:, :-1], later[:-1, 1:], later[:-1, :-1]
            go_on = [sells[0] * up + (1 - sells[0]) * down, stay, sells[2] * down + (1 - sells[2]) * up]
            now = prices[:, None, None] * sells
            number = choose(seen, first, now, now + go_on)
            later = np.take_along_axis(now + go_on, number[None], axis=0)[0]
        return later.item()

    def by_policy(seen, first, *_):
        belief = np.stack([1 - first.ravel(), first.ravel()], axis=1)
        beliefs, best = optimum.policy._table[seen]
        return best[beliefs.query(belief)[1]].reshape(first.shape)

    optimum, best = solve(spec), value(lambda _seen, _first, _now, total: total.argmax(axis=0))
    myopic = value(lambda _seen, _first, now, _total: now.argmax(axis=0))
    assert (best, myopic) == pytest.approx((262.45411, 254.29365), abs=1e-5)
    assert (optimum.value, value(by_policy)) == pytest.approx((best, best), rel=1e-9)
