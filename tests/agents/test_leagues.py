"""Sellers that learn against each other."""

import json

import numpy as np
import pytest
from repricer.agents import league, load_run
from repricer.agents.leagues import Game, best_response, seller_profits
from repricer.envs import ConstantSellerPolicy, Market
from repricer.evaluation import yardstick
from repricer.scenarios import spec_from_table

FAST = {"num_envs": 4, "n_steps": 5, "batch_size": 20, "n_epochs": 2, "net_arch": [8], "validation_episodes": 4}
SMALL = {"rounds": 2, "steps": 40, "settings": FAST}
OFF_POLICY = {
    "num_envs": 4,
    "net_arch": [8],
    "validation_episodes": 2,
    "learning_starts": 8,
    "batch_size": 8,
    "buffer_size": 64,
}


def duopoly(**rival):
    """Two alike sellers, logit demand, six periods; fields of the rival can be changed."""
    sides = {"quality": 8.0, "price_sensitivity": 4.0}
    bounds = {"floor": 1.0, "ceiling": 2.25}
    return spec_from_table(
        {
            "name": "duopoly",
            "version": 1,
            "market": {"horizon_periods": 6, "objective": "profit", "ending": "truncated", "discount_factor": 0.9},
            "products": {"names": ["a"], "regular_price": 1.5, "unit_cost": 1.0},
            "arrivals": {"rate": 1.0},
            "demand": sides,
            "competitors": {"names": ["b"], "regular_price": 1.5, "unit_cost": 1.0} | sides | bounds | rival,
            "prices": bounds,
        }
    )


def weights(result):
    actors = result.actors.values()
    return np.concatenate([p.detach().numpy().reshape(-1) for actor in actors for p in actor.parameters()])


def test_sellers_end_near_competition_and_best_responses_find_little():
    """A game with one equilibrium, 1.4729 at a profit of .2229: PPO must leave the opening price, 1.9, for it."""
    spec = duopoly(regular_price=1.9).with_changes(products={"regular_price": np.array([1.9])})
    marks = yardstick(spec)
    fast = {
        "base_price": "regular",
        "n_steps": 6,
        "num_envs": 32,
        "batch_size": 192,
        "n_epochs": 10,
        "learning_rate": 1e-2,
    }
    result = league(spec, rounds=4, steps=2000, settings=fast)
    np.testing.assert_allclose(list(result.history[-1]["price"].values()), marks.nash_price, atol=0.04)
    assert max(response.gain for response in result.responses.values()) < 0.03 * marks.nash_profit[0]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_same_seed_same_league_and_another_seed_another(algo):
    settings = FAST if algo != "sac" else OFF_POLICY
    one, two, other = (
        league(duopoly(), algo=algo, rounds=1, steps=20, seed=seed, settings=settings) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(weights(one), weights(two))
    assert (one.history, one.responses) == (two.history, two.responses)
    assert not np.array_equal(weights(one), weights(other))


def test_the_folder_is_the_run_folder_of_the_shops_policy_without_a_pickle(tmp_path):
    result = league(duopoly(), **SMALL, out=tmp_path / "run")
    view = Market(duopoly(), num_markets=3).view
    np.testing.assert_array_equal(load_run(tmp_path / "run").policy.act(view).price, result.run.policy.act(view).price)
    kinds = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert kinds <= {".json", ".toml", ".npz", ".safetensors"}
    document = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert document["facts"]["responses"]["own"] == result.responses["own"].to_dict()
    with pytest.raises(
        ValueError, match=r"folder of a league must be new; got .*run, which holds a run; choose another"
    ):
        league(duopoly(), **SMALL, out=tmp_path / "run")


def test_a_best_response_to_constant_prices_is_the_one_that_calculus_gives():
    spec = duopoly()
    game = Game(spec, "expected", np.array([1.5], np.float32), 0, 2)
    zero = ConstantSellerPolicy(np.zeros(1, np.float32))
    answer = best_response(game, "own", {"own": zero, "b": zero}, ConstantSellerPolicy(np.full(1, -0.05, np.float32)))
    prices = np.linspace(1, 2.25, 20_001)
    weight = np.exp(8 - 4 * prices)
    profit = (prices - 1) * weight / (1 + weight + np.exp(8 - 4 * 1.5))
    now = np.interp(1.5, prices, profit)
    assert answer.profit == pytest.approx(now, rel=1e-5)
    assert answer.constant_gain == pytest.approx(profit.max() - now, rel=0.02)
    assert answer.gain == max(answer.constant_gain, answer.learner_gain)


def test_earnings_are_weighted_as_the_scenario_discounts():
    spec = duopoly(rule="learning:0.1")
    sellers, _ = Game(spec, "expected", np.array([1.5], np.float32), 0, 1).sellers("validation")
    by_rule, seen = {seat: sellers.by_rule(seat) for seat in sellers.names}, []
    money = seller_profits(sellers, by_rule, watch=lambda outcome: seen.append(outcome.expected_profit[0, 0]))
    assert len(seen) == 6
    assert np.ptp(seen) > 0
    discount = 0.9 ** np.arange(6)
    assert money["own"][0] == pytest.approx(float(discount @ seen / discount.sum()), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 0}, "rounds must be at least 1; got 0"),
        ({"algo": "dqn"}, "algo must be one of ppo, a2c, .* in a league; got dqn; choose"),
        ({"algo": "recurrent-ppo"}, "in a league; got recurrent-ppo; choose"),
        ({"settings": {"history": 4}}, "history must be 1 in a league; got 4; leave it out"),
        ({"settings": {"reward": "conversion-difference"}}, "reward must be drawn or expected in a league"),
        ({"scenario": "stationary-logit"}, r"need a section \[competitors\]"),
    ],
)
def test_wrong_calls_get_one_line_and_leave_nothing(tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        league(**{"scenario": duopoly(), "rounds": 1, "steps": 20, "out": tmp_path / "run"} | options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
