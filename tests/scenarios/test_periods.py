"""A market of some periods is that of the whole market's periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from repricer.scenarios import load_scenario
from repricer.scenarios.periods import periods_of, planned_prices
from repricer.scenarios.price_section import HistorySection
from repricer.scenarios.sections import Posterior, Regimes


def test_everything_that_follows_the_calendar_moves() -> None:
    spec = load_scenario("low-before-high").with_changes(market={"first_day": "2018-01-01", "period_days": 7})
    horizon = spec.market.horizon_periods
    weeks = 1 + np.arange(horizon, dtype=np.float64)
    spec = replace(
        spec,
        history=HistorySection(price=weeks[:, None]),
        posterior=Posterior(draws=2, arrivals=np.array([weeks, 2 * weeks])[..., None]),
    )
    part = periods_of(spec, 3, 4)
    assert part.calendar is not None
    assert part.calendar.labels == ["2018-01-22", "2018-01-29", "2018-02-05", "2018-02-12"]
    np.testing.assert_array_equal(planned_prices(part)[:, 0], [4, 5, 6, 7])
    assert part.history is not None
    assert part.history.past_price.tolist() == [[1], [2], [3]]
    assert periods_of(part, 1, 2).history.past_price.tolist() == [[1], [2], [3], [4]]  # pyright: ignore[reportOptionalMemberAccess]
    assert periods_of(spec, 0, 4).history.past_price is None  # pyright: ignore[reportOptionalMemberAccess]
    np.testing.assert_array_equal(part.draw(1).arrivals.rate, spec.draw(1).arrivals.rate[3:7])
    np.testing.assert_array_equal(part.demand.season, spec.demand.season[3:7])


def test_the_regimes_go_on_from_where_they_are_in_the_first_of_the_periods() -> None:
    chain = Regimes(names=("bad", "good"), transition=[[0.7, 0.3], [0, 1]], initial=[1, 0], arrivals=[0.1, 1.0])
    spec = replace(load_scenario("low-before-high"), regimes=chain)
    part = periods_of(spec, 3, 2)
    np.testing.assert_allclose(part.regime_probabilities(), spec.regime_probabilities()[3:5])
    np.testing.assert_allclose(part.regime_probabilities()[0], [0.343, 0.657])
