"""Fingerprints of the numbers that a rewrite must not change.

Run `python -m repricer.benchmarks.fingerprints` before and after it. Every registered scenario runs
for 60 periods under random raw actions, two short training runs give their weights, and a bundle
(`--bundle FOLDER`) answers its example state. Equal hashes mean bit-identical numbers, on the same
machine and the same versions of the libraries.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import load_bundle, load_scenario, train
from ..atomic import write_whole
from ..envs import Market
from ..scenarios import MarketSpec, registered
from ..serving import Predictor, example_state

STEPS, MARKETS = 60, 16
SAMPLED = ("catalogue:7:3", "catalogue:20:0")


class Fingerprint:
    """A hash of arrays: their names, shapes, types and bits."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, value: Any) -> None:
        """Add an array under a name."""
        array = np.ascontiguousarray(value)
        self._hash.update(f"{name} {array.shape} {array.dtype}".encode() + array.tobytes())

    @property
    def text(self) -> str:
        """The first 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]


def readable(outcome: Any) -> dict[str, np.ndarray]:
    """The public arrays of an outcome, by name."""
    assert is_dataclass(outcome)
    names = sorted(name for name in dir(type(outcome)) if not name.startswith("_") and name.islower())
    values = {name: getattr(outcome, name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def market_bits(spec: MarketSpec) -> dict[str, str]:
    """Hashes of the states, outcomes, expected money and observations of all periods."""
    prints = {part: Fingerprint() for part in ("state", "outcome", "expected_money", "observation")}
    market = Market(spec, num_markets=MARKETS, seed=7)
    layout = spec.action_layout(None)
    base = market.catalogue.regular_price.astype(np.float32)
    rng = np.random.default_rng(11)
    for _ in range(STEPS):
        raw = rng.uniform(-1.2, 1.2, (MARKETS, base.size * layout.size)).astype(np.float32)
        prints["observation"].add("features", market.features())
        outcome = market.step_raw(raw, layout, base, credit_price=base)
        prints["expected_money"].add("expected_money", outcome.expected_money)
        for name, value in readable(outcome).items():
            prints["outcome"].add(name, value)
        for name, value in market.state.arrays().items():
            prints["state"].add(name, value)
        if market.done.any():
            market.restart(market.done)
    return {part: each.text for part, each in prints.items()}


def policy_bits(name: str) -> str:
    """A hash of the weights after a short training run with a fixed seed."""
    weights = Fingerprint()
    run = train(load_scenario(name), algo="ppo", steps=8_192, seed=3)
    for key, value in sorted(run.actor.state_dict().items()):
        weights.add(key, value.detach().cpu().numpy())
    return weights.text


def bundle_bits(folder: Path) -> str:
    """A hash of a bundle's answer to its example state."""
    bundle = load_bundle(folder)
    answer = Predictor(bundle).price(example_state(bundle.catalogue))
    prices = answer.to_dict()["prices"]
    return hashlib.sha256(json.dumps(prices).encode()).hexdigest()[:16]


def main() -> None:
    """Print the fingerprints as JSON, or write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file to write; printed by default")
    parser.add_argument("--bundle", type=Path, help="folder of an exported bundle")
    options = parser.parse_args()
    facts: dict[str, Any] = {name: market_bits(load_scenario(name)) for name in (*sorted(registered()), *SAMPLED)}
    facts["policy of stationary-logit"] = policy_bits("stationary-logit")
    facts["policy of bench-10"] = policy_bits("bench-10")
    if options.bundle:
        facts["answers of the bundle"] = bundle_bits(options.bundle)
    text = json.dumps(facts, indent=1)
    if options.out:
        write_whole(options.out, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
