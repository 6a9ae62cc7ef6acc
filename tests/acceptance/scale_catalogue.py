"""One policy for products that it was never trained on, against best fixed prices and against training on them."""

from __future__ import annotations

import functools
import sys

import numpy as np
import repricer
from repricer.agents import best_fixed
from repricer.scenarios import load_scenario

from .agents_markets import earned
from .checks import check

_SHOP, _STEPS = "catalogue:20:0", 1_000_000
_LEARNED_IN = 31
"""Further assortments that the shared policy learns in, numbered from 1,001."""
_UNSEEN = 500
_ASSORTMENTS = range(4, 4 + _UNSEEN // 20)
"""Of 20 products each; 1 to 3 are those of the check of the agents, those from 1,001 are learned in."""
_TRAINED_ON = 6
"""Assortments, of 120 products, that are also trained on."""


@functools.cache
def _shared() -> repricer.Run:
    others = [f"{_SHOP}:{1001 + i}" for i in range(_LEARNED_IN)]
    return repricer.train(_SHOP, steps=8 * _STEPS, settings={"num_envs": 128}, assortments=others)


@functools.cache
def _earned(assortment: int) -> tuple[float, float]:
    """What the shared policy and the best fixed prices of the assortment earn."""
    spec = load_scenario(f"{_SHOP}:{assortment}")
    policy = _shared().policy_for(spec)
    return float(earned(spec, policy).mean()), float(earned(spec, best_fixed(spec)).mean())


@functools.cache
def _gains() -> np.ndarray:
    """Percent above the best fixed prices, one figure per assortment."""
    pairs = np.array([_earned(assortment) for assortment in _ASSORTMENTS])
    gains = 100 * (pairs[:, 0] / pairs[:, 1] - 1)
    print(f"gains on {_UNSEEN} unseen products: " + " ".join(f"{gain:+.2f}%" for gain in gains), file=sys.stderr)
    return gains


@check("scale", f"shared policy on {_UNSEEN} unseen products: mean gain over their best fixed prices", ">=", 0, "%")
def mean_gain() -> float:
    return float(_gains().mean())


@check("scale", "the same: lower end of its 95% interval over assortments", ">=", 0, "%")
def lower_end() -> float:
    gains = _gains()
    return float(gains.mean() - 1.96 * gains.std(ddof=1) / len(gains) ** 0.5)


@check("scale", "shared policy: share of what training on the products earns", ">=", 97, "%")
def of_training() -> float:
    rng = np.random.default_rng(0)
    shares = []
    for assortment in rng.choice(list(_ASSORTMENTS), _TRAINED_ON, replace=False):
        spec = load_scenario(f"{_SHOP}:{assortment}")
        own = earned(spec, repricer.train(spec, steps=_STEPS).policy).mean()
        shares.append(100 * _earned(int(assortment))[0] / own)
    print("share of training on them: " + " ".join(f"{share:.2f}%" for share in shares), file=sys.stderr)
    return float(np.mean(shares))
