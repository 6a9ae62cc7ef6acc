"""Shops that train together meet at the mean of their weights, by files that show none of them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from repricer.agents import train
from repricer.agents.averaging import ROUNDS
from repricer.privacy.shared_sums import FederationError, SharedFolder
from repricer.scenarios import load_scenario

KEY = bytes(32)
NAMES = ("east", "north", "west")
SMALL = {"validation_episodes": 8, "evaluations": 2, "net_arch": (8,), "clone_epochs": 1}


class Noting:
    """A shared folder that notes what is given, and the last sum."""

    def __init__(self, shared, last):
        self.shared, self.last, self.facts = shared, last, shared.facts

    def __enter__(self):
        self.shared.__enter__()
        return self

    def __exit__(self, *error):
        self.shared.__exit__(*error)

    def sum(self, values):
        self.last |= {"given": values, "sum": self.shared.sum(values), "calls": self.last.get("calls", 0) + 1}
        return self.last["sum"]


def test_three_trainings_end_with_the_same_weights(tmp_path):
    seen = {name: {} for name in NAMES}

    def work(name, times):
        spec = load_scenario("stationary-logit")
        spec = spec.with_changes(arrivals={"rate": times * spec.arrivals.rate})
        join = partial(SharedFolder, tmp_path, KEY, name=name, shops=3, wait=60)
        settings = SMALL | {"product_wise": True}
        return train(spec, steps=4_000, settings=settings, shops=lambda about: Noting(join(about=about), seen[name]))

    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(work, NAMES, (1, 2, 3)))
    assert {run.policy.name for run in runs} == {"ppo:0"}
    assert {last["calls"] for last in seen.values()} == {ROUNDS}
    sums = [last["sum"] for last in seen.values()]
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_allclose(sums[0], np.sum([last["given"] for last in seen.values()], axis=0), atol=1e-9)


def test_another_kind_of_policy_is_named(tmp_path):
    def work(name, algo):
        join = partial(SharedFolder, tmp_path, KEY, name=name, shops=3, wait=10)
        with pytest.raises(FederationError) as caught:
            train("stationary-logit", algo=algo, steps=100, settings=SMALL, shops=join)
        return str(caught.value)

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(work, NAMES, ("ppo", "ppo", "a2c")))
    assert all("all shops must sum the same" in line for line in said)
    assert "from 'west': a2c of seed 0 on" in said[0]


def test_what_cannot_be_learned_together_is_refused(tmp_path):
    shops = partial(SharedFolder, tmp_path / "none", KEY, name="east", shops=3)
    with pytest.raises(ValueError, match="patience must be 0 to learn with other shops; got 3"):
        train("stationary-logit", steps=100, settings={"patience": 3}, shops=shops)
    with pytest.raises(FederationError, match="shops must meet in a folder that all reach"):
        train("stationary-logit", steps=100, settings=SMALL, shops=shops)
    train("stationary-logit", steps=100, settings=SMALL, out=tmp_path / "alone")
    with pytest.raises(ValueError, match="holds a run with with_shops None; got True"):
        train("stationary-logit", steps=100, settings=SMALL, out=tmp_path / "alone", shops=shops)
