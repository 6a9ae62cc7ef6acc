"""Stock levels against closed forms, and against the rule played for many weeks."""

from __future__ import annotations

import numpy as np
import pytest
from repricer.forecasting.replenishment import (
    Demand,
    critical_fractile,
    fitted_dispersion,
    protection_demand,
    replenishment_levels,
)
from scipy.stats import nbinom, norm, poisson

pytestmark = pytest.mark.filterwarnings("error")


def play(
    rng: np.random.Generator, mean: float, dispersion: float, level: float, lead: int, weeks: int = 200_000
) -> float:
    """Share of weeks without shortage; shortage waits."""
    rate = mean * (rng.gamma(1 / dispersion, dispersion, weeks) if dispersion else np.ones(weeks))
    on_hand, pipeline, short = level, [0.0] * (lead + 1), 0
    for asked in rng.poisson(rate):
        pipeline[lead] += level - on_hand - sum(pipeline)
        on_hand += pipeline.pop(0) - asked
        pipeline.append(0.0)
        short += on_hand < 0
    return 1 - short / weeks


def test_critical_fractile():
    assert critical_fractile(3.0, 1.0) == 0.75
    np.testing.assert_allclose(critical_fractile([9, 1], [1, 1]), [0.9, 0.5])
    np.testing.assert_allclose(critical_fractile(9e5, 1e5), critical_fractile(9, 1))


def test_fractile_costs_least():
    """The newsvendor's quantity has the least expected cost of all quantities."""
    demand = Demand(np.array(20.0), np.array(60.0))
    quantities = np.arange(80)
    left = np.cumsum(np.r_[0.0, demand.probability(quantities)])[:-1]
    cost = 4 * (demand.mean - quantities + left) + 1.5 * left
    assert quantities[cost.argmin()] == demand.quantile(critical_fractile(4, 1.5))


@pytest.mark.parametrize(("mean", "lead"), [(0.3, 0), (4.0, 1), (25.0, 3)])
def test_poisson_closed_form(mean, lead):
    levels = replenishment_levels([[mean]], 0.0, fractile=0.95, lead_time_weeks=lead)
    total = mean * (lead + 1)
    assert levels.order_up_to == poisson.ppf(0.95, total)
    np.testing.assert_allclose(levels.service_level, poisson.cdf(levels.order_up_to, total), rtol=1e-6)


def test_large_demand_is_the_normal_newsvendor():
    mean, dispersion = 1e6, 1e-4
    levels = replenishment_levels([[mean]], dispersion, fractile=0.9, lead_time_weeks=1)
    deviation = np.sqrt(2 * mean + 2 * dispersion * mean**2)
    assert levels.order_up_to.item() - 2 * mean == pytest.approx(norm.ppf(0.9) * deviation, rel=0.01)


def test_sum_over_alike_weeks_is_exact():
    """Independent negative binomials of one dispersion add up to one; a multiplier that stays does not average out."""
    demand = protection_demand(np.full((5, 1), 6.0), 0.5, weeks=3)
    size = 3 / 0.5
    np.testing.assert_allclose(demand.probability(20), nbinom.cdf(20, size, size / (size + 18.0)))
    lasting = protection_demand(np.full((5, 1), 6.0), 0.5, weeks=3, persistence=1.0)
    np.testing.assert_allclose(lasting.variance, 18 + 0.5 * 18.0**2)


def test_each_week_protects_those_after_it():
    mean = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(protection_demand(mean, 0.0, weeks=2).mean, [[3.0], [6.0], [8.0]])
    assert protection_demand(mean, 0.0, weeks=0).mean.tolist() == [[0.0], [0.0], [0.0]]


@pytest.mark.parametrize(("mean", "dispersion", "lead"), [(5.0, 0.0, 0), (5.0, 0.4, 2), (0.6, 0.0, 1)])
def test_order_up_to_reaches_its_service(mean, dispersion, lead):
    levels = replenishment_levels([[mean]], dispersion, fractile=0.9, lead_time_weeks=lead)
    service = play(np.random.default_rng(0), mean, dispersion, levels.order_up_to.item(), lead)
    assert service == pytest.approx(levels.service_level.item(), abs=0.005)
    assert levels.service_level >= 0.9


def test_dispersion_is_found_again():
    mean = np.array([[8.0, 60.0], [20.0, 300.0]])
    true = np.array([0.5, 0.1])
    quantiles = {p: Demand(mean, mean + true * mean**2).quantile(p) for p in (0.1, 0.5, 0.9, 0.975)}
    found = fitted_dispersion(mean, quantiles)
    np.testing.assert_allclose(found, np.broadcast_to(true, mean.shape), rtol=0.25)
    np.testing.assert_array_equal(fitted_dispersion(mean, {0.9: mean}), 0.0)


def test_both_tails_of_a_forecast_weigh_alike():
    """A forecast that is narrow below and wide above is met between the two."""
    mean = np.array([100.0])
    narrow, wide = (Demand(mean, mean + spread * mean**2) for spread in (0.02, 0.3))
    below, above = {p: narrow.quantile(p) for p in (0.025, 0.1)}, {p: wide.quantile(p) for p in (0.9, 0.975)}
    found = fitted_dispersion(mean, below | above).item()
    assert 0.05 < found < 0.15
    assert fitted_dispersion(mean, above).item() > 0.25


def test_more_is_held_for_more_service_time_and_doubt():
    def level(dispersion=0.2, **changes) -> float:
        settings = {"fractile": 0.9, "lead_time_weeks": 1, **changes}
        return replenishment_levels([[10.0]], dispersion, **settings).order_up_to.item()

    assert level() < level(fractile=0.99)
    assert level() < level(lead_time_weeks=2)
    assert level() < level(dispersion=0.5)
    assert level() < level(persistence=0.9)


def test_mistakes():
    with pytest.raises(ValueError, match=r"fractile must lie strictly between 0 and 1; got 1\.0"):
        replenishment_levels([[5.0]], 0.3, fractile=1.0, lead_time_weeks=1)
    with pytest.raises(ValueError, match="lead_time_weeks must be 0 or more"):
        replenishment_levels([[5.0]], 0.3, fractile=0.9, lead_time_weeks=-1)
    with pytest.raises(ValueError, match="finite and 0 or more"):
        replenishment_levels([[-5.0]], 0.3, fractile=0.9, lead_time_weeks=1)
    with pytest.raises(ValueError, match="persistence in"):
        protection_demand([[5.0]], 0.3, weeks=1, persistence=1.5)
    with pytest.raises(ValueError, match="not both 0"):
        critical_fractile(0.0, 0.0)
    with pytest.raises(ValueError, match=r"one above 0\.5"):
        fitted_dispersion([5.0], {0.1: [2.0]})
