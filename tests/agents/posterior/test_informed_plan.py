"""What knowing the customers adds to a plan: nothing where the draws agree, more the more they differ."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents.posterior.informed_plan import informed_plan
from repricer.scenarios.sections import Posterior

from .test_best_plan import shop


def of_spread(spread: float):
    """The plan and the informed plan of a shop whose draws differ in how customers answer to prices."""
    slope = np.exp(spread * np.linspace(-1, 1, 6))
    spec = replace(shop(2.0), posterior=Posterior(draws=6, sensitivity=np.tile(slope[:, None], (1, 3))))
    found = informed_plan(spec)
    assert found is not None
    return found


def test_customers_who_are_known_add_nothing():
    found = of_spread(0.0)
    assert found.gain == pytest.approx(0.0, abs=2e-3)


def test_the_more_draws_differ_the_more_it_adds():
    little, much = of_spread(0.1), of_spread(0.7)
    assert (much.informed >= much.plan).all()
    assert much.gain > little.gain + 0.01


def test_a_market_without_a_posterior_has_none():
    assert informed_plan(replace(shop(2.0), posterior=None)) is None
