import numpy as np
import pytest
from repricer.agents import ALGORITHMS, best_fixed, settings_for, train
from repricer.agents.algorithms import algorithm, make_model
from repricer.agents.opening import open_at_rule, open_relative
from repricer.envs import Market, make_sb3_env
from repricer.envs.adapters.sb3_env import Shaping
from repricer.evaluation import exact_value, solve
from repricer.pricing import competitor
from repricer.scenarios import load_scenario, spec_from_table

SPEC = load_scenario("stationary-logit")
SHORT = {"num_envs": 8, "clone_episodes": 8, "clone_epochs": 2, "validation_episodes": 64, "evaluations": 1}


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_shaped_rewards_of_an_episode_add_up_to_the_plain_ones_less_the_potential_of_its_start(ending):
    spec = SPEC.with_changes(market={"ending": ending})
    plain, shaped = (make_sb3_env(spec, num_envs=3, seed=1) for _ in range(2))

    def potential(features):
        return features.sum(axis=1)

    gamma = 0.9
    shaped.shaping = Shaping(potential, gamma, 2.0)
    start = potential(plain.reset())
    shaped.reset()
    sums, after = np.zeros((2, 3)), np.zeros(3)
    for t in range(spec.market.horizon_periods):
        _, rewards, _, infos = plain.step(np.zeros((3, 1), np.float32))
        _, other, *_ = shaped.step(np.zeros((3, 1), np.float32))
        sums += gamma**t * np.stack([rewards, other])
    if ending == "truncated":
        after = gamma ** (t + 1) * potential(np.stack([info["terminal_observation"] for info in infos]))
    np.testing.assert_allclose(sums[1], 2 * (sums[0] + after - start), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("algo", [name for name, each in ALGORITHMS.items() if each.off_policy])
def test_off_policy_learning_opens_at_the_best_fixed_price(algo):
    run = train(SPEC, algo=algo, steps=8, settings=SHORT | {"learning_rate": 1e-9})
    price = run.policy.act(Market(SPEC, num_markets=4).view).price
    np.testing.assert_allclose(price, np.tile(best_fixed(SPEC).price, (4, 1)), rtol=0.2)


def test_a_q_network_knows_the_order_of_prices():
    """Exploration steps to prices nearby, and values are a smooth function of the price."""
    settings = settings_for(SPEC, "dqn", SHORT, algorithm("dqn").options)
    venv = make_sb3_env(SPEC, num_envs=8, seed=1, actions="discrete", price_reach=3.0, reward_scale="auto")
    model = make_model(algorithm("dqn"), venv, settings, 0)
    open_relative(model, venv, settings, 0, None)
    rows = venv.reset()
    best, _ = model.predict(rows, deterministic=True)
    model.exploration_rate = 1.0
    steps = np.concatenate([model.predict(rows)[0] - best for _ in range(200)])
    assert 0 < np.abs(steps).mean() < 0.15 * venv.action_space.n
    values = model.q_net(model.policy.obs_to_tensor(rows)[0]).detach().numpy()
    assert np.abs(np.diff(values, n=6, axis=1)).max() < 1e-3 * np.ptp(values)


def test_prices_beyond_the_reach_are_levels_in_the_last_tenth_of_a_side():
    view = make_sb3_env(SPEC, num_envs=1, actions="discrete", price_reach=1.2).learner_view
    (levels,), (base,), steps = view.levels, view.base_price, SPEC.prices.price_ladder.steps
    np.testing.assert_allclose(view.layout.decode(levels[:, None]).price_multiplier * base, steps, rtol=1e-6)
    within = np.abs(np.log(steps / base)) <= np.log(1.2)
    np.testing.assert_array_equal(np.abs(levels) <= 0.9, within)
    assert 0 < within.sum() < 12


@pytest.mark.parametrize("algo", ["ppo", "a2c", "recurrent-ppo"])
def test_a_policy_opens_at_the_rules_price_and_tries_all_others(algo):
    spec = load_scenario("undercutter")
    options = {"base": competitor("undercut:1"), "actions": "discrete", "levels_around": "regular", "num_envs": 4}
    venv = make_sb3_env(spec, seed=1, **options)
    model = make_model(algorithm(algo), venv, settings_for(spec, algo, {"actions": "discrete"}), 0)
    open_at_rule(model.policy, venv.learner_view)
    rows = venv.reset()
    chosen, _ = model.predict(rows, deterministic=True)
    (levels,) = venv.learner_view.levels
    assert (levels[chosen] == 0).all()
    drawn = np.concatenate([model.predict(rows)[0] for _ in range(500)])
    assert (levels[drawn] == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert len(np.unique(drawn)) == len(levels)


def test_learning_goes_on_from_a_rule_that_is_the_base_price():
    """An imitation of the rule tried no other price: all validations were equal."""
    table = {
        "name": "matching-rival",
        "version": 1,
        "market": {"horizon_periods": 20, "objective": "profit"},
        "products": {"names": ["unit"], "regular_price": 10.0, "unit_cost": 2.51},
        "arrivals": {"rate": 12.96},
        "demand": {"quality": 4.84, "price_sensitivity": 0.39},
        "competitors": {
            "names": ["rival"],
            "regular_price": 10.0,
            "quality": 5.5,
            "price_sensitivity": 0.35,
            "rule": "match",
            "floor": 3,
            "ceiling": 30,
        },
        "prices": {"price_ladder": {"start": 3, "stop": 30, "step": 0.5}},
    }
    spec = spec_from_table(table)
    optimum = solve(spec).value
    run = train(spec, steps=40_000, settings={"evaluations": 4, "num_envs": 16, "n_steps": 40, "batch_size": 128})
    rule = competitor(run.facts["settings"]["base_price"])
    assert exact_value(spec, rule) < 0.9 * optimum
    assert exact_value(spec, run.policy) > 0.95 * optimum
