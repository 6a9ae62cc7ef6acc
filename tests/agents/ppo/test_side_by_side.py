"""Networks side by side: each is held to what it does alone, and to Stable-Baselines3's update."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from repricer import load_scenario, make_sb3_env, train
from repricer.agents.algorithms import algorithm, make_model
from repricer.agents.ppo.side_by_side import each_network, networks_of
from repricer.agents.run import load_run
from repricer.agents.settings import settings_for
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

from .test_fused import EPS

CHOICES: dict[str, Any] = {"actions": "discrete"}
SMALL = {"validation_episodes": 16, "evaluations": 3, "num_envs": 2, "net_arch": [8], "n_steps": 10}
S = 3


def played(scenario: Any, view: dict[str, Any], **overrides: Any) -> Any:
    """A model of three networks that has played one rollout of six markets, of ten periods by default."""
    settings = settings_for(load_scenario(scenario), "ppo", SMALL | {"networks": S, "next_draws": 0} | overrides)
    venv = make_sb3_env(scenario, num_envs=6, seed=3, reward="expected", product_wise=settings.product_wise, **view)
    model: Any = make_model(algorithm("ppo"), venv, settings, seed=0)
    model.policy.optimizer.param_groups[0]["eps"] = EPS
    model.set_logger(Logger(None, []))
    _, callback = model._setup_learn(model.n_steps * venv.num_envs)
    model.collect_rollouts(venv, callback, model.rollout_buffer, model.n_steps)
    return model


def rows_of(index: int, model: Any) -> Any:
    """The rows of one network among those of all markets."""
    of_a_market = model.env.learner_view.rows_per_market
    return np.flatnonzero(np.arange(model.env.num_envs) // of_a_market % S == index)


def alone(index: int, model: Any) -> PPO:
    """SB3's PPO with the weights and the rollout of one network."""
    policy, rows = model.policy.network(index), rows_of(index, model)
    one = copy.copy(model)
    one.__class__ = PPO
    policy.optimizer.param_groups[0]["eps"] = EPS
    one.policy, one.n_envs, one.rollout_buffer_class, one.rollout_buffer_kwargs = policy, len(rows), None, {}
    theirs: Any = model.rollout_buffer.__class__.__mro__[1]
    buffer = theirs(10, model.observation_space, model.action_space, "cpu", n_envs=len(rows))
    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        setattr(buffer, name, getattr(model.rollout_buffer, name)[:, rows].numpy().copy())
    buffer.full, one.rollout_buffer = True, buffer
    return one


@pytest.fixture(
    params=[("bench-10", {}), ("bench-1", {}), ("bench-1", CHOICES)], ids=["rows of products", "prices", "choices"]
)
def model(request: pytest.FixtureRequest) -> Any:
    return played(*request.param)


def test_a_rollout_has_what_each_network_says_alone(model: Any) -> None:
    buffer = model.rollout_buffer
    for index in range(S):
        policy, rows = model.policy.network(index), rows_of(index, model)
        seen, actions = buffer.observations[:, rows].flatten(0, 1), buffer.actions[:, rows].flatten(0, 1)
        taken = actions.long() if model.env.learner_view.levels else actions
        values, log_probs, _ = policy.evaluate_actions(seen, taken)
        torch.testing.assert_close(values.flatten(), buffer.values[:, rows].flatten(), rtol=0, atol=1e-5)
        torch.testing.assert_close(log_probs, buffer.log_probs[:, rows].flatten(), rtol=0, atol=1e-4)


def test_ten_updates_give_each_network_the_weights_of_stable_baselines(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 10 * model.env.num_envs // S
    model.batch_size, model.n_epochs, model.lr_schedule = size // 3, 2, lambda _: 1e-2
    ones = [alone(index, model) for index in range(S)]
    before = [copy.deepcopy(one.policy.state_dict()) for one in ones]
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(size), (10, 2, S, 1)), axis=-1)
    rollouts = [copy.deepcopy(one.rollout_buffer) for one in ones]
    for update in range(10):
        deal(monkeypatch, list(orders[update].reshape(-1, size)))
        model.train()
        for index, one in enumerate(ones):
            one.rollout_buffer = copy.deepcopy(rollouts[index])
            deal(monkeypatch, list(orders[update, :, index]))
            one.train()
    for index, one in enumerate(ones):
        mine = model.policy.network(index).state_dict()
        for name, theirs in one.policy.state_dict().items():
            torch.testing.assert_close(mine[name], theirs, rtol=0, atol=1e-6)
            assert (mine[name] - before[index][name]).abs().max() > 1e-5


