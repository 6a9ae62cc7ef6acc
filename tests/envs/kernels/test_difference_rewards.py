"""Charges of the difference rewards, against a hand calculation of the counterfactuals."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, load_scenario
from repricer.scenarios.sections import PromotionSection


def test_a_slot_is_charged_what_it_takes_from_the_others(shop):
    market = Market(shop, num_markets=1, seed=0)
    score = np.full((1, 3, 2), -1.0, np.float32)
    score[0, 0, 0], score[0, 1, 0] = 0.9, 0.5
    price = np.array([4.0, 5.0, 3.0])
    outcome = market.step(Action(price[None].astype(np.float32), None, score), credit_price=price.astype(np.float32))

    def profit(shown: int) -> np.ndarray:
        units = expected_units(shop, 0, price, reference=shop.products.regular_price, shown=np.array([[shown, -1]]))[
            0, 0
        ]
        return units * (price - shop.products.unit_cost)

    nothing, first, second = profit(-1), profit(0), profit(1)
    own = first[0] - nothing[0]
    charge = own - (first.sum() - nothing.sum()) + (second.sum() - nothing.sum())
    np.testing.assert_allclose(outcome.charge[0], [charge, 0, 0], rtol=1e-4)


def test_a_price_is_charged_what_it_takes_from_the_others_as_it_is_felt(make_shop):
    spec = make_shop(demand={"price_curvature": [1.0, 0.5, 0.0]}, recommendation=None)
    price, usual = np.array([3.2, 5.9, 3.3]), np.array([4.0, 5.0, 3.0])
    action = Action(price[None].astype(np.float32))
    outcome = Market(spec, num_markets=1).step(action, credit_price=usual.astype(np.float32))

    def profit(at: np.ndarray) -> np.ndarray:
        return expected_units(spec, 0, at, reference=spec.products.regular_price)[0].sum(axis=0) * (
            at - spec.products.unit_cost
        )

    for n in range(3):
        without = profit(np.where(np.arange(3) == n, usual, price))
        others = (without - profit(price))[np.arange(3) != n].sum()
        assert outcome.charge[0, n] == pytest.approx(others, rel=1e-3, abs=1e-4)
        assert outcome.baseline[0, n] == pytest.approx(without[n], rel=1e-3)


def test_nested_products_are_charged_what_they_take_from_their_nest(make_shop):
    lift = np.array([[0.7, 0.5, 0.2], [0.3, 0.9, 0.4]])
    spec = make_shop(
        demand={"family": "nested-logit", "nesting": [0.5, 0.2]},
        promotion={"lift": lift, "max_products": 1},
        recommendation=None,
    )
    market, price, usual = Market(spec, num_markets=1), np.array([3.6, 5.2, 3.0]), np.array([4.0, 5.0, 3.0])
    action = Action(price[None].astype(np.float32), promotion=np.float32([[0.9, 0.5, 0.1]]))
    charge = market.step(action, credit_price=usual.astype(np.float32)).charge[0]

    def profit(at: np.ndarray, *promoted: int) -> np.ndarray:
        units = expected_units(
            spec, 0, at, reference=spec.products.regular_price, promoted=np.isin(range(3), promoted)
        )[0].sum(axis=0)
        return units * (at - spec.products.unit_cost)

    now = profit(price, 0)
    for n in range(2):
        # Without n's price and promotion, what would the other have earned; and who else would have been promoted?
        at = np.where(np.arange(3) == n, usual, price)
        without = profit(at, *([0] if n else []))
        forgone = (n == 0) * (profit(at, 1) - without).sum()
        assert charge[n] == pytest.approx((without - now)[1 - n] + forgone, rel=1e-3)


def test_products_of_several_nests_are_charged_what_they_take_from_the_category():
    lift = np.linspace(0.2, 0.9, 8)
    spec = replace(load_scenario("three-nests"), promotion=PromotionSection(lift=lift, max_products=1))
    price, usual = np.array([14.0, 18.5, 11.0, 16.0, 12.5, 9.0, 6.5, 10.0]), spec.products.regular_price
    score = np.float32([[0.1, 0.2, 0.9, 0.3, 0.4, 0.8, 0.5, 0.6]])  # of them 2 is promoted, and 5 would be next
    action = Action(price[None].astype(np.float32), promotion=score)
    charge = Market(spec, num_markets=1).step(action, credit_price=usual.astype(np.float32)).charge[0]

    def profit(at: np.ndarray, *promoted: int) -> np.ndarray:
        units = expected_units(
            spec, 0, at, reference=spec.products.regular_price, promoted=np.isin(range(8), promoted)
        )[0].sum(axis=0)
        return units * (price - spec.products.unit_cost)

    now = profit(price, 2)
    for n in range(8):
        without = profit(np.where(np.arange(8) == n, usual, price), *([] if n == 2 else [2]))
        gain = (without - now)[np.arange(8) != n].sum() + (n == 2) * (profit(price, 2, 5) - now).sum()
        assert charge[n] == pytest.approx(gain, rel=1e-3, abs=1e-2)


def test_a_promotion_is_charged_what_it_takes_from_the_others(make_shop):
    lift, cost = np.array([[0.7, 0.5, 0.2], [0.3, 0.9, 0.4]]), np.array([0.4, 0.1, 0.2])
    spec = make_shop(promotion={"lift": lift, "cost": cost, "max_products": 1})
    market, price = Market(spec, num_markets=2, seed=0), np.array([4.0, 5.0, 3.0])
    # The second market has no other candidate for promotion.
    scores = np.array([[0.9, 0.5, 0.1], [0.9, -0.5, 0.0]], np.float32)
    none = np.full((2, 3, 2), -1, np.float32)
    action = Action(np.tile(price, (2, 1)).astype(np.float32), None, none, scores)
    outcome = market.step(action, credit_price=price.astype(np.float32))

    def profit(*promoted: int) -> np.ndarray:
        on = np.isin(range(3), promoted)
        units = expected_units(spec, 0, price, reference=spec.products.regular_price, promoted=on)[0].sum(axis=0)
        return units * (price - spec.products.unit_cost) - cost * on

    nothing, first, second = profit(), profit(0), profit(1)
    cannibalised = (nothing - first)[1:].sum()
    np.testing.assert_allclose(outcome.charge[0], [cannibalised + (second - nothing).sum(), 0, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outcome.charge[1], [cannibalised, 0, 0], rtol=1e-4, atol=1e-5)


# Without holding costs and lost sales, which the counterfactuals leave out.
PLAIN = {"prices": {"max_discount": 0.0}, "stock": {"initial_units": 1e6, "holding_cost": 0.0, "lost_sale_cost": 0.0}}


def _played(
    spec: MarketSpec, price: list[float], *, promoted: list[float] | None = None, shown: list[float] | None = None
) -> tuple[np.ndarray, float]:
    """(N,) expected profit less charge and baseline of one period, and the expected profit of all products."""
    score = None if spec.recommendation is None else np.full((1, 3, 2), -1.0, np.float32)
    if score is not None and shown is not None:
        score[0, :, 0] = shown
    action = Action(np.float32([price]), None, score, None if promoted is None else np.float32([promoted]))
    outcome = Market(spec, num_markets=1).step(action, credit_price=spec.products.regular_price.astype(np.float32))
    return (outcome.expected_profit - outcome.charge - outcome.baseline)[0], float(outcome.expected_profit.sum())


@pytest.mark.parametrize("units", [0.0, [0.9, 1.4, 0.6]])
@pytest.mark.parametrize("nested", [False, True])
def test_what_a_row_gains_by_its_own_price_the_market_gains(make_shop, nested, units):
    demand, effect = {"family": "nested-logit", "nesting": [0.5, 0.2]}, {"units_gain": units, "units_loss": units}
    spec = make_shop(recommendation=None, reference_price=effect, **PLAIN, **({"demand": demand} if nested else {}))
    (first, total), *others = (_played(spec, [own, 5.2, 3.0]) for own in (3.1, 4.0, 5.7))
    for rewards, earned in others:
        assert rewards[0] - first[0] == pytest.approx(earned - total, rel=1e-3)
        assert rewards[2] == pytest.approx(first[2], abs=1e-4)
    assert others[0][0][0] == pytest.approx(0, abs=1e-3), "at its usual price"


def test_what_a_row_gains_by_its_slot_the_market_gains(make_shop):
    spec, price = make_shop(reference_price={"units_gain": 0.8, "units_loss": 1.2}, **PLAIN), [4.0, 5.2, 3.0]
    (shown, total), (hidden, rest) = (_played(spec, price, shown=[own, 0.5, -1.0]) for own in (0.9, 0.1))
    assert shown[0] - hidden[0] == pytest.approx(total - rest, rel=1e-3)


@pytest.mark.parametrize("nested", [False, True])
def test_what_a_row_gains_by_its_price_and_its_promotion_the_market_gains(make_shop, nested):
    """The second product is promoted where the first one is not."""
    lift, demand = np.array([[0.7, 0.5, 0.2], [0.3, 0.9, 0.4]]), {"family": "nested-logit", "nesting": [0.5, 0.2]}
    changes = PLAIN | ({"demand": demand} if nested else {}) | {"reference_price": {"units_gain": 0.8}}
    spec = make_shop(promotion={"lift": lift, "cost": 0.3, "max_products": 1}, recommendation=None, **changes)
    played = [_played(spec, [own, 5.2, 3.0], promoted=[s, 0.5, -0.1]) for own in (3.1, 4.0) for s in (0.9, -0.5)]
    for rewards, earned in played[1:]:
        assert rewards[0] - played[0][0][0] == pytest.approx(earned - played[0][1], rel=1e-3)


def test_a_baseline_does_not_depend_on_the_own_action_and_is_the_usual_money(make_shop):
    spec = make_shop(recommendation=None, **PLAIN)
    usual, found = spec.products.regular_price, []
    for own in (2.5, 4.0, 5.5):
        price = np.array([own, 5.2, 2.7])
        outcome = Market(spec, num_markets=1).step(Action(np.float32(price[None])), credit_price=np.float32(usual))
        found.append(outcome.baseline[0])
        units = expected_units(spec, 0, np.array([usual[0], 5.2, 2.7]), reference=usual)[0].sum(axis=0)
        assert found[-1][0] == pytest.approx(units[0] * (usual[0] - spec.products.unit_cost[0]), rel=1e-4)
    np.testing.assert_allclose([row[0] for row in found], found[0][0], rtol=1e-5)
    assert Market(spec, num_markets=1).step(Action(np.float32(price[None]))).baseline.tolist() == [[0.0] * 3]
