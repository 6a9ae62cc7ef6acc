"""Distribution of the samplers, each test at the level 1e-4 with fixed seeds.

About 120 such checks: were the draws new each time, one of them would fail by chance in at most 1.2% of runs.
"""

import numpy as np
import pytest
from numba import njit
from repricer.envs import Market, expected_units
from repricer.envs.jit.math import exponential
from repricer.envs.jit.rng import (
    BLOCK,
    binomial_lanes,
    derive,
    gamma_lanes,
    gamma_multiplier,
    normal,
    period_keys,
    poisson,
    poisson_rows,
    uniform,
    uniform32,
)
from repricer.envs.kernels.sales import draw_single
from repricer.pricing import Action
from repricer.scenarios import spec_from_table
from scipy import stats

LEVEL = 1e-4
COUNT = 200_000
# Around every switch of method: single precision in step up to 48, inversion up to 64, rejection beyond.
MEANS = [0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 23.0, 24.0, 25.0, 47.0, 48.0, 49.0, 63.0, 64.0, 65.0, 100.0, 1000.0, 10_000.0]


@njit
def keys_of(seed, count):
    keys = np.empty(count, np.uint64)
    for i in range(count):
        keys[i] = derive(np.uint64(seed), i)
    return keys


@njit
def poissons(mean, keys):
    out = np.empty(keys.size)
    for i in range(keys.size):
        out[i] = poisson(mean, keys[i])
    return out


@njit
def gammas(variance, keys):
    out = np.empty(keys.size)
    for i in range(keys.size):
        out[i] = gamma_multiplier(variance, keys[i])
    return out


def binomials(count, probability, keys):
    out = np.empty(keys.size, np.float32)
    binomial_lanes(np.full(keys.size, count, np.float32), probability, keys, 0, out)
    return out


@njit
def normals(keys):
    out = np.empty(keys.size)
    for i in range(keys.size):
        out[i] = normal(keys[i])
    return out


@njit
def uniforms(keys):
    out = np.empty(keys.size)
    for i in range(keys.size):
        out[i] = uniform(keys[i])
    return out


@njit
def uniforms32(keys):
    out = np.empty(keys.size, np.float32)
    for i in range(keys.size):
        out[i] = uniform32(keys[i])
    return out


