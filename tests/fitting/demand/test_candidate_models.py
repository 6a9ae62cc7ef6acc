"""What speaks for prices that follow demand, as the candidate models take it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.demand import LastingResponse, Priors, Problem, SegmentUnits
from repricer.fitting.demand.candidate_models import REDUCED, SUSPECT, deal_draws, suspect_effects, with_suspects
from repricer.fitting.demand.category_rows import category_data, costs_hold_deals
from repricer.tests.fitting.demand.markets import grids_of, known_demand, prices


@pytest.mark.parametrize(("curvature", "felt"), [(0.0, lambda move: move), (1.0, np.log1p)])
def test_a_regular_price_that_moved_is_suspect_as_it_is_felt(curvature, felt):
    regular = np.array([[1.0, 1.2], [1.0, 0.8], [1.0, 1.0]])
    grids = grids_of(np.full((1, 3, 2), 5.0), np.where([[0], [1], [0]], 0.8, 1.0) * regular[None], regular)
    here, segments = np.arange(2), SegmentUnits(np.ones((1, 2)), np.ones(1))
    data = category_data(grids, here, regular[-1], segments, Priors(), curvature=curvature)
    suspects = suspect_effects(grids)
    found = dict(zip(suspects, with_suspects(data, suspects, here, Priors(), levels=False).effects, strict=True))
    np.testing.assert_allclose(found[SUSPECT][0, :, 1], felt(np.array([0.2, -0.2, 0.0])), atol=1e-12)
    np.testing.assert_array_equal(found[REDUCED][0, :, 0], [0, 1, 0])


def test_no_deal_makes_a_product_less_attractive_than_a_lasting_price_or_its_buyers_take_fewer():
    """Of two products, the first answers to a lasting price with .8, the second with 2."""
    drawn = np.array([[-5.0, -1.0, -2.0, 0.1, 0.0, 4.0], [1.0, 2.0, 0.5, 0.0, 0.0, -2.0]])
    found = deal_draws(drawn, 0.2, np.array([[0.8, 2.0], [0.8, 2.0]]))
    np.testing.assert_allclose(found[0], [[-0.8, -1.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(found[1], [[1.0, -1.0], [2.0, 2.0], [0.5, 0.5]])


def shop_with_deals(memory=0.7, weeks=104, gain=1.0, units=2.0, dip=0.5):
    """Sales of six products whose regular prices hardly move, and whose deals draw more than these would."""
    generator, products = np.random.default_rng(11), pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 6})
    regular, price = np.full(6, 2.0), 2.0 * prices(generator, weeks, 6)
    truth = known_demand(
        products, np.full(6, 60.0), regular, np.full(6, -1.5), [0.3], deals=(gain, units, dip), memory=memory
    )
    mean = 60.0 * truth.lift(price, reference=truth.remembered.price(price))
    sold = generator.poisson(mean * generator.gamma(20.0, 0.05, mean.shape)).astype(float)
    return truth, Problem(grids_of(sold[None], price[None], regular), products, regular)


def test_deals_that_draw_more_than_regular_prices_are_told_from_an_elastic_demand():
    truth, problem = shop_with_deals()
    found = problem.solve(draws=100)
    assert found.chance("regular prices and deals")[1] > 0.99
    assert found.remembered.memory == 0.7
    usual, alone = np.full((1, 6), 2.0), np.where(np.eye(6) > 0, 1.6, 2.0)[:, None]
    sold, sells = (
        np.mean([np.log(demand.lift(price, reference=usual))[0, n] for n, price in enumerate(alone)])
        for demand in (found, truth)
    )
    assert sold == pytest.approx(sells, abs=0.08)
    after = np.full((1, 6), 1.8)
    np.testing.assert_allclose(
        np.log(found.lift(usual, reference=after)).mean(), np.log(truth.lift(usual, reference=after)).mean(), atol=0.04
    )


def test_deals_alone_leave_the_response_to_regular_prices_to_the_prior():
    """The same deals under another prior: what they say of a lasting price is what was put in."""
    _, problem = shop_with_deals()
    for lasting in (1.2, 2.5):
        found = replace(problem, priors=Priors(lasting=lasting)).solve(draws=400)
        relative, _ = LastingResponse().draws(Priors(lasting=lasting), 400, seed=0)
        assert -found.elasticity.mean() == pytest.approx(relative.mean(), rel=0.15)
        assert found.elasticity.mean(axis=1).std() > 0.64 * relative.std()


def test_unit_costs_that_fall_with_deals_are_no_instrument():
    generator = np.random.default_rng(1)
    price = 2.0 * prices(generator, 104, 6)[None]
    funded = np.where(price[0] < 2, 0.8, 1.0) * (1 + 0.01 * generator.standard_normal((104, 6)))
    own = 1 + 0.1 * generator.standard_normal((104, 6)).cumsum(axis=0) / 5
    grids = grids_of(np.full(price.shape, 9.0), price, np.full(6, 2.0))
    assert costs_hold_deals(replace(grids, unit_cost=funded))
    assert not costs_hold_deals(replace(grids, unit_cost=own))
