"""Can an attacker tell whether a customer was among those that figures came from? Shadow attacks on planted canaries.

Run `python -m repricer.benchmarks.membership`. As in LiRA (Carlini et al.
2022), each of many runs takes a random half of the customers and of the canaries, who buy absurdly much of two products;
its twin takes the other canaries instead, under the same noise, so that few runs tell a small advantage from none. The
attacker knows each canary's history and half of the runs, and says for the other half who took part. The advantage is
the share of members found less the share of others accused (Yeom et al. 2018); 0 is guessing, 1 certainty. `epsilon` is
that of a whole fit, of which each release has its share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..fitting.customers import Histories, Statistics, release
from ..privacy.budget import COUNTS, FIGURES, NETWORK, UNITS
from ..privacy.noise import most_advantage, noisy_sums
from ..profiles import Ease
from .customers import markdown
from .privacy import budget, split

Array = NDArray[np.float64]
CANARIES = 15
_ABSURD_UNITS = 500.0
_RUNS = {"statistics": (100, 3000), "recommender": (50, 1000), "network": (20, 240)}
"""Runs without and with privacy: an advantage near 0 takes more of them to tell from 0."""


class Advantage(NamedTuple):
    """The attack's result.

    Attributes:
        mean: share of members found less the share of others accused, over runs that the attacker did not see.
        error: its standard error.
    """

    mean: float
    error: float


class Runs(NamedTuple):
    """What was published of each canary, in runs and in their twins of the same noise.

    Attributes:
        published: (runs, canaries, figures).
        twin: (runs, canaries, figures), with the other canaries.
        member: (runs, canaries) who took part in the runs; in the twins, the others did.
    """

    published: Array
    twin: Array
    member: NDArray[np.bool_]


def advantage(runs: Runs) -> Advantage:
    """A linear attack on what was published, with its direction and threshold from the first half of the runs."""
    half = len(runs.member) // 2
    found = []
    for canary in range(runs.member.shape[1]):
        member = runs.member[:, canary, None]
        inside = np.where(member, runs.published[:, canary], runs.twin[:, canary])
        outside = np.where(member, runs.twin[:, canary], runs.published[:, canary])
        apart = (inside[:half] - outside[:half]).mean(axis=0)
        spread = np.cov(outside[:half], rowvar=False) + 1e-9 * np.eye(len(apart))
        score_in, score_out = (side @ np.linalg.solve(spread, apart) for side in (inside, outside))
        threshold = (score_in[:half].mean() + score_out[:half].mean()) / 2
        found.append((score_in[half:] > threshold) * 1.0 - (score_out[half:] > threshold))
    return Advantage(float(np.mean(found)), float(np.std(found) / np.sqrt(np.size(found))))


@functools.cache
def _shop() -> tuple[Histories, NDArray[np.intp], int]:
    """Histories of customers and, after them, canaries; the segments of all, found once and known to the attacker."""
    one = release(split(), budget(4.0), 0)
    figures = one.histories.figures
    units = one.histories.units
    # Each canary has a pair of products of its own.
    absurd = np.repeat(np.eye(CANARIES, units.shape[1] // 2), 2, axis=1) * _ABSURD_UNITS
    canary = np.tile([1.0, 1e4, 0.9, 2 * _ABSURD_UNITS, -_ABSURD_UNITS], (CANARIES, 1))
    groups = len(one.segments.customers)
    labels = np.append(one.segments.labels, np.arange(CANARIES) % groups)
    histories = one.histories._replace(figures=np.vstack([figures, canary]), units=np.vstack([units, absurd]))
    return histories, labels, groups


def statistics(epsilon: float | None, runs: int) -> Advantage:
    """All that is asked of customers, the counts too, which are not published; `epsilon` None: exact sums."""
    labels = _shop()[1][-CANARIES:]

    def seen(one: Statistics, counts: Array) -> Array:
        return np.hstack([one.figures[labels], one.units[labels], counts])

    return advantage(_customer_runs(epsilon, runs, seen))


def recommender(epsilon: float | None, runs: int) -> Advantage:
    """EASE's weight between a canary's two products, or under `epsilon` their shares of the segment's noisy units."""
    labels = _shop()[1][-CANARIES:]
    pairs = np.arange(2 * CANARIES).reshape(CANARIES, 2)

    def seen(one: Statistics, counts: Array) -> Array:
        units = np.maximum(one.units, 0.0)
        return (units / np.maximum(units.sum(axis=1, keepdims=True), 1.0))[labels[:, None], pairs]

    return advantage(_ease_runs(runs, pairs) if epsilon is None else _customer_runs(epsilon, runs, seen))


def _customer_runs(epsilon: float | None, runs: int, seen: Callable[[Statistics, Array], Array]) -> Runs:
    """What `seen` makes of the sums, and of the counts of the cell that each canary has to itself."""
    histories, labels, groups = _shop()
    own = np.arange(CANARIES)
    published = []
    twins = []
    member, chosen = _halves(len(labels) - CANARIES, runs)
    for run, twin in chosen:
        exact = [_part(histories, some).sums(labels[some], groups) for some in (run, twin)]
        counts = [np.isin(own, some - len(labels) + CANARIES)[:, None].astype(np.float64) for some in (run, twin)]
        if epsilon is not None:
            # What noise adds to the run, it adds to the twin.
            asked = budget(epsilon)
            noisy = _part(histories, run).released(labels[run], groups, asked)
            figures = noisy.figures - exact[0].figures
            units = noisy.units - exact[0].units
            exact = [Statistics(sums.figures + figures, sums.units + units) for sums in exact]
            query = asked.query(COUNTS)
            blank = noisy_sums(np.zeros((1, 1)), np.zeros(1, dtype=int), CANARIES, query.epsilon, query.delta)
            counts = [count + blank for count in counts]
        published.append(seen(exact[0], counts[0]))
        twins.append(seen(exact[1], counts[1]))
    return Runs(np.array(published), np.array(twins), member)


