"""Known parameters are found again, with intervals that hold them as often as they say."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.fitting.demand import Priors, estimate
from repricer.tests.fitting.demand.markets import drawn_category


def test_intervals_hold_the_truth():
    inside, count = np.zeros(2), np.zeros(2)
    for seed in range(24):
        data, theta = drawn_category(seed, weeks=60, products=4)
        found = estimate(data, Priors(), seed=seed)
        assert found.converged
        at = found.model.layout
        for i, (truth, draws) in enumerate(
            (
                (theta[at.category] + theta[at.product], found.draws[:, at.category] + found.draws[:, at.product]),
                (theta[at.outside], found.draws[:, at.outside]),
            )
        ):
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            inside[i] += ((truth >= low) & (truth <= high)).sum()
            count[i] += truth.size
    # 96 and 24 truths; 90% intervals, with three standard errors to either side.
    assert 0.80 <= inside[0] / count[0] <= 0.99
    assert 0.71 <= inside[1] / count[1] <= 1.0


def test_shocks_of_the_market_are_not_taken_for_prices():
    calm, restless = (estimate(drawn_category(5, shock=shock)[0], Priors()) for shock in (0.0, 0.3))
    assert calm.shock_spread < 0.08
    assert restless.shock_spread == pytest.approx(0.3, abs=0.08)


def test_the_same_seed_gives_the_same_draws():
    data, _ = drawn_category(3, weeks=30)
    assert np.array_equal(estimate(data, Priors(), seed=1).draws, estimate(data, Priors(), seed=1).draws)


def test_demand_cut_by_stock_is_not_taken_for_demand():
    data, theta = drawn_category(8, weeks=90)
    stock = np.quantile(data.units, 0.6, axis=(0, 1))
    sold, out = np.minimum(data.units, stock), data.units >= stock
    told = estimate(replace(data, units=sold, sold_out=out), Priors())
    untold = estimate(replace(data, units=sold), Priors())
    at = told.model.layout
    truth = theta[at.category] + theta[at.product]
    gap = [
        abs(f.draws[:, at.category].mean() + f.draws[:, at.product].mean(axis=0) - truth).mean() for f in (told, untold)
    ]
    assert gap[0] < 0.6 * gap[1]


@pytest.mark.parametrize("spread", [0.01, 3.0])
def test_an_effect_of_which_the_sales_tell_nothing_is_no_evidence(spread):
    data, _ = drawn_category(3, weeks=30)
    more = replace(
        data,
        effects=np.zeros((1, *data.units.shape)),
        effect_mean=np.zeros(1),
        effect_spread=np.full(1, spread),
        week_features=np.zeros((30, 1)),
        feature_spread=np.full(1, spread),
    )
    assert estimate(more, Priors()).log_evidence == pytest.approx(estimate(data, Priors()).log_evidence, abs=1e-3)
