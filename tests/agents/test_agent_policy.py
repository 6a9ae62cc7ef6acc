"""Agents of other libraries in this package's evaluation and export."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import repricer
import torch
from repricer import evaluate, export, load_bundle, load_scenario, policy_from
from repricer.agents.agent_policy import _Function
from repricer.envs import LearnerView, Market, MarketEnv, make_sb3_env
from repricer.serving import Predictor
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

NAME = "three-stocks"
SMALL = {"device": "cpu", "seed": 0}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PPO, {"n_steps": 8, "batch_size": 16}),
        (A2C, {}),
        (SAC, {"buffer_size": 100}),
        (TD3, {"buffer_size": 100}),
        (PPO, {"actions": "discrete"}),
        (DQN, {"actions": "discrete", "buffer_size": 100}),
    ],
)
def test_an_sb3_model_prices_as_its_predict_does(kind, options):
    own = dict(options)
    actions, name = own.pop("actions", "continuous"), "gallego-van-ryzin"
    venv = make_sb3_env(name, num_envs=2, actions=actions, history=2)
    model = kind("MlpPolicy", venv, **SMALL, **own)
    run = policy_from(model)
    assert not isinstance(run.actor.layers, _Function)
    view = LearnerView(Market(name, num_markets=3, seed=5), actions=actions, history=2)
    policy = run.policy
    for _ in range(4):
        price = policy.act(view.market.view).price
        outcome = view.step(model.predict(view.observe(), deterministic=True)[0])
        np.testing.assert_allclose(outcome.list_price, view.market.spec.guardrails.nearest(price), rtol=1e-4)


@pytest.mark.usefixtures("short_search")
def test_a_model_trained_with_gymnasium_and_normalised_observations(tmp_path):
    spec = replace(load_scenario(NAME), name="a-copy")
    venv = VecNormalize(DummyVecEnv([lambda: MarketEnv(spec)]))
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=32, **SMALL).learn(256)
    run = policy_from(model, name="theirs")
    assert run.facts["steps"] == 256
    table = evaluate(spec, [run, "best-fixed"], episodes=20)
    assert {row.policy for row in table.rows} == {"theirs", "best-fixed"}
    view = LearnerView(Market(spec, num_markets=2, seed=1))
    price = run.policy.act(view.market.view).price
    outcome = view.step(model.predict(venv.normalize_obs(view.observe()), deterministic=True)[0])
    np.testing.assert_allclose(outcome.list_price, view.market.spec.guardrails.nearest(price), rtol=1e-4)
    bundle = load_bundle(export(run, tmp_path / "bundle"))
    assert bundle.manifest["policy"] == "theirs"
    assert Predictor(bundle)


def test_a_recurrent_model():
    model = RecurrentPPO("MlpLstmPolicy", make_sb3_env(NAME, num_envs=2), n_steps=8, **SMALL)
    assert policy_from(model).policy.deterministic is False


def test_a_torch_module_and_a_function_are_the_same_policy(tmp_path):
    view = LearnerView(Market(NAME, num_markets=2))
    module = torch.nn.Linear(view.observation_space.shape[0], 3)

    def function(rows):
        with torch.no_grad():
            return module(torch.from_numpy(rows)).numpy()

    network, plain = policy_from(module, NAME, name="module"), policy_from(function, MarketEnv(NAME))
    assert plain.policy.name == "function"
    prices = [run.policy.act(view.market.view).price for run in (network, plain)]
    np.testing.assert_allclose(*prices)
    assert load_bundle(export(network, tmp_path / "bundle")).manifest["policy"] == "module"
    with pytest.raises(ValueError, match="a bundle needs a network; got function, a function"):
        export(plain, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_is_no_policy_is_refused_in_one_line(tmp_path):
    model = PPO("MlpPolicy", make_sb3_env(NAME, num_envs=2), n_steps=8, batch_size=16, **SMALL)
    for call in (
        lambda: evaluate(NAME, [model], episodes=2),
        lambda: repricer.rollout(Market(NAME).spec, model, episodes=2, seed=0),
        lambda: repricer.train(NAME, steps=10, teacher=model),
        lambda: export(model, tmp_path / "bundle"),
    ):
        with pytest.raises(ValueError, match=r"got PPO( and no scenario)?; .*policy_from"):
            call()
    with pytest.raises(ValueError, match="the agent's observation_space must be its market's"):
        policy_from(model, "stationary-logit")
    with pytest.raises(ValueError, match="env must be repricer's; got NoneType"):
        policy_from(lambda rows: rows)
    with pytest.raises(ValueError, match="agent must be an SB3 model, torch module or function; got int"):
        policy_from(3, NAME)
    with pytest.raises(ValueError, match="agent must be an SB3 model, torch module or function; got int"):
        policy_from(3)
    with pytest.raises(ValueError, match=r"agent must take \d+ features; got .*mat1"):
        policy_from(torch.nn.Linear(7, 3), NAME)
    with pytest.raises(ValueError, match="agent must return 3 numbers a row; got shape"):
        policy_from(torch.nn.Linear(LearnerView(Market(NAME)).observation_space.shape[0], 2), NAME)


@pytest.mark.parametrize("wrapped", ["gymnasium", "sb3", "vector"])
def test_a_wrapper_that_keeps_the_space_but_changes_actions_is_refused(wrapped):
    def negated(env):
        return gymnasium.wrappers.TransformAction(env, lambda action: -action, env.action_space)

    if wrapped == "vector":
        env = gymnasium.make_vec("repricer/StationaryLogit-v0", num_envs=2)
        env = gymnasium.wrappers.vector.TransformAction(env, lambda action: -action)
    else:
        env = negated(gymnasium.make("repricer/StationaryLogit-v0"))
    agent = (
        (lambda rows: 0 * rows[:, :1]) if wrapped != "sb3" else PPO("MlpPolicy", env, n_steps=8, batch_size=8, **SMALL)
    )
    with pytest.raises(ValueError, match="env must not change actions or observations; got Transform"):
        policy_from(agent, None if wrapped == "sb3" else env)


def test_a_wrapper_that_only_looks_on_is_none_of_a_runs_business():
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("repricer/StationaryLogit-v0"))
    assert policy_from(lambda rows: 0 * rows[:, :1], env).policy is not None
