import numpy as np
import pytest
import torch
from repricer.agents import best_fixed, learn_from_log, load_run, myopic, train
from repricer.agents.logged_data import record_policy
from repricer.envs import LearnerView, Market, expected_units, rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.pricing import FixedPrice, RandomPrice
from repricer.scenarios import load_scenario
from repricer.serving import export, load_bundle

SCARCE = load_scenario("stationary-logit")
AMPLE = SCARCE.with_changes(stock={"initial_units": np.array([400.0])})
TRIES = RandomPrice(SCARCE.guardrails.low, SCARCE.guardrails.high)
SHORT = {"validation_episodes": 64, "clone_episodes": 64, "clone_epochs": 15}


@pytest.fixture(scope="module")
def deep():
    return learn_from_log(AMPLE, algo="deep-pricing", log=TRIES, settings=SHORT)


def test_with_ample_stock_one_step_ahead_is_far_enough(deep):
    """The greedy price is the optimum there, and a log of random prices is enough to find it."""
    assert exact_value(AMPLE, deep.policy) > 0.985 * solve(AMPLE).value
    charged = rollout(AMPLE, deep.policy, episodes=8, seed=seed_for("validation")).price_path
    assert np.abs(charged - myopic(AMPLE).path).max() <= 0.5, "a step of the ladder at most"


def test_with_scarce_stock_it_is_myopic():
    """It sells out early at about the myopic price, and earns less than one good price that never changes."""
    run = learn_from_log(SCARCE, algo="deep-pricing", log=TRIES, settings=SHORT)
    assert run.policy.act(Market(SCARCE).view).price[0, 0] == pytest.approx(myopic(SCARCE).path[0, 0], rel=0.08)
    greedy, fixed = exact_value(SCARCE, run.policy), exact_value(SCARCE, best_fixed(SCARCE))
    assert greedy < 0.85 * fixed


def test_the_demand_network_comes_near_the_truths_likelihood(deep):
    log = record_policy(LearnerView(Market(AMPLE, num_markets=64, seed=seed_for("training"))), TRIES)
    price = 11.0 * deep.layout.decode(log.actions).price_multiplier[:, -12:]
    mean = expected_units(AMPLE, 0, price.reshape(-1, 1)).sum(axis=1)
    units = torch.from_numpy(log.units[:, -12:].reshape(-1, 1)).double()
    truth = torch.distributions.Poisson(torch.from_numpy(mean)).log_prob(units).mean().item()
    figures = deep.facts["log_figures"]
    assert figures["rows"] == 30 * 64
    assert truth - 0.04 < figures["held_out_log_likelihood"] < truth + 0.02
    assert figures["held_out_log_likelihood"] > figures["held_out_log_likelihood_of_means"] + 0.3


@pytest.mark.parametrize(
    ("algo", "values"),
    [
        ("deep-pricing", {}),
        ("deep-pricing", {"history": 3, "network": "rnn", "rnn_size": 8}),
        ("td3-bc", {"clone_epochs": 5}),
    ],
)
def test_product_wise_a_log_of_random_prices_is_bettered(shop, algo, values):
    tries = RandomPrice(shop.guardrails.low, shop.guardrails.high)
    run = learn_from_log(shop, algo=algo, log=tries, settings=SHORT | {"clone_episodes": 32} | values)
    assert run.product_wise
    judged = {"episodes": 64, "seed": seed_for("validation"), "expected": True}
    ahead = rollout(shop, run.policy, **judged).objective - rollout(shop, tries, **judged).objective
    assert ahead.mean() > 3 * ahead.std() / 8


def test_the_shops_own_record_is_enough_to_learn_from(make_shop):
    generator = np.random.default_rng(0)
    regular = np.array([4.0, 5.0, 3.0])
    price = regular * generator.choice([0.8, 0.9, 1.0], (8, 3))
    shop = make_shop(history={"price": price.tolist(), "units": generator.poisson(20 * regular / price).tolist()})
    run = learn_from_log(shop, algo="deep-pricing", settings=SHORT)
    assert run.facts["log"] == "history"
    assert run.facts["log_figures"]["rows"] == 8 * 3
    charged = rollout(shop, run.policy, episodes=8, seed=seed_for("validation")).price_path
    assert (charged > 0.75 * regular).all(), "prices stay where the shop has been"
    assert (charged < 1.05 * regular).all()


