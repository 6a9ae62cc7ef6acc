"""Can an attacker tell whether a customer was among those that figures came from? Shadow attacks on planted canaries.

Run `python -m repricer.benchmarks.membership [statistics|recommender|forecaster] [--epsilon E]`. As in LiRA (Carlini et al.
2022), each of many runs takes a random half of the customers and of the canaries, who buy absurdly much of two products.
The attacker knows each canary's history and half of the runs, and says for the other half who took part. The advantage
is the share of members found less the share of others accused (Yeom et al. 2018); 0 is guessing, 1 certainty.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from ..fitting.private_customers import Histories, release
from ..profiles import Ease
from ..profiles.noise import noise_of_sums
from .customers import markdown
from .privacy import budget, split

Array = NDArray[np.float64]
CANARIES = 8
_ABSURD_UNITS = 500.0
_RUNS = {"statistics": (400, 4000), "recommender": (200, 4000), "forecaster": (40, 300)}
"""Runs without and with privacy: an advantage near 0 takes more of them to tell from 0."""


class Advantage(NamedTuple):
    """The attack's result.

    Attributes:
        mean: share of members found less the share of others accused, over runs that the attacker did not see.
        error: its standard error.
    """

    mean: float
    error: float


def advantage(published: Array, member: NDArray[np.bool_], shift: Array | None = None) -> Advantage:
    """A linear attack on what was published, with its threshold from the first half of the runs.

    Args:
        published: (runs, canaries, figures) what the attacker looks at for each canary.
        member: (runs, canaries) who took part.
        shift: (canaries, figures) what a canary adds to the figures; by default it is estimated.
    """
    half, hits = len(published) // 2, []
    for canary in range(member.shape[1]):
        seen, inside = published[:half, canary], member[:half, canary]
        apart = seen[inside].mean(axis=0) - seen[~inside].mean(axis=0) if shift is None else shift[canary]
        spread = np.cov(seen - inside[:, None] * apart, rowvar=False) + 1e-9 * np.eye(seen.shape[1])
        score = published[:, canary] @ np.linalg.solve(spread, apart)
        threshold = (score[:half][inside].mean() + score[:half][~inside].mean()) / 2
        hits.append(np.where(member[half:, canary], 1, -1) * np.where(score[half:] > threshold, 1.0, -1.0))
    return Advantage(float(np.mean(hits)), float(np.std(hits) / np.sqrt(np.size(hits))))


@functools.cache
def _shop() -> tuple[Histories, NDArray[np.intp], int]:
    """Histories of customers and, after them, canaries; the segments of all, found once and known to the attacker."""
    one = release(split(), budget(4.0), 0)
    figures, units = one.histories.figures, one.histories.units
    # Each canary has a pair of products of its own.
    absurd = np.repeat(np.eye(CANARIES, units.shape[1] // 2), 2, axis=1) * _ABSURD_UNITS
    canary = np.tile([1.0, 1e4, 0.9, 2 * _ABSURD_UNITS, -_ABSURD_UNITS], (CANARIES, 1))
    groups = len(one.segments.customers)
    labels = np.append(one.segments.labels, np.arange(CANARIES) % groups)
    histories = one.histories._replace(figures=np.vstack([figures, canary]), units=np.vstack([units, absurd]))
    return histories, labels, groups


def statistics(epsilon: float | None, runs: int) -> Advantage:
    """The sums of the segments, of which all figures of the market are made; `epsilon` None: exact."""
    histories, labels, groups = _shop()
    customers = len(labels) - CANARIES

    def publish(chosen: NDArray[np.intp]) -> Array:
        part = histories._replace(figures=histories.figures[chosen], units=histories.units[chosen])
        if epsilon is None:
            member = np.eye(groups)[labels[chosen]].T
            return np.hstack([member @ part.figures, member @ part.units])
        return np.hstack(part.released(labels[chosen], groups, budget(epsilon)))

    published, member = _runs(publish, customers, runs)
    return advantage(_own_segment(published, labels), member, _shift(histories, epsilon))


def _shift(histories: Histories, epsilon: float | None) -> Array:
    """(canaries, figures) what each canary adds to the figures of its segment."""
    alone = np.arange(CANARIES)
    last = histories._replace(figures=histories.figures[-CANARIES:], units=histories.units[-CANARIES:])
    return np.hstack([last.figures, last.units]) if epsilon is None else np.hstack(last.sums(alone, CANARIES))


def recommender(epsilon: float | None, runs: int) -> Advantage:
    """EASE's weight between a canary's two products, or under `epsilon` their shares of the segment's noisy units."""
    histories, labels, groups = _shop()
    customers, pairs = len(labels) - CANARIES, np.arange(2 * CANARIES).reshape(CANARIES, 2)
    names = np.array([f"p{number:02}" for number in range(histories.units.shape[1])])

    def publish(chosen: NDArray[np.intp]) -> Array:
        if epsilon is not None:
            part = histories._replace(figures=histories.figures[chosen], units=histories.units[chosen])
            units = np.maximum(part.released(labels[chosen], groups, budget(epsilon)).units, 0.0)
            share = units / np.maximum(units.sum(axis=1, keepdims=True), 1.0)
            return share[labels[-CANARIES:, None], pairs]
        row, column = histories.units[chosen].nonzero()
        lines = histories.units[chosen][row, column].astype(int).clip(min=1)
        sales = pd.DataFrame({"customer": np.repeat(chosen[row], lines), "product": np.repeat(names[column], lines)})
        return Ease().fit(sales).weights_[pairs[:, 0], pairs[:, 1]][:, None].astype(np.float64)

    return advantage(*_runs(publish, customers, runs))


