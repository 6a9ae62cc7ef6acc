"""What starting from data is worth: prints the tables of docs/starting_from_data.md. A few minutes.

python docs/examples/starting_from_data.py
"""

from __future__ import annotations

import numpy as np
from repricer.agents import LOG_ALGORITHMS, best_fixed, learn_from_log, myopic, train
from repricer.envs import rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.pricing import Policy, RandomPrice
from repricer.scenarios import MarketSpec, load_scenario

SEEDS = (0, 1, 2)
STEPS, EPISODES = 10_000, 2048


def main() -> None:
    """Print both tables."""
    scarce = load_scenario("stationary-logit")
    ample = scarce.with_changes(stock={"initial_units": np.array([400.0])})
    print("| share of the optimum, exact | 400 units | 40 units |\n|---|---|---|")
    for name, policy in (("best fixed price", best_fixed), ("myopic path", myopic)):
        print(f"| {name} | {share(ample, policy(ample)):.1%} | {share(scarce, policy(scarce)):.1%} |")
    for algo in LOG_ALGORITHMS:
        cells = [
            " ".join(f"{share(spec, from_log(spec, algo, seed)):.1%}" for seed in SEEDS) for spec in (ample, scarce)
        ]
        print(f"| `{algo}` | {cells[0]} | {cells[1]} |", flush=True)
    print(
        f"\n| {STEPS:,} steps, 40 units | no teacher | best fixed | after imitation | optimum | after imitation |\n"
        + "|---" * 6
        + "|"
    )
    for algo in ("ppo", "a2c", "sac", "td3", "tqc", "dqn", "qr-dqn", "recurrent-ppo"):
        cells = [f"{learned(scarce, algo, None)[1]:.1%}"]
        for teacher in (best_fixed(scarce), solve(scarce).policy):
            first, best = learned(scarce, algo, teacher)
            cells += [f"{best:.1%}", f"{first:.1%}"]
        print(f"| `{algo}` | " + " | ".join(cells) + " |", flush=True)


def share(spec: MarketSpec, policy: Policy) -> float:
    """Of the optimum."""
    return exact_value(spec, policy) / solve(spec).value


def from_log(spec: MarketSpec, algo: str, seed: int) -> Policy:
    """Learned from 256 episodes of random prices."""
    rules = spec.guardrails
    return learn_from_log(spec, algo=algo, log=RandomPrice(rules.low, rules.high, seed=seed), seed=seed).policy


def learned(spec: MarketSpec, algo: str, teacher: Policy | None) -> tuple[float, float]:
    """(first validation, best validation) as shares of what the optimum earns of the same customers."""
    run = train(
        spec, algo=algo, steps=STEPS, settings={"evaluations": 5, "validation_episodes": EPISODES}, teacher=teacher
    )
    best = solve(spec).policy
    optimum = rollout(spec, best, episodes=EPISODES, seed=seed_for("validation"), expected=True).objective.mean()
    return run.history[0]["objective"] / optimum, run.facts["best"]["objective"] / optimum


if __name__ == "__main__":
    main()
