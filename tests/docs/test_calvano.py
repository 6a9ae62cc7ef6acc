"""The replication runs, is reproducible and starts from the right game; its full figures are an acceptance check."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from repricer.evaluation.competition import yardstick
from repricer.scenarios import load_scenario

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "calvano.py"


@pytest.fixture(scope="module")
def calvano():
    described = importlib.util.spec_from_file_location("calvano", SCRIPT)
    module = importlib.util.module_from_spec(described)
    sys.modules["calvano"] = module
    described.loader.exec_module(module)
    yield module
    del sys.modules["calvano"]


def test_the_game_is_the_papers(calvano):
    spec = load_scenario("calvano-duopoly")
    marks = yardstick(spec)
    prices = calvano.price_grid(marks)
    assert len(prices) == 15
    assert prices[[0, -1]] == pytest.approx([1.427722, 1.970186], abs=1e-6)
    table = calvano.profit_table(spec, prices)
    np.testing.assert_allclose(table[0], table[1].T)
    weight = np.exp((2 - prices) / 0.25)
    share = weight[:, None] / (1 + weight[:, None] + weight)
    np.testing.assert_allclose(table[0], (prices[:, None] - 1) * share, rtol=1e-9)


def test_a_short_replication(calvano):
    short = {"seed": 3, "stable_periods": 500, "max_periods": 20_000}
    done = calvano.replicate(3, 0.95, **short)
    assert done.gain.shape == done.price.shape == done.periods.shape == (3,)
    assert (done.periods <= 20_000).all()
    assert ((done.gain > -1) & (done.gain < 1)).all()
    assert ((done.price > 1.4277) & (done.price < 1.9702)).all()
    again = calvano.replicate(2, 0.95, **short)
    np.testing.assert_array_equal(again.gain, done.gain[:2])
    capped = calvano.replicate(1, 0.95, stable_periods=500, max_periods=400)
    assert not capped.converged.any()
    assert capped.periods.tolist() == [400]


def test_greedy_play_ends_in_a_cycle(calvano):
    """Two prices; both firms alternate between them: states 0 = (0, 0) and 3 = (1, 1)."""
    greedy = np.array([[1, 0, 0, 0], [1, 0, 0, 0]])
    assert sorted(calvano.greedy_cycle(greedy, 2, 2)) == [0, 3]


def test_wrong_requests_get_one_line(calvano):
    with pytest.raises(ValueError, match="sessions must be at least 1; got 0"):
        calvano.replicate(0)
    with pytest.raises(ValueError, match=r"delta must lie in \[0, 1\); got 1"):
        calvano.replicate(1, 1.0)
