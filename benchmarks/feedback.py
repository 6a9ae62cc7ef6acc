"""What feedback earns beside the best path of prices by period: `repricer bench feedback`.

`python -m repricer.benchmarks.feedback [MARKET ...]` prints the same table in Markdown.

A path may be as good as any search can make it, but it does not look at what happens. Shown are what the best fixed
prices, the shop's plan, the best path, PPO and recurrent PPO earn in an episode, and what could be earned by whoever
knows the posterior draw, or the exact optimum. All meet the same test customers.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..agents import Run, best_fixed, myopic, train
from ..atomic import write_whole
from ..envs import rollout, seed_for
from ..optimum import best_path as exact_path
from ..optimum import certainty_equivalent, solve
from ..pricing import Policy, PricePath
from ..scenarios import MarketSpec
from .customers import markdown
from .feedback_markets import MARKETS, FeedbackMarket
from .price_paths import DRAWS, best_path, money_by_draw

ALGORITHMS = ("ppo", "recurrent-ppo")
SEEDS = 3
EPISODES = 4_000
"""Test episodes, and a multiple of the draws."""
LEAST_GAIN = 0.005
"""Share of what the best path earns that counts as a gain, if it is more than chance."""
_SCALES = np.geomspace(0.5, 1.6, 13)
_INFORMED_EPISODES = 1_000
Array = NDArray[np.float64]


class Gain(NamedTuple):
    """A mean difference, and the half-width of its 95% interval over test customers and training seeds.

    Attributes:
        mean: As a share of what the best path earns.
        half_width: Likewise.
    """

    mean: float
    half_width: float

    @property
    def counts(self) -> bool:
        """Whether it is at least `LEAST_GAIN`, and more than chance."""
        return self.mean >= LEAST_GAIN and self.mean > self.half_width


def gain_over(own: Array, other: Array) -> Gain:
    """What the policies of several trainings earn over another policy, paired.

    Seeds and customers are crossed random effects: the variance of the mean adds that between seeds and that between
    customers, with the degrees of freedom of Satterthwaite (1946), An Approximate Distribution of Estimates of Variance
    Components, Biometrics Bulletin 2(6).

    Args:
        own: (S, C) money by training seed, two or more, and customer set.
        other: (C,) money of the other policy with the same customers.

    Example:
        >>> gain_over(np.array([[11.0, 12.0, 13.0], [11.2, 12.2, 13.2]]), np.array([10.0, 11.0, 12.0])).mean
        0.1
    """
    apart = (own - other) / other.mean()
    of_seeds = apart.mean(axis=1)
    of_customers = apart.mean(axis=0)
    parts = np.array([part.var(ddof=1) / part.size for part in (of_seeds, of_customers)])
    freedom = np.array([of_seeds.size - 1, of_customers.size - 1])
    variance = parts.sum()
    if variance == 0:
        return Gain(float(apart.mean()), 0.0)
    degrees = variance**2 / (parts**2 / freedom).sum()
    return Gain(float(apart.mean()), float(stats.t.ppf(0.975, degrees) * np.sqrt(variance)))


def earned(spec: MarketSpec, policy: Policy) -> Array:
    """(C,) money of an episode by customer set: one set for each posterior draw, or for each episode.

    Args:
        spec: The market.
        policy: Meets the same test customers as every other.
    """
    money = rollout(spec, policy, episodes=EPISODES, seed=seed_for("test"), expected=True).objective
    # Of more draws than a rollout takes, those are a sample, and its unit.
    return money.reshape(DRAWS, -1).mean(axis=1) if spec.num_draws > DRAWS else money


def mean_path(spec: MarketSpec, policy: Policy) -> Array:
    """(T, N) mean price of a policy by period, on the tuning customers."""
    return rollout(spec, policy, episodes=500, seed=seed_for("tuning")).price_path


def row(
    market: FeedbackMarket,
    *,
    seeds: int = SEEDS,
    runs: Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """A row of the table: money by policy, and the gains of both algorithms over the best path.

    Args:
        market: The market.
        seeds: Trainings of each algorithm, two or more.
        runs: Folder that keeps the trainings; an interrupted one goes on there.
        on_step: Called with what is done next.
    """
    on_step("market and best fixed prices")
    spec, plan = market.build()
    on_step("best path")
    path = first_path(spec, plan)
    learned: dict[str, list[Policy]] = {}
    for algo in ALGORITHMS:
        learned[algo] = []
        for seed in range(seeds):
            on_step(f"{algo}, seed {seed}")
            learned[algo].append(trained(market, spec, path, algo, seed, runs).policy)
    on_step("best path near what was learned")
    near = [mean_path(spec, policy) for policy in itertools.chain(*learned.values())]
    path = best_path(spec, [path.path.astype(np.float64), *near], seed=1)
    on_step("evaluation")
    of_path = earned(spec, path)
    money = {
        "fixed": earned(spec, best_fixed(spec)).mean(),
        "plan": None if plan is None else earned(spec, plan).mean(),
        "path": of_path.mean(),
        "informed": informed(spec, path),
    }
    gains = {}
    for algo, policies in learned.items():
        own = np.stack([earned(spec, policy) for policy in policies])
        money[algo] = own.mean()
        gains[algo] = gain_over(own, of_path)._asdict()
    figures = {name: None if value is None else float(value) for name, value in money.items()}
    return {"market": market.name, "fitted": market.fitted, "money": figures, "gains": gains}


def first_path(spec: MarketSpec, plan: Policy | None) -> PricePath:
    """The best path from what needs no learning: fixed, myopic and planned prices, the path of one product with stock that
    is solved exactly, and the mean path of the fluid policy.
    """
    known = (best_fixed(spec), myopic(spec), plan, exact_path(spec), certainty_equivalent(spec))
    return best_path(spec, [mean_path(spec, policy) for policy in known if policy is not None])


def trained(market: FeedbackMarket, spec: MarketSpec, path: PricePath, algo: str, seed: int, runs: Path | None) -> Run:
    """One training, kept in a folder of its own below `runs`."""
    return train(
        spec,
        algo=algo,
        steps=market.steps[algo],
        seed=seed,
        settings=market.settings.get(algo),
        teacher=path if market.from_path else None,
        out=None if runs is None else runs / f"{algo}-{seed}",
    )


def informed(spec: MarketSpec, path: PricePath) -> float | None:
    """What the exact optimum earns, or the best path with each product's prices scaled for each draw, which is then known;
    None where there is neither.
    """
    optimum = solve(spec)
    if optimum is not None:
        return float(earned(spec, optimum.policy).mean())
    if not spec.num_draws:
        return None
    scales = np.array(list(itertools.product([1.0, *_SCALES], repeat=path.path.shape[-1])))
    paths = np.clip(path.path.astype(np.float64) * scales[:, None], spec.guardrails.low, spec.guardrails.high)
    return float(money_by_draw(spec, paths, seed=seed_for("test"), episodes=_INFORMED_EPISODES).max(axis=0).mean())


def table(
    names: Sequence[str] = (), out: Path | None = None, *, on_step: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """The rows of some markets, or of all.

    Args:
        names: Names of markets; none for all.
        out: Folder that keeps each row as a file; a row that is there with the same settings is not made again.
        on_step: Called with what is done next.

    Raises:
        ValueError: There is no such market.
    """
    known = {market.name: market for market in MARKETS}
    for name in names:
        if name not in known:
            raise ValueError(f"market must be one of {', '.join(map(repr, known))}; got {name!r}; choose one")
    return [_kept_row(known[name], out, on_step) for name in names or known]


def _kept_row(market: FeedbackMarket, out: Path | None, on_step: Callable[[str], None]) -> dict[str, Any]:
    def say(step: str) -> None:
        on_step(f"{market.name}: {step}")

    if out is None:
        return row(market, on_step=say)
    folder = out / market.folder
    file = folder / "row.json"
    settings = {key: value for key, value in asdict(market).items() if key != "build"}
    settings |= {"seeds": SEEDS, "episodes": EPISODES}
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["settings"] == settings:
            return kept
    found = row(market, runs=folder, on_step=say) | {"settings": settings}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(found, indent=1))
    return found


def cells(found: dict[str, Any]) -> list[str]:
    """A row of the table as it is printed."""
    money = ["–" if found["money"][name] is None else f"{found['money'][name]:,.1f}" for name in COLUMNS]
    gains = [f"{100 * gain['mean']:+.2f} ± {100 * gain['half_width']:.2f}%" for gain in found["gains"].values()]
    return [found["market"], "yes" if found["fitted"] else "no", *money, *gains]


COLUMNS = ("fixed", "plan", "path", "ppo", "recurrent-ppo", "informed")
"""Policies in the order of the table."""
HEADINGS = ("market", "fitted", *COLUMNS, "ppo over path", "recurrent-ppo over path")
"""Its headings."""


def main() -> None:
    """Print the table in Markdown."""
    rows = table(sys.argv[1:], Path("runs/feedback"), on_step=lambda step: print(step, file=sys.stderr))
    print(markdown(pd.DataFrame([cells(row) for row in rows], columns=pd.Index(HEADINGS))))


if __name__ == "__main__":
    main()
