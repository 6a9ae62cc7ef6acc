"""What a validation says of a policy is what the policy earns where it is used."""

import pytest
from repricer.agents import train
from repricer.envs import rollout, seed_for
from repricer.scenarios import load_scenario


@pytest.mark.parametrize(
    ("scenario", "algo", "settings"),
    [
        ("scarce", "ppo", {"actions": "discrete"}),
        ("stationary-logit", "ppo", {"history": 3}),
        ("undercutter", "ppo", {}),
        ("price-and-order", "sac", {}),
        ("stationary-logit", "recurrent-ppo", {}),
    ],
)
def test_the_figure_of_a_validation_comes_back_in_a_rollout(scenario, algo, settings):
    short = {"evaluations": 1, "validation_episodes": 16, "clone_epochs": 1, "clone_episodes": 8, "num_envs": 2}
    run = train(load_scenario(scenario), algo=algo, steps=200, settings=short | settings)
    seen = rollout(run.spec, run.policy, episodes=16, seed=seed_for("validation", 0), expected=True)
    assert seen.objective.mean() == pytest.approx(run.facts["best"]["objective"], rel=1e-5)
