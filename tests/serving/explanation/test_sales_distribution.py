import numpy as np
import pytest
from repricer.serving.explanation.sales_distribution import sales_range
from scipy import stats


@pytest.mark.parametrize(("mean", "variance"), [(0.3, 0.0), (12.0, 0.0), (12.0, 0.5), (900.0, 0.01), (4e5, 0.0)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.1, np.inf])
def test_sales_are_those_of_the_distribution(mean: float, variance: float, share: float) -> None:
    stock = np.floor(mean * share)
    demand = stats.poisson(mean) if not variance else stats.nbinom(1 / variance, 1 / (1 + variance * mean))
    sold = sales_range(mean, variance, stock, single=False)
    draws = np.minimum(demand.rvs(200_000, random_state=np.random.default_rng(0)), stock)
    error = 5 * draws.std() / draws.size**0.5 + 1e-9 * mean
    assert abs(sold.mean - draws.mean()) < max(error, 1e-6)
    for got, q in ((sold.low, 0.025), (sold.high, 0.975)):
        assert abs(got - min(demand.ppf(q), stock)) <= 1 + 1e-4 * mean


def test_at_most_one_customer_is_a_coin() -> None:
    sold = sales_range([0.01, 0.4, 0.99], 0.0, [1.0, 1.0, 0.0], single=True)
    np.testing.assert_allclose(sold.mean, [0.01, 0.4, 0])
    assert (sold.low.tolist(), sold.high.tolist()) == ([0, 0, 0], [0, 1, 0])
