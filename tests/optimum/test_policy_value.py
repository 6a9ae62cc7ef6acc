import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.optimum import exact_value
from repricer.pricing import FixedPrice
from repricer.scenarios import choice_model
from scipy.stats import nbinom, poisson


def test_two_periods_by_hand(make):
    spec = make(
        None,
        market={"horizon_periods": 2, "discount_factor": 0.9, "objective": "profit"},
        products={"unit_cost": 0.5},
        arrivals={"rate": 3.0},
        stock={"initial_units": 2, "holding_cost": 0.1, "lost_sale_cost": 0.2, "salvage_value": 0.3},
        prices={"floor": 0.1, "ceiling": 9},
    )
    p, mean = 1.2, 3 * np.exp(-1.2)
    d = np.arange(60)
    mass = poisson.pmf(d, mean)

    def period(units):
        sold = np.minimum(d, units)
        return mass @ ((p - 0.5) * sold - 0.1 * (units - sold) - 0.2 * (d - sold))

    left = np.array([mass[2:].sum(), mass[1], mass[0]])
    after = {2: left, 1: np.array([1 - mass[0], mass[0], 0]), 0: np.array([1.0, 0, 0])}
    value = period(2) + 0.9 * sum(w * (period(n) + 0.3 * (after[n] @ np.arange(3))) for n, w in enumerate(left))
    assert exact_value(spec, FixedPrice(p)) == pytest.approx(value, rel=1e-7)


def test_a_policy_that_looks_at_sales_is_followed_and_one_that_does_not_gets_the_same(make, rule):
    spec = make("scarce", market={"horizon_periods": 12}, stock={"initial_units": 6})
    plain = rule(lambda view: 1.0 + 0.1 * view.on_hand)
    looking = rule(lambda view: 1.0 + 0.1 * view.on_hand + 0 * view.last_units)
    assert exact_value(spec, looking) == pytest.approx(exact_value(spec, plain), rel=1e-12)


def test_sales_looked_at_late_were_kept_from_the_start(make, rule):
    spec = make("scarce", market={"horizon_periods": 12}, stock={"initial_units": 6})

    def price(view, seen):
        return np.where(seen > 0, 1.5, 1.2) if view.period[0] > 5 else 1.3 + 0 * view.on_hand

    late = exact_value(spec, rule(lambda view: price(view, view.last_units if view.period[0] > 5 else None)))
    assert late == pytest.approx(exact_value(spec, rule(lambda view: price(view, view.last_units))), rel=1e-12)
    assert late != pytest.approx(exact_value(spec, rule(lambda view: price(view, 0 * view.on_hand))), rel=1e-4)


def test_sales_of_several_products_reach_the_view(make, rule):
    """The price after a sale of the first product differs: two periods by hand."""
    spec = make("three-stocks", market={"horizon_periods": 2})
    weight = np.exp(np.array([4, 3.5, 3]) - 0.25 * 20)
    chance = 0.8 * weight / (1 + weight.sum())
    higher = np.exp(np.array([4, 3.5, 3]) - 0.25 * 24)
    after = 0.8 * higher.sum() / (1 + higher.sum())
    policy = rule(lambda view: np.where(view.last_units[:, :1] > 0, 24.0, 20.0) + 0 * view.on_hand)
    value = 20 * chance.sum() + chance[0] * 24 * after + (1 - chance[0]) * 20 * chance.sum()
    assert exact_value(spec, policy) == pytest.approx(value, rel=1e-7)


def test_regimes_by_hand(make, rule):
    spec = make("regimes", market={"horizon_periods": 2}, stock={"initial_units": np.inf})
    policy = rule(lambda view: np.array([10.0, 20.0])[view.regime][:, None])
    low, high = 40 * np.exp(-10 / 6), 80 * np.exp(-20 / 18)
    assert exact_value(spec, policy) == pytest.approx(low + 0.9 * low + 0.1 * high, rel=1e-7)


def test_reference_prices_by_hand(make):
    spec = make("remembered", market={"ending": "terminated", "horizon_periods": 2})
    first, second = 100 - 4 * 14 + 6 * 1, 100 - 4 * 14 + 6 * 0.7
    assert exact_value(spec, FixedPrice(14.0)) == pytest.approx(9 * first + 0.95 * 9 * second, rel=1e-7)


def test_the_guardrails_act(make, rule):
    spec = make("scarce", prices={"max_change": 0.1})
    leap, steps = rule(lambda view: 3.0 + 0 * view.on_hand), rule(lambda view: np.minimum(view.list_price * 1.1, 3.0))
    assert exact_value(spec, leap) == pytest.approx(exact_value(make("scarce"), steps), rel=1e-6)


