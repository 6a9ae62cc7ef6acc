"""What starting from data is worth (docs/training.md): prints a table. A few minutes.

python docs/examples/starting_from_data.py
"""

from __future__ import annotations

from repricer.agents import best_fixed, train
from repricer.envs import rollout, seed_for
from repricer.evaluation import solve
from repricer.pricing import Policy
from repricer.scenarios import MarketSpec, load_scenario

STEPS = 10_000
EPISODES = 2048


def main() -> None:
    """Print the table."""
    scarce = load_scenario("stationary-logit")
    print(
        f"| {STEPS:,} steps, 40 units | no teacher | best fixed | after imitation | optimum | after imitation |\n"
        + "|---" * 6
        + "|"
    )
    for algo in ("ppo", "a2c", "sac", "td3", "tqc", "dqn", "recurrent-ppo"):
        cells = [f"{learned(scarce, algo, None)[1]:.1%}"]
        for teacher in (best_fixed(scarce), solve(scarce).policy):
            first, best = learned(scarce, algo, teacher)
            cells += [f"{best:.1%}", f"{first:.1%}"]
        print(f"| `{algo}` | " + " | ".join(cells) + " |", flush=True)


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