@pytest.mark.parametrize(("algo", "epochs"), [("td3-bc", 35), ("cql", 25)])
def test_offline_learning_looks_further_than_a_period(algo, epochs):
    """From the same random log, it must save scarce stock where deep pricing sells out."""
    run = learn_from_log(SCARCE, algo=algo, log=TRIES, settings=SHORT | {"clone_episodes": 128, "clone_epochs": epochs})
    assert exact_value(SCARCE, run.policy) > 0.9 * solve(SCARCE).value  # the myopic path earns 73.5%


@pytest.mark.parametrize("algo", ["deep-pricing", "td3-bc", "cql"])
def test_a_run_folder_gives_the_policy_back_and_the_same_seed_the_same(tmp_path, algo):
    quick = SHORT | {"clone_epochs": 1}
    one = learn_from_log(AMPLE, algo=algo, log=TRIES, settings=quick, out=tmp_path / "run")
    two = learn_from_log(AMPLE, algo=algo, log=TRIES, settings=quick)
    for run in (
        two,
        load_run(tmp_path / "run"),
        learn_from_log(AMPLE, algo=algo, log=TRIES, settings=quick, out=tmp_path / "run"),
    ):
        for own, other in zip(one.actor.parameters(), run.actor.parameters(), strict=True):
            assert torch.equal(own, other)
        assert run.policy.name == f"{algo}:0"
    with pytest.raises(ValueError, match="holds a run with log 'random'; got 'fixed'"):
        learn_from_log(AMPLE, algo=algo, log=FixedPrice(9.0), settings=quick, out=tmp_path / "run")


def test_it_is_exported_as_any_policy(deep, tmp_path):
    bundle = load_bundle(export(deep, tmp_path / "bundle"))
    view = Market(AMPLE, num_markets=3).view
    np.testing.assert_allclose(bundle.policy.act(view).price, deep.policy.act(view).price, rtol=1e-5)


def test_it_is_a_teacher_of_learning_in_the_market(deep):
    run = train(AMPLE, steps=500, settings={"evaluations": 1, "validation_episodes": 64}, teacher=deep.policy)
    assert run.facts["teacher"] == "deep-pricing:0"
    assert run.history[0]["objective"] > 0.98 * deep.facts["best"]["objective"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"algo": "ppo"}, "algo must be one of deep-pricing, td3-bc, cql; got 'ppo'"),
        (
            {"log": FixedPrice(9.0)},
            "must vary by 2% or more to identify their effect on demand; got 0.0% in the log of fixed",
        ),
        ({"log": None}, "needs a scenario with past sales"),
        ({"settings": {"gama": 1}}, "gama is not a training setting here"),
        ({"settings": {"actions": "discrete"}}, "td3 needs continuous actions; got actions 'discrete'"),
    ],
)
def test_wrong_calls_get_one_line_and_leave_nothing(tmp_path, asked, words):
    call = {"algo": "deep-pricing", "log": TRIES, "settings": {}} | asked
    call["settings"] = SHORT | call["settings"]
    with pytest.raises(ValueError, match=words) as caught:
        learn_from_log(AMPLE, **call, out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_revenue_is_not_learned_at_the_cost_of_profit(shop):
    """A log's own money is revenue; what it is to teach is revenue less the shadow cost."""
    priced, found = shop.with_changes(market={"objective": "revenue"}), []
    for share in (0.0, 0.8):
        cost = share * shop.products.unit_cost
        spec = priced.with_changes(products={"shadow_cost": cost, "floor_cost": shop.products.unit_cost * (share > 0)})
        log = RandomPrice(spec.guardrails.low, spec.guardrails.high)
        settings = {"base_price": "regular", "clone_episodes": 64, "clone_epochs": 10, "validation_episodes": 32}
        run = learn_from_log(spec, algo="deep-pricing", log=log, settings=settings)
        assert run.spec.market.objective == "revenue"
        found.append(rollout(priced, run.policy, episodes=64, seed=seed_for("test")))
    alone, kept = found
    assert kept.profit.mean() > 1.05 * alone.profit.mean()
    assert (kept.price_path.mean(axis=0) > alone.price_path.mean(axis=0)).all()
