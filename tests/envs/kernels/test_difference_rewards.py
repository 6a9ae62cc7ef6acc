"""Charges of the difference rewards, against a hand calculation of the counterfactuals."""

import numpy as np
from repricer.envs import Market, expected_units
from repricer.pricing import Action


def test_a_slot_is_charged_what_it_takes_from_the_others(shop):
    market = Market(shop, num_markets=1, seed=0)
    score = np.full((1, 3, 2), -1.0, np.float32)
    score[0, 0, 0], score[0, 1, 0] = 0.9, 0.5
    price = np.array([4.0, 5.0, 3.0])
    outcome = market.step(Action(price[None].astype(np.float32), None, score), credit_price=price.astype(np.float32))

    def profit(shown: int) -> np.ndarray:
        units = expected_units(shop, 0, price, shown=np.array([[shown, -1]]))[0, 0]
        return units * (price - shop.products.unit_cost)

    nothing, first, second = profit(-1), profit(0), profit(1)
    own = first[0] - nothing[0]
    charge = own - (first.sum() - nothing.sum()) + (second.sum() - nothing.sum())
    np.testing.assert_allclose(outcome.charge[0], [charge, 0, 0], rtol=1e-4)


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
        units = expected_units(spec, 0, price, promoted=on)[0].sum(axis=0)
        return units * (price - spec.products.unit_cost) - cost * on

    nothing, first, both = profit(), profit(0), profit(0, 1)
    cannibalised = (nothing - first)[1:].sum()
    np.testing.assert_allclose(outcome.charge[0], [cannibalised + (both - first).sum(), 0, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outcome.charge[1], [cannibalised, 0, 0], rtol=1e-4, atol=1e-5)