def deal(monkeypatch: pytest.MonkeyPatch, orders: list[Any]) -> None:
    """Let the next random orders be these."""
    monkeypatch.setattr(np.random, "permutation", lambda size: orders.pop(0))


def test_networks_taken_out_and_put_back_are_the_same() -> None:
    model = played("bench-10", {})
    before = copy.deepcopy(model.policy.state_dict())
    for index, one in enumerate(each_network(model)):
        assert one.policy is not model.policy
        with torch.no_grad():
            one.policy.log_std.add_(index)
    after = model.policy.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"weights.policy/log_std"}
    moved = after["weights.policy/log_std"] - before["weights.policy/log_std"]
    torch.testing.assert_close(moved[:, 0], torch.arange(S, dtype=torch.float32))
    assert len(networks_of(model.policy)) == S
    one = model.policy.network(0)
    assert networks_of(one) == [one]


def test_the_first_network_opens_as_a_run_with_one() -> None:
    one, many = (train("bench-1", steps=240, settings=SMALL | {"networks": n}) for n in (1, S))
    first = {key: one.history[0][key] for key in ("steps", "best_fixed")}
    assert first == {key: many.history[0][key] for key in first}
    assert many.history[0]["worst_objective"] <= one.history[0]["objective"] <= many.history[0]["objective"]


@pytest.fixture(scope="module")
def shop() -> Any:
    """A shop of this file's own, so that its best fixed prices may be those of a short search."""
    return replace(load_scenario("bench-10"), name="a-copy")


@pytest.mark.usefixtures("short_search")
def test_the_best_network_of_a_run_is_kept_and_loaded(tmp_path: Path, shop: Any) -> None:
    run = train(shop, steps=3_000, settings=SMALL | {"networks": S}, out=tmp_path)
    row = max(run.history, key=lambda row: row["objective"])
    assert run.facts["best"] == row
    alone = train(shop, steps=3_000, settings=SMALL)
    assert run.facts["weights"] == alone.facts["weights"]
    assert row["worst_objective"] < row["mean_objective"] < row["objective"]
    assert {int(each["network"]) for each in run.history} <= set(range(S))
    again = load_run(tmp_path)
    for mine, other in zip(run.actor.parameters(), again.actor.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.usefixtures("short_search")
def test_an_interrupted_run_goes_on_exactly(tmp_path: Path, shop: Any) -> None:
    class Killed(Exception):
        """Ends the training in its middle."""

    def kill(done: int, of: int, figures: dict[str, float]) -> None:
        if done > of // 2:
            raise Killed

    arguments: Any = {"steps": 3_000, "settings": SMALL | {"networks": S}}
    with pytest.raises(Killed):
        train(shop, out=tmp_path, progress=kill, **arguments)
    resumed, whole = train(shop, out=tmp_path, **arguments), train(shop, **arguments)
    assert [row["objective"] for row in resumed.history] == [row["objective"] for row in whole.history]


def test_what_follows_a_cut_episode_is_valued_by_the_market_s_own_network() -> None:
    spec = load_scenario("bench-1").with_changes(market={"ending": "truncated"})
    model = played(spec, {}, gamma=0.5, n_steps=60)
    buffer, again = model.rollout_buffer, make_sb3_env(spec, num_envs=6, seed=3, reward="expected")
    again.seed(0)  # that of the model
    again.reset()
    for period in range(60):
        _, rewards, dones, infos = again.step(buffer.actions[period].numpy().clip(-1, 1))
        assert dones.tolist() == [period == 51] * 6
        for row, info in enumerate(infos):
            wanted = rewards[row]
            if dones[row]:
                last = torch.from_numpy(info["terminal_observation"])[None]
                wanted = wanted + 0.5 * model.policy.network(row % S).predict_values(last).item()
            assert buffer.rewards[period, row].item() == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize(
    ("algo", "settings", "said"),
    [
        ("sac", {}, "networks must be 1 with sac; got 2; leave it out, or use ppo"),
        ("ppo", {"dropout": 0.1}, "networks above 1 needs network mlp, dropout 0 and no target_kl; got networks 2"),
        ("ppo", {"target_kl": 0.1}, "and target_kl 0.1; change one"),
        ("ppo", {"networks": 0}, "networks must be at least 1; got 0"),
    ],
)
def test_what_networks_side_by_side_cannot_do_is_refused(algo: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        train("bench-1", algo=algo, steps=10, settings={"networks": 2} | settings)
