"""Value of information: cases with a closed form, its limits, and a market whose draws are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.planning.experiments.value import (
    PriceTest,
    drawn_outcomes,
    gains_after_reading,
    value_of_experiment,
)
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.sections import Posterior
from scipy.stats import norm


def closed_form(mean: float, spread: float, error: float) -> float:
    """Raiffa and Schlaifer 1961: keep or change, where the gain of a change is normal and read with normal noise."""
    learned = spread**2 / np.hypot(spread, error)
    unit = abs(mean) / learned
    return float(learned * (norm.pdf(unit) - unit * norm.sf(unit)))


def simulated(mean: float, spread: float, error: float, draws: int, seed: int = 0, unrelated: int = 0) -> float:
    random = np.random.default_rng(seed)
    gain = mean + spread * random.standard_normal((draws, 1))
    readings = np.hstack([gain, random.standard_normal((draws, unrelated))])
    noise = random.standard_normal((8, draws, 1 + unrelated))
    money = np.hstack([np.zeros_like(gain), gain])
    return float(
        gains_after_reading(money, readings, np.full(1 + unrelated, error), noise, np.arange(draws) % 5).mean()
    )


@pytest.mark.parametrize(("mean", "error"), [(0.0, 0.3), (0.0, 2.0), (0.5, 1.0), (-1.0, 0.5)])
def test_two_actions_with_normal_gains_have_the_closed_form(mean: float, error: float) -> None:
    assert simulated(mean, 1.0, error, 20_000) == pytest.approx(closed_form(mean, 1.0, error), abs=0.015)


def test_few_draws_and_unrelated_readings_do_not_flatter() -> None:
    """Weights by likelihood would find perfect information here."""
    found = [simulated(0.5, 1.0, 3.0, 100, seed, unrelated=10) for seed in range(40)]
    assert np.mean(found) < closed_form(0.5, 1.0, 3.0) + 0.02


def test_no_reading_is_worth_nothing_and_a_sharp_one_at_most_what_perfect_information_is() -> None:
    assert simulated(0.5, 1.0, 1e6, 500) == pytest.approx(0.0, abs=0.03)
    assert simulated(0.0, 1.0, 1e-6, 500) == pytest.approx(norm.pdf(0), abs=0.06)


@pytest.fixture(scope="module")
def spec(make_shop):
    factors = np.exp(0.3 * np.random.default_rng(0).standard_normal((80, 3)))
    shop = make_shop(reference_price=None, recommendation=None)
    return replace(shop, posterior=Posterior(draws=80, arrivals=1.0, sensitivity=factors))


def test_responses_and_losses_are_those_of_the_draws(spec) -> None:
    planned = planned_prices(spec)
    up, whole = PriceTest((0,), 1.1 * planned[:, [0]]), PriceTest((0, 1), 1.1 * planned[:, :2])
    outcomes = drawn_outcomes(spec, [up, whole, PriceTest((2,), 1.1 * planned[:, [2]])], weeks=4)
    own, others = outcomes.responses[:, 0].T
    assert (own < 0).all()
    assert (others > 0).all()
    assert (outcomes.responses[:, 1:, 1] == 0).all()  # nothing else is in their categories
    # A draw in which customers mind prices more loses more units.
    assert np.corrcoef(own, spec.posterior.sensitivity[:, 0])[0, 1] < -0.9
    assert outcomes.money.shape[::2] == (80, 2)
    assert outcomes.category.tolist() == [0, 0, 1]
    assert (outcomes.money[:, 0].sum(axis=1) * 8 / 26 > outcomes.planned).all()


def test_value_rises_with_precision_and_the_risk_is_that_of_the_worst_draws(spec) -> None:
    planned = planned_prices(spec)
    outcomes = drawn_outcomes(spec, [PriceTest((n,), 0.8 * planned[:, [n]]) for n in range(3)], weeks=4)
    values = [value_of_experiment(outcomes, [0, 1, 2], np.full((3, 2), error)) for error in (1e3, 0.1, 0.001)]
    assert values[0].information <= values[1].information + 0.1
    assert values[1].information < values[2].information <= values[2].perfect_information
    assert values[0].money_at_risk > values[0].cost > 0
    assert values[0].money_at_risk == pytest.approx(np.quantile(outcomes.losses.sum(axis=1) / 2, 0.95))


def test_a_market_without_a_posterior_is_refused(shop) -> None:
    with pytest.raises(ValueError, match="an experiment needs a market fitted on data; got small-shop"):
        drawn_outcomes(shop, [], weeks=1)