def _part(histories: Histories, chosen: NDArray[np.intp]) -> Histories:
    return histories._replace(figures=histories.figures[chosen], units=histories.units[chosen])


def _ease_runs(runs: int, pairs: NDArray[np.intp]) -> Runs:
    histories, labels, _ = _shop()
    names = np.array([f"p{number:02}" for number in range(histories.units.shape[1])])
    member, chosen = _halves(len(labels) - CANARIES, runs)

    def weights(some: NDArray[np.intp]) -> Array:
        row, column = histories.units[some].nonzero()
        lines = histories.units[some][row, column].astype(int).clip(min=1)
        sales = pd.DataFrame({"customer": np.repeat(some[row], lines), "product": np.repeat(names[column], lines)})
        return Ease().fit(sales).weights_[pairs[:, 0], pairs[:, 1]][:, None].astype(np.float64)

    published, twins = (np.array([weights(two[side]) for two in chosen]) for side in (0, 1))
    return Runs(published, twins, member)


def _halves(customers: int, runs: int) -> tuple[NDArray[np.bool_], list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Which canaries take part in each run, and the rows of the run and of its twin."""
    rng = np.random.default_rng(0)
    member = rng.random((runs, CANARIES)) < 0.5
    others = rng.random((runs, customers)) < 0.5
    both = zip(others, member, strict=True)
    sides = [[np.append(other, one).nonzero()[0] for one in (own, ~own)] for other, own in both]
    return member, [(run, twin) for run, twin in sides]


def network(epsilon: float | None, runs: int) -> Advantage:
    """The forecaster's network: its loss on planted products, whose errors are random and large."""
    import torch

    from ..forecasting.models import lstm_network
    from ..forecasting.models.lstm_private import train_private

    data = _planted(torch.Generator().manual_seed(0))
    products = len(data.target)
    size = {"hidden": 8, "embedding": 2, "dropout": 0.0}
    origins = torch.zeros(data.target.shape[1], 1, dtype=torch.long)
    member = np.random.default_rng(0).random((runs, products)) < 0.5

    def losses(some: NDArray[np.bool_], seed: int) -> Array:
        part = lstm_network.Data(**{name: value[some] for name, value in vars(data).items()})
        if epsilon is None:
            trained = lstm_network.train(part, part.valid, steps=300, seed=seed, size=size)
        else:
            query = budget(epsilon).query(NETWORK)
            spent = {"epsilon": query.epsilon, "delta": query.delta}
            trained = train_private(part, part.valid, **spent, steps=30, seed=seed, size=size).network
        with torch.no_grad():
            return trained.losses(data, torch.arange(products), origins, data.valid).numpy()[:, None]

    with lstm_network.reproducible_torch():
        published, twins = (np.array([losses(member[n] == side, n) for n in range(runs)]) for side in (True, False))
    return advantage(Runs(published, twins, member))


def _planted(generator: Any) -> Any:
    """Products with a random level each, and a covariate that no other product has."""
    import torch

    from ..forecasting.models.lstm_network import Data

    products = 24
    weeks = 12
    ahead = 4
    sign = torch.where(torch.rand(products, 1, generator=generator) < 0.5, -1.0, 1.0)
    own = 3.0 * torch.eye(products)[:, None].expand(-1, weeks, -1)
    return Data(
        past=torch.cat([torch.zeros(products, weeks, 2), own], dim=2),
        x=own,
        centre=torch.zeros(products, weeks, ahead),
        spread=torch.ones(products, weeks, ahead),
        target=3.0 * sign.expand(-1, weeks),
        valid=torch.ones(products, weeks, ahead),
        category=torch.zeros(products, dtype=torch.long),
        weight=torch.ones(products),
    )


def in_theory(name: str, epsilon: float) -> float:
    """The most of each attack for one who knows all others."""
    asked = {"statistics": (COUNTS, FIGURES, UNITS), "recommender": (UNITS,), "network": (NETWORK,)}[name]
    return most_advantage([budget(epsilon).noise(release) for release in asked])


ATTACKS = {"statistics": statistics, "recommender": recommender, "network": network}


@functools.cache
def attacked(name: str, epsilon: float | None) -> Advantage:
    """The advantage of one attack, with its usual number of runs."""
    return ATTACKS[name](epsilon, _RUNS[name][epsilon is not None])


def main() -> None:
    """Print the table."""
    columns = ["attack on", "epsilon", "advantage", "standard error", "at most, in theory"]
    for name in ATTACKS:
        rows = [(name, "none", *attacked(name, None), 1.0), (name, "1", *attacked(name, 1.0), in_theory(name, 1.0))]
        print(markdown(pd.DataFrame(rows, columns=columns)), flush=True)


if __name__ == "__main__":
    main()
