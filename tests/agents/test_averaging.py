"""Shops that train together meet at the mean of their weights, over a line that shows none of them."""

import asyncio
import threading
from functools import partial

import numpy as np
import pytest
from repricer.agents import train
from repricer.agents.averaging import ROUNDS, with_shops
from repricer.benchmarks.loopback import free_port
from repricer.forecasting.federated import FederationError, average
from repricer.scenarios import load_scenario

KEY = bytes(32)
NAMES = ("east", "north", "west")
SMALL = {"validation_episodes": 8, "evaluations": 2, "net_arch": (8,), "clone_epochs": 1}


def together(*works, wait=60):
    """What each shop's work returns or raises, done side by side with a coordinator, and what that returns."""
    port, found, ready = free_port(), {}, threading.Event()
    said = []

    def say(line):
        said.append(line)
        ready.set()

    def coordinate():
        try:
            found["coordinator"] = asyncio.run(
                average(KEY, shops=len(works), port=port, wait=wait, seconds=60, say=say)
            )
        except FederationError as error:
            found["coordinator"] = error

    def one(name, work):
        try:
            found[name] = work(partial(with_shops, KEY, name=name, host="127.0.0.1", port=port, wait=60))
        except FederationError as error:
            found[name] = error

    threads = [threading.Thread(target=coordinate)]
    threads += [threading.Thread(target=one, args=pair) for pair in zip((*NAMES, "south"), works, strict=False)]
    threads[0].start()
    assert ready.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found, said


def meets(*rounds, policy="ppo", breaks=None):
    """A shop that brings these numbers."""

    def work(shops):
        with shops(policy=policy, sizes=[len(values) for values in rounds]) as mean:
            got = []
            for number, values in enumerate(rounds):
                if number == breaks:
                    raise FederationError("the market broke")
                got.append(mean(np.array(values)).tolist())
        return got

    return work


def test_each_gets_the_mean_and_nobody_another_ones_numbers():
    found, _ = together(*(meets([n, 2.0], [n, n, n + 3.0]) for n in range(3)))
    assert found["east"] == found["north"] == found["west"] == [[1.0, 2.0], [1.0, 1.0, 4.0]]
    assert found["coordinator"].rounds == 2


def test_a_shop_that_breaks_is_left_out_and_the_others_go_on():
    found, said = together(*(meets([n], [n], breaks=1 if n == 3 else None) for n in range(4)))
    assert found["east"] == [[1.5], [1.0]]
    assert list(found["coordinator"].left_out) == ["south"]
    assert "shop 'south' is left out: the training ended early" in "".join(said)


def test_another_kind_of_policy_is_turned_away_and_says_what_the_others_learn():
    found, _ = together(meets([0.0]), meets([1.0]), meets([2.0]), meets([3.0, 4.0], policy="sac"), wait=2)
    refused = [value for value in found.values() if isinstance(value, FederationError)]
    assert len(refused) == 1 or len(refused) == len(found)
    assert "all shops must learn one kind of policy" in str(refused[0])


def test_three_trainings_end_with_the_same_weights():
    seen = {}

    def work(times):
        def train_with(shops):
            last = {}

            def noted(**given):
                joining = shops(**given)

                class Noting:
                    def __enter__(self):
                        mean = joining.__enter__()

                        def note(values):
                            last["given"], last["mean"] = values, mean(values)
                            last["calls"] = last.get("calls", 0) + 1
                            return last["mean"]

                        return note

                    def __exit__(self, *error):
                        return joining.__exit__(*error)

                return Noting()

            spec = load_scenario("stationary-logit")
            spec = spec.with_changes(arrivals={"rate": times * spec.arrivals.rate})
            run = train(spec, steps=4_000, settings=SMALL | {"product_wise": True}, shops=noted)
            seen[times] = last
            return run

        return train_with

    found, _ = together(*map(work, (1, 2, 3)))
    assert {found[name].policy.name for name in NAMES} == {"ppo:0"}
    assert {last["calls"] for last in seen.values()} == {ROUNDS}
    means = [last["mean"] for last in seen.values()]
    np.testing.assert_array_equal(means[0], means[1])
    np.testing.assert_allclose(means[0], np.mean([last["given"] for last in seen.values()], axis=0), atol=1e-6)


def test_what_cannot_be_learned_together_is_refused(tmp_path):
    shops = partial(with_shops, KEY, name="east", host="127.0.0.1", port=1)
    with pytest.raises(ValueError, match="patience must be 0 to learn with other shops; got 3"):
        train("stationary-logit", steps=100, settings={"patience": 3}, shops=shops)
    with pytest.raises(FederationError, match=r"a coordinator must listen at 127\.0\.0\.1:1"):
        train("stationary-logit", steps=100, settings=SMALL, shops=shops)
    train("stationary-logit", steps=100, settings=SMALL, out=tmp_path / "alone")
    with pytest.raises(ValueError, match="holds a run with with_shops None; got True"):
        train("stationary-logit", steps=100, settings=SMALL, out=tmp_path / "alone", shops=shops)
