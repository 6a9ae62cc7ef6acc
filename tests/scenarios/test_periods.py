"""A market of some periods is that of the whole market's periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from repricer.scenarios import load_scenario
from repricer.scenarios.periods import periods_of, planned_prices, simulated_prices
from repricer.scenarios.planned_deals import course_of
from repricer.scenarios.sections import Posterior, ReferencePrice, Regimes
from repricer.scenarios.shop_sections import PlanSection


def test_everything_that_follows_the_calendar_moves() -> None:
    spec = load_scenario("low-before-high").with_changes(market={"first_day": "2018-01-01", "period_days": 7})
    horizon = spec.market.horizon_periods
    weeks = 1 + np.arange(horizon, dtype=np.float64)
    spec = replace(
        spec,
        plan=PlanSection(price=weeks[:, None]),
        posterior=Posterior(draws=2, arrivals=np.array([weeks, 2 * weeks])[..., None]),
    )
    part = periods_of(spec, 3, 4)
    assert part.calendar is not None
    assert part.calendar.labels == ["2018-01-22", "2018-01-29", "2018-02-05", "2018-02-12"]
    np.testing.assert_array_equal(planned_prices(part)[:, 0], [4, 5, 6, 7])
    assert part.past.price.tolist() == [[1], [2], [3]]
    assert periods_of(part, 1, 2).past.price.tolist() == [[1], [2], [3], [4]]
    assert periods_of(spec, 0, 4).past.price is None
    np.testing.assert_array_equal(part.draw(1).arrivals.rate, spec.draw(1).arrivals.rate[3:7])
    np.testing.assert_array_equal(part.demand.season, spec.demand.season[3:7])


def test_the_regimes_go_on_from_where_they_are_in_the_first_of_the_periods() -> None:
    chain = Regimes(names=("bad", "good"), transition=[[0.7, 0.3], [0, 1]], initial=[1, 0], arrivals=[0.1, 1.0])
    spec = replace(load_scenario("low-before-high"), regimes=chain)
    part = periods_of(spec, 3, 2)
    np.testing.assert_allclose(part.regime_probabilities(), spec.regime_probabilities()[3:5])
    np.testing.assert_allclose(part.regime_probabilities()[0], [0.343, 0.657])


def test_lower_regular_prices_are_what_customers_are_used_to_and_lower_weeks_are_deals() -> None:
    spec = load_scenario("stationary-logit").with_changes(products={"regular_price": 10.0})
    plan = np.full((spec.market.horizon_periods, 1), 10.0)
    plan[1] = 8.0
    reference = ReferencePrice(memory=0.5, gain=np.array([1.0]), loss=np.array([0.0]))
    spec = replace(spec, plan=PlanSection(price=plan), reference_price=reference)

    def remembered(price: np.ndarray, on_deal: np.ndarray | None = None) -> np.ndarray:
        return course_of(spec, price, on_deal).reference.ravel()[:4]

    np.testing.assert_allclose(remembered(plan), [10, 10, 9, 9.5])
    # Everything 10% lower: customers compare with what they are used to, in proportion.
    np.testing.assert_allclose(remembered(0.9 * plan), 0.9 * remembered(plan))
    # Higher prices surprise nobody into using up what they stored, nor make a deal look deeper; one that rises with them
    # keeps its depth.
    np.testing.assert_allclose(remembered(np.where(plan < 10, plan, 12.0)), remembered(plan))
    np.testing.assert_allclose(remembered(1.2 * plan), [10, 12, 9, 9.5])
    # A deal more is a deal where it is announced, else a lower regular price.
    more = np.array([[8.0], [8.0], [10.0], [10.0]])
    np.testing.assert_allclose(remembered(more, more < 10)[:2], [10, 9])
    np.testing.assert_allclose(remembered(more)[:2], [8, 8])
    spec = replace(spec, plan=None)
    np.testing.assert_allclose(remembered(0.9 * plan)[0], 10)


def test_a_frozen_product_leaves_its_one_price_as_far_as_its_plan_in_every_course_of_prices() -> None:
    spec = load_scenario("stationary-logit")
    spec = spec.with_changes(prices={"frozen": spec.products.names})
    plan = np.full((spec.market.horizon_periods, 1), 9.0)
    plan[1] = 8.0
    spec = replace(spec, plan=PlanSection(price=plan))
    paths = np.stack([plan, plan + 0.5, plan - 0.5])[:, :4]
    np.testing.assert_allclose(simulated_prices(spec, paths), [simulated_prices(spec, path) for path in paths])