def forecaster(epsilon: float | None, runs: int) -> Advantage:
    """The network of the forecaster: its loss on planted products, whose errors are random and large."""
    import torch

    from ..forecasting.models import lstm_network
    from ..forecasting.models.lstm_private import train_private

    data = _planted(torch.Generator().manual_seed(0))
    products, size = len(data.target), {"hidden": 8, "embedding": 2, "dropout": 0.0}
    origins, losses = torch.zeros(data.target.shape[1], 1, dtype=torch.long), []
    rng = np.random.default_rng(0)
    member = rng.random((runs, products)) < 0.5
    with lstm_network.reproducible_torch():
        for run in range(runs):
            part = lstm_network.Data(**{name: value[member[run]] for name, value in vars(data).items()})
            if epsilon is None:
                network = lstm_network.train(part, part.valid, steps=300, seed=run, size=size)
            else:
                network = train_private(part, part.valid, epsilon=epsilon, steps=30, seed=run, size=size).network
            with torch.no_grad():
                losses.append(network.losses(data, torch.arange(products), origins, data.valid).numpy())
    return advantage(np.array(losses)[..., None], member)


def _planted(generator: Any) -> Any:
    """Products with a random level each, and a covariate that no other product has."""
    import torch

    from ..forecasting.models.lstm_network import Data

    products, weeks, ahead = 24, 12, 4
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


def _runs(publish: Callable[[NDArray[np.intp]], Array], customers: int, runs: int) -> tuple[Array, NDArray[np.bool_]]:
    """What was published in each run, (runs, K, figures), and which canaries took part."""
    rng = np.random.default_rng(0)
    member = rng.random((runs, CANARIES)) < 0.5
    others = rng.random((runs, customers)) < 0.5
    chosen = [np.append(other, canary).nonzero()[0] for other, canary in zip(others, member, strict=True)]
    return np.array([publish(one) for one in chosen]), member


def _own_segment(published: Array, labels: NDArray[np.intp]) -> Array:
    """(runs, canaries, figures) of each canary's own segment."""
    return published[:, labels[-CANARIES:]]


def known_others(epsilon: float) -> float:
    """The advantage over the statistics, in theory, of one who knows all other customers' histories."""
    scale = [noise_of_sums(query.epsilon, query.delta) for query in budget(epsilon).queries()[-2:]]
    return float(2 * norm.cdf(np.sqrt(sum(s**-2 for s in scale)) / 2) - 1)


ATTACKS: dict[str, Callable[[float | None, int], Advantage]] = {
    "statistics": statistics,
    "recommender": recommender,
    "forecaster": forecaster,
}


@functools.cache
def attacked(name: str, epsilon: float | None) -> Advantage:
    """The advantage of one attack, with its usual number of runs."""
    return ATTACKS[name](epsilon, _RUNS[name][epsilon is not None])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", default=[])
    parser.add_argument("--epsilon", type=float, default=1.0)
    given = parser.parse_args()
    for name in given.attacks or ATTACKS:
        rows = [(name, str(epsilon), *attacked(name, epsilon)) for epsilon in (None, given.epsilon)]
        print(markdown(pd.DataFrame(rows, columns=["attack on", "epsilon", "advantage", "standard error"])), flush=True)
    print(f"one who knows all others, over the statistics, in theory: {known_others(given.epsilon):.3f}")


if __name__ == "__main__":
    main()
