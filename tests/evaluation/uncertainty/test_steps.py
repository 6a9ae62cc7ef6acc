from dataclasses import replace

import numpy as np
import pytest
from repricer.evaluation.uncertainty import draws
from repricer.evaluation.uncertainty.steps import at_bounds, going_on, planned_deals_left
from repricer.scenarios import spec_from_table
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PlanSection

PERIODS = 6


@pytest.fixture(scope="module")
def near():
    """Two products near their plan, in which the second has a deal."""
    regular = np.array([2.0, 3.0])
    table = {
        "name": "shop",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "period": "week", "objective": "profit"},
        "products": {"names": ["a", "b"], "regular_price": regular, "unit_cost": 0.5 * regular},
        "arrivals": {"rate": 2000.0},
        "demand": {"quality": [[1.5, 1.5]], "price_sensitivity": [1.2 / regular]},
        "prices": {"floor": 0.4 * regular, "ceiling": 1.5 * regular, "max_step": [0.05, 0.05]},
        "reference_price": {"memory": 0.6, "gain": 2.0, "loss": 0.0},
    }
    price = np.tile(regular, (PERIODS, 1))
    price[2, 1] *= 0.75
    return replace(spec_from_table(table), plan=PlanSection(price=price))


def test_prices_at_the_step_and_at_other_bounds_are_told_apart(near):
    planned = planned_prices(near)
    assert at_bounds(near, planned)[:3] == (planned.size, 0, 0)
    assert at_bounds(near, 1.05 * planned)[:3] == (planned.size, planned.size, 0)
    capped = near.with_changes(prices={"ceiling": [2.06, 4.5]})
    path = planned.copy()
    path[:, 0] = 2.06
    found = at_bounds(capped, path)
    assert (found.at_step, found.elsewhere) == (0, PERIODS)
    assert found.share == pytest.approx(1), "the only price that moved brings all of the gain"
    assert found.words().startswith("6 of 12 prices stand at a bound other than the step and bring 100% of the gain; ")


def test_without_a_limit_on_steps_none_is_named(near):
    free = near.with_changes(prices={"max_step": None, "ceiling": [2.06, 4.5]})
    path = planned_prices(free).copy()
    path[:, 0] = 2.06
    found = at_bounds(free, path)
    assert (found.at_step, found.elsewhere) == (None, PERIODS)
    assert "step" not in found.words()


def test_a_dropped_deal_stands_at_no_bound(near):
    path = planned_prices(near).copy()
    path[2, 1] = 3.0
    assert at_bounds(near, path)[:3] == (path.size, 0, 0)
    path[2, 1] = 3.15
    assert at_bounds(near, path)[:3] == (path.size, 1, 0)


def test_a_deal_that_moves_is_not_dropped(near):
    path = planned_prices(near).copy()
    assert planned_deals_left(near, path) == (1, 0, 0, False)
    path[2, 1] = 3.0
    assert planned_deals_left(near, path) == (1, 0, 1, False)
    path[4, 1] = 2.25
    assert planned_deals_left(near, path) == (1, 1, 0, False)


def test_going_on_leaves_the_step_behind(near):
    further = going_on(near)
    assert further is not None
    # With a response this weak, the best prices are far above the plan's.
    assert further.mean > 0.1
    assert "a test would have to show it" in further.words()
    assert going_on(near.with_changes(prices={"max_step": None})) is None


def test_the_gain_of_going_on_is_spread_by_the_model_error(near, monkeypatch):
    posterior = Posterior(
        draws=3, arrivals=[[[0.9]], [[1.0]], [[1.1]]], sensitivity=[[0.8, 0.9], [1.0, 1.0], [1.2, 1.1]]
    )
    drawn = replace(near, posterior=posterior)
    found = []
    for factor in (1.0, 3.0):
        going_on.cache_clear()
        monkeypatch.setattr(draws, "MODEL_ERROR", factor)
        found.append(going_on(drawn))
    going_on.cache_clear()
    plain, wide = found
    assert plain is not None
    assert wide is not None
    assert plain.mean == wide.mean
    assert np.ptp(wide.interval90) == pytest.approx(3 * np.ptp(plain.interval90))
    assert np.ptp(plain.interval90) > 0