@njit
def exponentials(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = exponential(x[i])
    return out


def lanes(mean, keys, counter=0) -> np.ndarray:
    out = np.empty(keys.size, np.float32)
    poisson_rows(np.full((1, keys.size), mean, np.float32), keys, counter, 1, out[None])
    return out


def fits(draws: np.ndarray, distribution) -> float:
    """p-value of the chi-square test of whole-number draws, in up to 61 cells of at least 5 expected draws."""
    assert (draws % 1 == 0).all()
    assert draws.min() >= distribution.support()[0]
    assert draws.max() <= distribution.support()[1]
    edges = np.unique(distribution.ppf(np.linspace(0.0005, 0.9995, 60)))
    expected = np.diff(np.concatenate([[0], distribution.cdf(edges), [1]])) * draws.size
    observed = np.bincount(np.searchsorted(edges, draws, side="left"), minlength=len(edges) + 1)
    # Cells too small for the test go to their neighbour on the left; the first ones, to their right.
    cells: list[list[float]] = []
    for seen, wanted in zip(observed, expected, strict=True):
        if cells and (wanted < 5 or cells[-1][1] < 5):
            cells[-1] = [cells[-1][0] + seen, cells[-1][1] + wanted]
        else:
            cells.append([seen, wanted])
    if len(cells) > 1 and cells[-1][1] < 5:
        last = cells.pop()
        cells[-1] = [cells[-1][0] + last[0], cells[-1][1] + last[1]]
    assert len(cells) > 1, "a test of one cell shows nothing"
    seen, wanted = np.array(cells).T
    return float(stats.chisquare(seen, wanted).pvalue)


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_is_poisson(mean):
    assert fits(poissons(mean, keys_of(7, COUNT)), stats.poisson(mean)) > LEVEL


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_of_many_lanes_is_poisson(mean):
    assert fits(lanes(mean, keys_of(8, COUNT)), stats.poisson(float(np.float32(mean)))) > LEVEL


def test_poisson_lanes_keep_mean_and_variance_to_a_tenth_of_a_per_cent():
    """Four standard errors of two million draws: a bias that the chi-square of 200,000 would miss."""
    keys = keys_of(9, 2_000_000)
    for mean in (0.5, 3.0, 24.0, 47.0):
        draws = lanes(mean, keys).astype(np.float64)
        assert abs(draws.mean() - mean) < 4 * np.sqrt(mean / keys.size)
        assert abs(draws.var() / mean - 1) < 4 * np.sqrt((2 + 1 / mean) / keys.size)


@pytest.mark.parametrize("high", [4.0, 60.0, 200.0])
def test_a_lane_depends_on_neither_its_neighbours_nor_its_place(high):
    size = 5 * BLOCK + 17
    keys, mean = keys_of(5, size), np.random.default_rng(0).uniform(0, high, size).astype(np.float32)
    mean[::50] = 0.0
    whole = lanes(mean, keys, counter=3)
    assert (whole[::50] == 0).all()
    for cuts in ([1], [63], [64], [65], [7, 100, 130, 301]):
        pieces = zip(np.split(mean, cuts), np.split(keys, cuts), strict=True)
        np.testing.assert_array_equal(np.concatenate([lanes(m, k, counter=3) for m, k in pieces]), whole)
    order = np.random.default_rng(1).permutation(size)
    np.testing.assert_array_equal(lanes(mean[order], keys[order], counter=3), whole[order])


def test_poisson_lanes_rise_with_the_mean_for_the_same_customer():
    keys = keys_of(6, 5000)
    draws = np.array([lanes(mean, keys) for mean in np.linspace(0.1, 63.9, 60)])
    assert (np.diff(draws, axis=0) >= 0).all()


@pytest.mark.parametrize("variance", [0.01, 0.02, 0.1, 0.3, 0.99, 1.0, 1.01, 3.0, 5.0])
def test_gamma_is_gamma_with_mean_one(variance):
    draws = gammas(variance, keys_of(3, COUNT))
    assert stats.kstest(draws, stats.gamma(1 / variance, scale=variance).cdf).pvalue > LEVEL


@pytest.mark.parametrize("variance", [0.0005, 0.001, 0.02, 0.1, 0.3, 0.99, 1.0, 1.01, 3.0])
def test_gamma_of_many_lanes_is_gamma_with_mean_one(variance):
    draws = np.empty(COUNT, np.float32)
    gamma_lanes(np.float32(variance), keys_of(14, COUNT), 2, draws)
    assert stats.kstest(draws.astype(float), stats.gamma(1 / variance, scale=variance).cdf).pvalue > LEVEL
    assert abs(draws.var(dtype=float) / variance - 1) < 4 * np.sqrt((2 + 6 * variance) / COUNT)


def test_gamma_and_binomial_lanes_depend_on_neither_their_neighbours_nor_their_place():
    keys, size = keys_of(15, 333), np.random.default_rng(0).integers(-2, 80, 333).astype(np.float32)

    def both(part):
        gamma, binomial = np.empty(part.size, np.float32), np.empty(part.size, np.float32)
        gamma_lanes(np.float32(0.1), keys[part], 1, gamma)
        binomial_lanes(size[part], 0.3, keys[part], 2, binomial)
        return np.stack([gamma, binomial])

    whole = both(np.arange(333))
    order = np.random.default_rng(1).permutation(333)
    for cuts in ([1], [63], [64], [65], [7, 100, 130, 301]):
        pieces = [both(part) for part in np.split(order, cuts)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole[:, order])


@pytest.mark.parametrize("count", [1, 5, 63, 64, 65, 200])
@pytest.mark.parametrize("probability", [0.01, 0.3, 0.5, 0.7, 0.99])
def test_binomial_is_binomial(count, probability):
    assert fits(binomials(float(count), probability, keys_of(10, 50_000)), stats.binom(count, probability)) > LEVEL


def test_binomial_is_certain_at_its_ends():
    keys = keys_of(10, 100)
    for count, probability, happened in ((9.0, 0.0, 0.0), (9.0, 1.0, 9.0), (0.0, 0.5, 0.0)):
        assert (binomials(count, probability, keys) == happened).all()


def test_normal_is_normal():
    assert stats.kstest(normals(keys_of(12, COUNT)), "norm").pvalue > LEVEL


@pytest.mark.parametrize("draw", [uniforms, uniforms32])
def test_uniform_is_uniform_and_neighbours_are_independent(draw):
    draws = draw(keys_of(3, COUNT)).astype(np.float64)
    assert 0 < draws.min() < draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > LEVEL
    pairs, _, _ = np.histogram2d(draws[:-1:2], draws[1::2], bins=20)
    assert stats.chisquare(pairs.reshape(-1)).pvalue > LEVEL


def test_both_uniforms_stand_on_the_same_bits():
    keys = keys_of(4, 10_000)
    np.testing.assert_allclose(uniforms32(keys), uniforms(keys), atol=2.0**-23)


def test_markets_episodes_and_periods_have_draws_of_their_own():
    """Grids of neighbours: were two keys alike or shifted, the pairs would not fill the square evenly."""
    grid = np.stack(np.meshgrid(np.arange(80), np.arange(50), np.arange(50), indexing="ij")).reshape(3, -1)
    keys = np.empty(grid.shape[1], np.uint64)
    period_keys(1, grid, keys)
    assert len(np.unique(keys)) == keys.size
    draws = uniforms(keys).reshape(80, 50, 50)
    for axis in range(3):
        pairs = np.moveaxis(draws, axis, 0)
        counts, _, _ = np.histogram2d(pairs[:-1].reshape(-1), pairs[1:].reshape(-1), bins=20)
        assert stats.chisquare(counts.reshape(-1)).pvalue > LEVEL


def test_the_one_customer_chooses_with_the_given_probabilities():
    """Three products, two segments and two rival offers in two categories."""
    markets = COUNT
    category, rival_category = np.array([0, 0, 1]), np.array([0, 1])
    share = np.array([[0.1, 0.05, 0.3], [0.15, 0.2, 0.1]], np.float32)
    rival_share = np.array([0.25, 0.2], np.float32)
    mean = np.repeat(share[:, :, None], markets, axis=2)
    rival_mean = np.repeat(rival_share[:, None], markets, axis=1)
    by_segment, demand = np.zeros((2, 3, markets), np.float32), np.zeros((3, markets), np.float32)
    rivals = np.zeros((2, markets), np.float32)
    draw_single(2, category, rival_category, keys_of(13, markets), 4, mean, rival_mean, by_segment, demand, rivals)
    np.testing.assert_array_equal(by_segment.sum(axis=0), demand)
    for c in range(2):
        own, theirs = by_segment[:, category == c].reshape(-1, markets), rivals[rival_category == c]
        assert (own.sum(axis=0) + theirs.sum(axis=0)).max() == 1
        sold = np.append(own.sum(axis=1), theirs.sum(axis=1))
        chance = np.append(share[:, category == c], rival_share[rival_category == c])
        cells = np.append(sold, markets - sold.sum()), np.append(chance, 1 - chance.sum()) * markets
        assert stats.chisquare(*cells).pvalue > LEVEL
    # Categories do not share their customer.
    table = np.histogram2d(demand[:2].sum(axis=0), demand[2], bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > LEVEL


@pytest.mark.parametrize("overdispersion", [0.0, 0.3])
@pytest.mark.parametrize("discount", [0.0, 0.2])
def test_units_of_the_market_are_counts_with_the_expected_mean(overdispersion, discount):
    """Thinned Poisson choice, or negative binomial under the gamma multiplier: each product, and pairs independent."""
    spec = spec_from_table(
        {
            "name": "counts",
            "version": 1,
            "market": {"horizon_periods": 1},
            "products": {"names": ["a", "b", "c"], "category": ["x", "x", "y"], "regular_price": [4.0, 5.0, 3.0]},
            "arrivals": {
                "rate": [30.0, 6.0],
                "segments": ["s", "t"],
                "segment_share": [[0.6, 0.4], [0.3, 0.7]],
                "overdispersion": overdispersion,
            },
            "demand": {"quality": [[2.0, 2.5, 1.0], [3.0, 3.0, 2.0]], "price_sensitivity": [[0.6] * 3, [1.0] * 3]},
            "competitors": {"names": ["r"], "regular_price": 4.5, "quality": 2.0, "price_sensitivity": 0.6},
            "prices": {"floor": 1.0, "ceiling": 9.0, "max_discount": discount},
        }
    )
    markets = 60_000
    outcome = Market(spec, num_markets=markets, seed=21).step(Action(np.tile(np.float32([4, 5, 3]), (markets, 1))))
    mean = expected_units(spec, 0, [4.0, 5.0, 3.0])[0]
    for n, total in enumerate(mean.sum(axis=0)):
        size = 1 / overdispersion if overdispersion else 0.0
        law = stats.nbinom(size, size / (size + total)) if overdispersion else stats.poisson(total)
        assert fits(outcome.units[:, n], law) > LEVEL
    if discount and not overdispersion:
        for k in range(2):
            for n in range(3):
                assert fits(outcome.segment_units[:, n, k], stats.poisson(mean[k, n])) > LEVEL
    for i, j in ((0, 1), (0, 2)):
        correlation = np.corrcoef(outcome.units[:, i], outcome.units[:, j])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(markets)


def test_fast_exponential_is_accurate_in_both_types():
    x = np.linspace(-80, 80, 100_001)
    np.testing.assert_allclose(
        exponentials(x.astype(np.float32)), np.exp(x.astype(np.float32).astype(float)), rtol=3e-7
    )
    np.testing.assert_allclose(exponentials(x), np.exp(x), rtol=1e-15)