def test_the_first_change_of_price_counts_from_the_price_charged_last(make):
    shop = {"plan": {"price": [[2.0]] * 10}, "past": {"price": [[2.0]]}}
    spec = make(None, prices={"floor": 0.5, "ceiling": 4, "max_change": 0.25}, **shop)
    price = np.array([1.5, 1.125] + [1.0] * 8)
    assert exact_value(spec, FixedPrice(1.0)) == pytest.approx((price * np.exp(-price)).sum(), rel=1e-6)


def test_an_endless_market_is_worth_its_geometric_sum(make):
    spec = make(None, market={"ending": "truncated", "discount_factor": 0.9}, prices={"floor": 0.5, "ceiling": 4})
    assert exact_value(spec, FixedPrice(1.0)) == pytest.approx(np.exp(-1) * 10, rel=1e-9)
    episode = make(None, market={"ending": "truncated"}, prices={"floor": 0.5, "ceiling": 4})
    assert exact_value(episode, FixedPrice(1.0)) == pytest.approx(np.exp(-1) * 10, rel=1e-9)


def test_too_many_states_have_no_exact_value(make, rule):
    spec = make("scarce")
    drifting = rule(lambda view: view.list_price * (1 + 0.01 * view.last_units / (1 + view.on_hand)))
    assert exact_value(spec, drifting) is None
    assert exact_value(spec, FixedPrice(1.5), states=5) is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("scarce", {"shocks": {"volatility": 0.2}}),
        ("scarce", {"returns": {"probability": 0.1}}),
        ("scarce", {"loyalty": {"memory": 0.5, "price_effect": 1, "stockout_effect": 1}}),
        ("scarce", {"stock": {"spoilage": 0.1}}),
        ("scarce", {"stock": {"season_periods": 10}}),
        ("three-stocks", {"arrivals": {"process": "poisson"}}),
        ("price-and-order", {"stock": {"lead_time_periods": 2}}),
    ],
)
def test_what_is_not_modelled_has_no_exact_value(make, name, changes):
    spec = make(name, **changes)
    assert exact_value(spec, FixedPrice(spec.products.regular_price.astype(np.float32))) is None


def test_overdispersion_moves_no_mean_where_stock_is_unlimited(make, rule):
    plain, spread = make("two-segments"), make("two-segments", arrivals={"overdispersion": 0.5})
    assert exact_value(spread, FixedPrice(20.0)) == exact_value(plain, FixedPrice(20.0))
    # A policy that looks at sales meets their distribution: three periods by hand.
    sold = np.arange(40)
    price = 20.0 + sold
    mean = 0.7 / (1 + np.exp(0.6 * price - 4)) + 0.3 / (1 + np.exp(0.12 * price - 4))
    values = []
    for spec, demand in ((plain, poisson(mean[:, None])), (spread, nbinom(2, 1 / (1 + 0.5 * mean[:, None])))):
        chance, revenue = demand.pmf(sold), price * mean
        values.append(revenue[0] + chance[0] @ revenue + chance[0] @ chance @ revenue)
        assert exact_value(spec, rule(lambda view: 20 + view.last_units)) == pytest.approx(values[-1], rel=1e-7)
    assert values[1] != pytest.approx(values[0], rel=1e-5)


def test_a_customer_of_the_second_half_who_wants_what_the_first_half_sold_is_a_lost_sale(make):
    """As in the simulated market, where both halves choose among what is there at the start of the period."""
    spec = make(
        "undercutter",
        market={"horizon_periods": 1, "ending": "terminated", "objective": "profit"},
        arrivals={"rate": 0.8},
        demand={"family": "mnl", "quality": 4.0, "price_sensitivity": 0.2},
        competitors={"quality": 4.0, "price_sensitivity": 0.2},
        stock={"initial_units": 1, "lost_sale_cost": 7.0},
    )
    p = 18.0
    one, two = (0.8 * np.exp(4 - 0.2 * p) / (1 + np.exp(4 - 0.2 * p) + np.exp(4 - 0.2 * r)) for r in (20.0, 17.0))
    value = p * (1 - (1 - one) * (1 - two)) - 7 * one * two
    assert exact_value(spec, FixedPrice(p)) == pytest.approx(value, rel=1e-6)


def test_a_competitor_starts_within_its_floor_in_the_simulated_market_too(make):
    spec = make("undercutter", competitors={"rule": "fixed", "regular_price": 5.0, "floor": 10.0})
    for market in (spec, spec.with_changes(competitors={"answers_within_period": False})):
        assert Market(market).state.rival_price.tolist() == [[10.0]]
        assert expected_units(market, 0, [8.0]).sum() > 0  # the cheaper offer sells
        assert choice_model(market).units(0, np.array([[8.0]]), reference=market.products.regular_price).sum() > 0
