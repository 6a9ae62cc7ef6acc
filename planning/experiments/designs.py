"""Which stores charge which prices when: randomised by store and week, balanced by what the stores sold before.

- `stores`: a store keeps its arm for the whole experiment.
- `switchback`: each store changes between the arms; of every two blocks it has one in each.
- `both`: the same, and half of the stores are in each arm in every block.

Stores are paired by their past sales, and of a pair one is drawn into the test arm. Of several such draws the one whose
arms were most alike in the past is taken (Morgan and Rubin 2012, Rerandomization to improve covariate balance in
experiments, Annals of Statistics 40(2)); whoever redraws assignments, to know what chance does, takes them in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

DESIGNS = ("stores", "switchback", "both")
DAYS = 7
_BALANCE_TRIES = 8


@dataclass(frozen=True)
class Design:
    """How the arms of an experiment are drawn.

    Attributes:
        kind: One of `DESIGNS`.
        blocks: B, number of blocks.
        block_weeks: Weeks of a block.
        washout_days: First days after a change of arm, in which the effect of the former price lasts; they are not read.
        past: (S, X) what the stores should be alike in, such as the logarithm of their sales and its trend.

    Raises:
        ValueError: The kind is unknown, stores or blocks are too few, or nothing is left of a block after the washout.

    Example:
        >>> design = Design("both", blocks=2, block_weeks=2, washout_days=7, past=np.arange(6.0)[:, None])
        >>> arms = design.draw(np.random.default_rng(0), groups=1)[0]
        >>> arms.sum(axis=0).tolist(), arms.sum(axis=1).tolist()
        ([3, 3], [1, 1, 1, 1, 1, 1])
    """

    kind: str
    blocks: int
    block_weeks: int
    washout_days: int
    past: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.kind not in DESIGNS:
            raise ValueError(f"design must be one of {', '.join(DESIGNS)}; got '{self.kind}'; choose one of them")
        least = {"stores": (4, 1), "switchback": (1, 2), "both": (2, 2)}[self.kind]
        for name, got, need in zip(("stores", "blocks"), (len(self.past), self.blocks), least, strict=True):
            if got < need:
                fix = "take switchback" if name == "stores" else "run it longer, or take shorter blocks"
                raise ValueError(f"design {self.kind} needs {need} {name} or more; got {got}; {fix}")
        if self.washout_days >= DAYS * self.block_weeks:
            must = f"a block must be longer than the washout of {self.washout_days} days"
            raise ValueError(f"{must}; got {self.block_weeks} weeks; take longer blocks")

    @property
    def days(self) -> int:
        """T, days of the experiment."""
        return self.blocks * self.block_weeks * DAYS

    def draw(self, random: Generator, groups: int) -> NDArray[np.int8]:
        """(G, S, B) arms, 1 for the test price: each group drawn apart.

        Args:
            random: Source of the draws.
            groups: G, groups of products whose prices are varied apart.
        """
        if self.kind == "stores":
            return np.repeat(self._balanced(random, groups)[..., None], self.blocks, axis=-1)
        return self._switching(random, groups)

    def _balanced(self, random: Generator, groups: int) -> NDArray[np.int8]:
        """(G, S) of several draws for each group, the one whose arms were most alike."""
        tries = self._halves(random, (groups, _BALANCE_TRIES))
        spread = np.maximum(self.past.std(axis=0), 1e-12)
        apart = np.abs((tries - tries.mean(axis=-1, keepdims=True)) @ (self.past / spread)).sum(axis=-1)
        return tries[np.arange(groups), apart.argmin(axis=1)]

    def _switching(self, random: Generator, groups: int) -> NDArray[np.int8]:
        """(G, S, B) of every two blocks one in each arm."""
        shape = (groups, -(-self.blocks // 2))
        if self.kind == "both":
            firsts = self._halves(random, shape)
        else:
            firsts = np.reshape([self._coins(random) for _ in range(np.prod(shape))], (*shape, len(self.past)))
        arms = np.stack([firsts, 1 - firsts], axis=2).reshape(groups, -1, len(self.past))
        return arms[:, : self.blocks].swapaxes(1, 2).astype(np.int8)

    def _halves(self, random: Generator, times: tuple[int, ...]) -> NDArray[np.int8]:
        """(…, S) one of each pair of stores in the test arm, the pairs by the first column of the past."""
        order = np.argsort(self.past[:, 0], kind="stable")
        coins = random.integers(0, 2, (*times, -(-len(order) // 2)))
        arms = np.empty((*times, len(order)), dtype=np.int8)
        arms[..., order] = np.stack([coins, 1 - coins], axis=-1).reshape(*times, -1)[..., : len(order)]
        return arms

    def _coins(self, random: Generator) -> NDArray[np.int8]:
        """(S,) arms drawn apart, of which both occur where there are two stores."""
        while True:
            arms = random.integers(0, 2, len(self.past)).astype(np.int8)
            if len(arms) == 1 or 0 < arms.sum() < len(arms):
                return arms

    def by_day(self, arms: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(…, S, T) arm of each day, and whether the day is read: it is not in the washout after a change of price.

        Before the experiment, all stores are in the control arm.

        Args:
            arms: (…, S, B) arms by block.
        """
        before = np.concatenate([np.zeros_like(arms[..., :1]), arms[..., :-1]], axis=-1)
        length = self.block_weeks * DAYS
        fresh = np.repeat(arms != before, length, axis=-1)
        early = np.tile(np.arange(length) < self.washout_days, self.blocks)
        return np.repeat(arms, length, axis=-1).astype(np.float64), ~(fresh & early)
