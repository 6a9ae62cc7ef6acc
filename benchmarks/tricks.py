"""Ablation of the training settings: `python -m repricer.benchmarks.tricks`.

One setting of the preset is changed at a time. Shown are the share of the exact optimum (mean and
worst of three seeds) and the largest loss of the same policies in stressed markets that they
believe to be unchanged.
"""

from __future__ import annotations

import time
from typing import Any

from ..agents import train
from ..evaluation import exact_value, solve
from ..pricing import Policy
from ..scenarios import STRESSES, MarketSpec, ScenarioError, load_scenario

SCENARIO, STEPS, SEEDS = "stationary-logit", 100_000, 3
TRICKS: dict[str, dict[str, Any]] = {
    "the preset": {},
    "learning rate constant": {"schedule": "constant"},
    "learning rate by cosine": {"schedule": "cosine"},
    "L2 of 1e-3": {"l2": 1e-3},
    "batches of 64": {"batch_size": 64},
    "batches of 1,920": {"batch_size": 1920},
    "features normalised": {"normalise": True},
    "reward drawn, not expected": {"reward": "drawn"},
    "one draw of what follows": {"next_draws": 0},
    "around the regular price": {"base_price": "regular"},
    "prices within a factor 2": {"price_reach": 2.0},
    "7 variants of the market": {"variants": 7},
    "15 variants of the market": {"variants": 15},
}
"""Changed settings by their name in the table."""


def share(market: MarketSpec, policy: Policy, assumed: MarketSpec) -> float:
    """Share of the optimum of `market`, for a policy that believes in `assumed`."""
    value, optimum = exact_value(market, policy, assumed=assumed), solve(market)
    assert value is not None, "the policy is a function of the view"
    assert optimum is not None, "the instance has one"
    return value / optimum.value


def losses(spec: MarketSpec, policy: Policy) -> dict[str, float]:
    """Loss by applicable stress, as a share of the stressed market's optimum."""
    found = {}
    for stress in STRESSES:
        try:
            market = load_scenario(f"{spec.name}@{stress}")
        except ScenarioError:
            continue
        if solve(market) is not None:
            found[stress] = 1 - share(market, policy, spec)
    return found


def row(trick: str) -> dict[str, Any]:
    """One row of the table."""
    spec, shares, worst, seconds = load_scenario(SCENARIO), [], [], 0.0
    for seed in range(SEEDS):
        started = time.process_time()
        policy = train(spec, steps=STEPS, seed=seed, settings=TRICKS[trick]).policy
        seconds += time.process_time() - started
        shares.append(share(spec, policy, spec))
        worst.append(max(losses(spec, policy).values()))
    return {
        "trick": trick,
        "share": sum(shares) / SEEDS,
        "worst_seed": min(shares),
        "stress_loss": sum(worst) / SEEDS,
        "seconds": seconds / SEEDS,
    }


def main() -> None:
    """Print the table in Markdown."""
    print(f"| {SCENARIO}, {STEPS:,} steps, {SEEDS} seeds | mean share | worst seed | worst loss under stress | CPU s |")
    print("|---|---|---|---|---|")
    for trick in TRICKS:
        line = row(trick)
        print(
            f"| {trick} | {line['share']:.2%} | {line['worst_seed']:.2%} | {line['stress_loss']:.1%} "
            f"| {line['seconds']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
