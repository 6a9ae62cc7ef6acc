import numpy as np
import pytest
import torch
from repricer.agents import ALGORITHMS, best_fixed, load_run, settings_for, train
from repricer.agents.actor import actor_of, network_policy
from repricer.agents.algorithms import algorithm, make_model
from repricer.agents.cloning import clone, fill
from repricer.agents.logged_data import record_policy, training_view
from repricer.envs import make_sb3_env, rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.pricing import FixedPrice, PricePath
from repricer.scenarios import load_scenario

SPEC = load_scenario("stationary-logit")
SHORT = {"evaluations": 2, "validation_episodes": 128}
QUICK = {"clone_epochs": 8}
"""Enough where prices are met rather than returns learned."""


@pytest.fixture(autouse=True)
def one_thread():
    """As in training: small networks lose by more, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cloned(algo, teacher, spec=SPEC, **values):
    """The model of an algorithm after imitation, and its policy; it has learned nothing by itself."""
    algo = algorithm(algo)
    settings = settings_for(spec, algo.name, values, algo.options)
    venv = make_sb3_env(
        spec,
        num_envs=8,
        reward="expected",
        reward_scale=0.1,
        product_wise=settings.product_wise,
        history=settings.history,
        actions=settings.actions,
    )
    model = make_model(algo, venv, settings, 0)
    clone(model, venv, teacher, settings, 0)
    asked = {"product_wise": settings.product_wise, "history": settings.history, "name": "clone"}
    actor = actor_of(model.policy, venv.learner_view)
    return model, venv, network_policy(actor, venv.learner_view.layout, venv.learner_view.base_price, **asked)


def value(policy) -> float:
    return rollout(SPEC, policy, episodes=512, seed=seed_for("validation"), expected=True).objective.mean()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_imitates_the_optimum_before_it_learns(algo):
    """An untrained policy charges around the regular price, which earns 97.2%; the teacher looks at stock and time."""
    _, _, policy = cloned(algo, solve(SPEC).policy, **{} if "dqn" in algo else QUICK)
    worth = exact_value(SPEC, policy) if algo != "recurrent-ppo" else value(policy)
    against = solve(SPEC).value if algo != "recurrent-ppo" else value(solve(SPEC).policy)
    assert worth > 0.975 * against


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_constant_teacher_is_met(algo):
    _, _, policy = cloned(algo, FixedPrice(14.0), **QUICK)
    assert exact_value(SPEC, policy) == pytest.approx(exact_value(SPEC, FixedPrice(14.0)), rel=5e-3)


def test_discrete_and_windowed_policies_imitate_too():
    path = PricePath(np.linspace(9, 14, 30, dtype=np.float32)[:, None])
    for values in ({"actions": "discrete"}, {"history": 4}):
        _, _, policy = cloned("ppo", path, **QUICK, **values)
        charged = rollout(SPEC, policy, episodes=16, seed=seed_for("validation")).price_path[:, 0]
        assert np.abs(charged - path.path[:, 0]).max() < 0.8, values


@pytest.mark.parametrize("algo", ["ppo", "recurrent-ppo"])
def test_the_value_function_knows_what_the_teacher_earns(algo):
    model, venv, _ = cloned(algo, best_fixed(SPEC))
    opening = torch.from_numpy(venv.reset())
    given = ()
    if algo == "recurrent-ppo":
        notes = torch.zeros(1, 8, 32)
        given = ((notes, notes), torch.ones(8))
    found = model.policy.predict_values(opening, *given).mean().item()
    assert found == pytest.approx(0.1 * exact_value(SPEC, best_fixed(SPEC)), rel=0.1)


@pytest.mark.parametrize("algo", ["sac", "tqc", "dqn"])
def test_the_critic_knows_it_too_and_the_targets_are_its_copies(algo):
    model, venv, _ = cloned(algo, best_fixed(SPEC))
    policy, opening = model.policy, torch.from_numpy(venv.reset())
    if algo == "dqn":
        found = policy.q_net(opening).max(dim=1).values
        pairs = [(policy.q_net, policy.q_net_target)]
    else:
        q = policy.critic(opening, torch.zeros(8, 1))  # the regular price is the best fixed one here
        found, pairs = q[0] if algo == "sac" else q, [(policy.critic, policy.critic_target)]
    assert found.mean().item() == pytest.approx(0.1 * exact_value(SPEC, best_fixed(SPEC)), rel=0.05)
    for own, target in pairs:
        for one, two in zip(own.parameters(), target.parameters(), strict=True):
            assert torch.equal(one, two)


def test_the_replay_buffer_holds_the_teachers_transitions():
    model, venv, _ = cloned("dqn", best_fixed(SPEC), clone_epochs=1)
    buffer = model.replay_buffer
    assert buffer.pos == 64 * 30 // 8
    assert buffer.dones.sum() == 64
    log = record_policy(training_view(venv.learner_view, 16, 5), solve(SPEC).policy)
    fresh = type(buffer)(1000, venv.observation_space, venv.action_space, n_envs=8)
    fill(fresh, log, venv.learner_view)
    np.testing.assert_array_equal(fresh.observations[:30], log.features[:, :8])
    np.testing.assert_array_equal(fresh.next_observations[30:60], log.next_features[:, 8:])
    steps = np.arange(5, 20.5, 0.5)
    charged = 11 * venv.learner_view.layout.decode(log.actions).price_multiplier
    np.testing.assert_allclose(steps[fresh.actions[:30, :, 0]], charged[:, :8], rtol=1e-5)


def test_product_wise_the_teachers_prices_are_met_and_the_rest_is_left_alone(shop):
    teacher = FixedPrice(np.array([3.4, 6.0, 2.2], np.float32))
    _, _, policy = cloned("ppo", teacher, spec=shop, **QUICK)
    met = rollout(shop, policy, episodes=16, seed=seed_for("validation")).price_path.mean(axis=0)
    np.testing.assert_allclose(met, teacher.price, rtol=0.05)


def test_with_a_teacher_less_learning_is_needed():
    for algo in ("ppo", "dqn"):
        taught = train(SPEC, algo=algo, steps=1000, settings=SHORT | QUICK, teacher=solve(SPEC).policy)
        alone = train(SPEC, algo=algo, steps=1000, settings=SHORT | QUICK | {"opening": "base-price"})
        assert taught.history[0]["objective"] > 0.98 * value(solve(SPEC).policy)
        assert taught.facts["best"]["objective"] > alone.facts["best"]["objective"]
        assert taught.history[-1]["objective"] > alone.history[-1]["objective"]
        assert taught.facts["teacher"] == "optimum"


class Stop(Exception):
    """Stands for a kill: raised from inside the training loop."""


@pytest.mark.parametrize("algo", ["ppo", "td3"])
def test_a_resumed_run_with_a_teacher_equals_an_uninterrupted_one(tmp_path, algo):
    asked = {"algo": algo, "steps": 2000, "teacher": best_fixed(SPEC)}
    asked["settings"] = SHORT | {"clone_episodes": 8, "clone_epochs": 2, "num_envs": 8}
    whole = train(SPEC, **asked, out=tmp_path / "whole")
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 5:
            raise Stop

    with pytest.raises(Stop):
        train(SPEC, **asked, out=tmp_path / "cut", progress=interrupt)
    with pytest.raises(ValueError, match="holds a run with teacher 'best-fixed'; got 'certainty-equivalent'"):
        train(SPEC, **asked | {"teacher": None, "settings": load_settings(tmp_path / "cut")}, out=tmp_path / "cut")
    resumed = train(SPEC, **asked, out=tmp_path / "cut")
    for one, two in zip(whole.actor.parameters(), resumed.actor.parameters(), strict=True):
        assert torch.equal(one, two)
    assert load_run(tmp_path / "cut").facts["teacher"] == "best-fixed"


def load_settings(folder) -> dict:
    import json

    return json.loads((folder / "run.json").read_text(encoding="utf-8"))["identity"]["settings"]


def test_a_taught_run_takes_no_random_actions():
    run = train(SPEC, algo="dqn", steps=500, settings=SHORT | {"clone_epochs": 1}, teacher=best_fixed(SPEC))
    assert run.facts["settings"]["learning_starts"] == 0
    assert run.facts["settings"]["exploration_initial_eps"] == 0.1
