import json
import resource
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from repricer.agents import ALGORITHMS, best_fixed, load_run, settings_for, train
from repricer.agents.algorithms import algorithm, make_policy
from repricer.agents.base_price import base_of
from repricer.agents.plan import plan_for
from repricer.agents.run import learner_view_of
from repricer.agents.training import _markets, _validated_in, choose_device, teacher_of
from repricer.cli import main
from repricer.envs import Market, rollout
from repricer.evaluation import exact_value, solve
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Halves, Posterior
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SHORT = {"clone_epochs": 1}
"""Opens anywhere: most of the time of a short training goes into imitating well."""
FAST = SHORT | {"num_envs": 8, "n_steps": 30, "batch_size": 120, "evaluations": 4, "validation_episodes": 64}
STEPS = 8 * 30 * 8


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run and its folder, which no test changes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return train("stationary-logit", steps=STEPS, settings=FAST, out=folder), folder


def weights(run) -> np.ndarray:
    return np.concatenate([p.detach().numpy().reshape(-1) for p in run.actor.parameters()])


def test_a_market_that_a_child_can_solve_is_learnt():
    """With more stock than anyone buys, one price is best in every period; the policy must leave its base price."""
    spec = load_scenario("stationary-logit").with_changes(stock={"initial_units": np.array([400.0])})
    run = train(spec, steps=20_000, settings={"base_price": "regular"})
    optimum = solve(spec)
    best = np.median(optimum.policy.products[0].price[0])
    assert abs(run.policy.act(Market(spec, num_markets=16).view).price.mean() - best) < 0.5
    assert exact_value(spec, run.policy) > 0.99 * optimum.value


def test_same_seed_same_policy_and_another_seed_another():
    one, two, other = (train("stationary-logit", steps=STEPS, seed=s, settings=FAST) for s in (1, 1, 2))
    np.testing.assert_array_equal(weights(one), weights(two))
    assert not np.array_equal(weights(one), weights(other))


@pytest.mark.parametrize("algo", sorted(set(ALGORITHMS) - {"ppo"}))
def test_same_seed_same_policy_by_every_other_algorithm(algo):
    small = SHORT | {"num_envs": 8, "validation_episodes": 8, "evaluations": 2}
    if ALGORITHMS[algo].off_policy:
        small |= {"learning_starts": 200, "batch_size": 64}
    one, two = (train("stationary-logit", algo=algo, steps=400, seed=1, settings=small) for _ in range(2))
    np.testing.assert_array_equal(weights(one), weights(two))


class Stop(Exception):
    """Stands for a kill: raised from inside the training loop."""


def killed(folder, after) -> None:
    """A training that is interrupted at a report of its progress."""
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == after:
            raise Stop

    with pytest.raises(Stop):
        train("stationary-logit", steps=STEPS, settings=FAST, out=folder, progress=interrupt)


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_resumed_run_equals_an_uninterrupted_one(written, tmp_path, after):
    whole, _ = written
    killed(tmp_path / "cut", after)
    resumed = train("stationary-logit", steps=STEPS, settings=FAST, out=tmp_path / "cut")
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]


def test_tensorboard_shows_each_step_of_a_resumed_run_once(written, tmp_path):
    """It is killed two rollouts after its last checkpoint, whose figures are written a second time."""
    _, whole = written
    killed(tmp_path / "cut", 4)
    train("stationary-logit", steps=STEPS, settings=FAST, out=tmp_path / "cut")
    for name in ("validation/objective", "train/loss"):
        steps, resumed = (tensorboard_steps(folder, name) for folder in (whole, tmp_path / "cut"))
        assert resumed == sorted(set(resumed))
        assert resumed == steps


def tensorboard_steps(folder, name) -> list[int]:
    """The steps of a figure, as TensorBoard reads them."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [event.step for event in events.Scalars(name)]


def test_a_run_folder_gives_the_policy_back(tmp_path, shop):
    asked = {"steps": 960, "settings": SHORT | {"num_envs": 4, "n_steps": 8, "batch_size": 96}, "out": tmp_path / "run"}
    run = train(shop, **asked)
    assert run.product_wise
    loaded = load_run(tmp_path / "run")
    view = Market(shop, num_markets=3).view
    np.testing.assert_array_equal(run.policy.act(view).price, loaded.policy.act(view).price)
    np.testing.assert_array_equal(run.policy.act(view).discount, loaded.policy.act(view).discount)
    assert loaded.facts == json.loads(json.dumps(run.facts))
    assert (tmp_path / "run" / "progress.csv").read_text(encoding="utf-8").startswith("steps,seconds,objective")
    again = train(shop, **asked)
    np.testing.assert_array_equal(weights(again), weights(run))


def test_the_best_validated_policy_is_kept(written):
    run, _ = written
    best = max(run.history, key=lambda row: row["objective"])
    # A closer imitation of the teacher may be ahead of all of them.
    kept = run.facts["best"]
    assert kept["objective"] > best["objective"] if run.facts["kept"] == "teacher" else kept["steps"] == best["steps"]
    # Validation uses customers that the training never meets: the figure comes back from the kept weights.
    from repricer.envs import rollout, seed_for

    seen = rollout(run.spec, run.policy, episodes=64, seed=seed_for("validation", 0), expected=True)
    assert seen.objective.mean() == pytest.approx(kept["objective"], rel=1e-6)


def count_weights(spec, **settings):
    """How many weights PPO's policy has for a market."""
    chosen = settings_for(spec, "ppo", {"base_price": "regular", **settings})
    learner_view = learner_view_of(Market(spec), chosen, *base_of(spec, "regular"))
    return sum(each.numel() for each in make_policy(algorithm("ppo"), learner_view, chosen).parameters())


def test_product_wise_network_does_not_grow_with_the_products():
    few, many = load_scenario("bench-10"), load_scenario("bench-100")
    assert len(few.products.names) < len(many.products.names)
    assert settings_for(few, "ppo").product_wise
    assert count_weights(few) == count_weights(many)
    assert count_weights(few, product_wise=False) < count_weights(many, product_wise=False)
    assert not settings_for(load_scenario("stationary-logit"), "ppo").product_wise


def test_money_to_come_is_discounted_as_the_market_says(shop, tmp_path):
    patient, hasty = load_scenario("scarce"), load_scenario("reference-price")
    assert settings_for(patient, "ppo").algorithm["gamma"] == 1
    assert settings_for(hasty, "ppo").algorithm["gamma"] == hasty.market.discount_factor == 0.95
    assert settings_for(hasty, "sac", {"gamma": 0.5}).algorithm["gamma"] == 0.5
    (tmp_path / "own.toml").write_text("[default]\ngamma = 0.8\n", encoding="utf-8")
    assert settings_for(hasty, "ppo", preset=tmp_path / "own.toml").algorithm["gamma"] == 0.8


def test_nothing_that_training_writes_is_a_pickle(written):
    _, folder = written
    for path in (p for p in folder.rglob("*") if p.is_file()):
        known = {".json", ".toml", ".npz", ".safetensors", ".csv"}
        assert path.suffix in known or path.name.startswith("events.out.tfevents"), path
    with np.load(folder / "scenario.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algo": "ppoo"}, "algo must be one of ppo, a2c, .*; got 'ppoo'"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda; got 'tpu'"),
        (
            {"settings": {"learningrate": 1}},
            "learningrate is not a training setting here; did you mean 'learning_rate'",
        ),
        ({"settings": {"reward": "sum"}}, "reward must be one of drawn, expected, conversion-difference"),
        (
            {"settings": {"reward": "conversion-difference"}},
            "needs a gamma below 1; got 1",
        ),
        (
            {"settings": {"reward": "expected-gain"}},
            "without later effects; got stationary-logit",
        ),
        ({"settings": {"num_envs": 0}}, "num_envs must be at least 1; got 0"),
        ({"settings": {"n_steps": "abc"}}, "n_steps must be a whole number; got 'abc'"),
        ({"settings": {"batch_size": 0}}, "batch_size must be at least 1; got 0"),
        ({"settings": {"learning_rate": "abc"}}, "learning_rate must be a number; got 'abc'"),
        ({"settings": {"net_arch": "abc"}}, "net_arch must be widths of layers, as in 64,64; got .'abc'"),
        ({"settings": {"gamma": 3}}, "gamma must be between 0 and 1; got 3"),
        ({"steps": "many"}, "steps must be a whole number; got 'many'"),
        ({"seed": -1}, r"seed must be between 0 and 4294967295; got -1"),
        ({"seed": 1 << 40}, r"seed must be between 0 and 4294967295; got 1099511627776"),
        ({"settings": {"use_sde": True}}, "use_sde is not a training setting here"),
        ({"settings": {"learning_rate": 0}}, "learning_rate must be above 0; got 0"),
        ({"settings": {"clip_range": -1}}, "clip_range must be above 0; got -1"),
        ({"settings": {"target_kl": -1.0}}, "target_kl must be above 0; got -1.0"),
        ({"settings": {"num_envs": 1, "n_steps": 1}}, "num_envs times n_steps must be at least 2"),
    ],
)
def test_wrong_calls_get_one_line_and_leave_nothing(tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        train("stationary-logit", **{"steps": 100, "out": tmp_path / "run"} | options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_gains_are_learned_from_where_a_price_leaves_nothing_behind(shop):
    apart = replace(shop, reference_price=None)
    assert settings_for(apart, "ppo").reward == settings_for(apart, "tqc").reward == "expected-gain"
    assert settings_for(apart, "ppo", others=[shop]).reward == settings_for(shop, "ppo").reward == "expected"
    assert settings_for(apart, "ppo", {"product_wise": False}).reward == "expected"
    words = "expected-gain needs a market without later effects; got small-shop; set"
    for markets in ([shop], [apart, shop]):
        with pytest.raises(ValueError, match=words):
            train(markets[0], steps=100, settings={"reward": "expected-gain"}, assortments=markets[1:])


def test_a_market_that_goes_on_for_ever_needs_a_discount():
    spec = load_scenario("stationary-logit").with_changes(market={"ending": "truncated"})
    assert settings_for(spec, "ppo").algorithm["gamma"] == 0.99
    with pytest.raises(ValueError, match=r"gamma must be below 1 where the market goes on; got 1; omit it for 0.99"):
        train(spec, steps=100, settings={"gamma": 1})


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac", "td3", "tqc", "dqn", "recurrent-ppo"])
def test_a_policy_that_fell_behind_the_best_fixed_prices_is_not_kept(algo, tmp_path):
    """Nothing is learned here, and an untrained network that does not open at them has prices somewhat off."""
    settings = {"learning_rate": 1e-9, "evaluations": 1, "validation_episodes": 64, "num_envs": 4}
    settings |= {"shaped_scale": 0, "opening": "base-price"}
    run = train("stationary-logit", algo=algo, steps=100, seed=1, settings=settings, out=tmp_path / "run")
    fixed = best_fixed(run.spec)
    behind = run.history[0]["gain"] < 0
    assert behind or algo in ("ppo", "a2c", "recurrent-ppo")
    assert run.facts["kept"] == ("best-fixed" if behind else "learned")
    assert run.facts["best"]["gain"] == pytest.approx(0, abs=1e-3)
    view = Market(run.spec, num_markets=3).view
    for policy in (run.policy, load_run(tmp_path / "run").policy) if behind else ():
        np.testing.assert_allclose(policy.act(view).price, np.tile(fixed.price, (3, 1)), rtol=1e-3)


@pytest.mark.parametrize("algo", ["ppo", "sac", "recurrent-ppo"])
def test_learning_opens_at_the_certainty_equivalent_policy(algo):
    """Nothing is learned here. In `regimes`, the policy earns 99% of the optimum, the best fixed price 83%."""
    spec = load_scenario("regimes")
    settings = {"learning_rate": 1e-9, "evaluations": 1, "num_envs": 8, "clone_epochs": 5, "validation_episodes": 64}
    run = train(spec, algo=algo, steps=100, settings=settings)
    assert run.facts["teacher"] == "certainty-equivalent"
    fixed, optimum = exact_value(spec, best_fixed(spec)), solve(spec).value
    assert run.facts["best"]["gain"] > 0.8 * (optimum - fixed)
    plain = train(spec, algo=algo, steps=100, settings=settings | {"opening": "base-price", "clone_epochs": 1})
    assert plain.facts["teacher"] is None
    assert plain.facts["best"]["gain"] < 0.1 * (optimum - fixed)


def test_training_in_variants_does_not_open_at_the_answer_to_the_nominal_market():
    settings = {"variants": 3, "evaluations": 1, "validation_episodes": 8}
    assert teacher_of(plan_for(load_scenario("scarce"), "ppo", 100, 0, settings)) is None
    assert teacher_of(plan_for(load_scenario("scarce"), "ppo", 100, 0, settings | {"variants": 0})) is not None


def test_a_market_without_a_certainty_equivalent_policy_has_no_such_opening():
    assert teacher_of(plan_for(load_scenario("price-and-order"), "ppo", 64, 0)) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverged_policy_is_an_error_and_never_kept(tmp_path):
    """The price rules give the best fixed price for NaN, which beats the untrained policy here: it must not be kept."""
    settings = {"learning_rate": 1e30, "evaluations": 4, "validation_episodes": 16, "learning_starts": 500}
    with pytest.raises(ValueError, match=r"got (NaN|nan).* diverge.* lower .*learning_rate"):
        train("stationary-logit", algo="td3", steps=2000, settings=settings, out=tmp_path / "run")
    with safe_open(tmp_path / "run" / "policy.safetensors", framework="np") as file:
        assert all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118


def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path):
    """A limit on the size of a file does what a full disk does: a write fails half way."""
    command = ["train", "scarce", "--steps", "3000", "--set", "clone_epochs=1", "--out", str(tmp_path / "run")]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        full = CliRunner().invoke(main, command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.exit_code == 1
    *progress, line = full.stderr.strip().splitlines()
    assert all(said.startswith("training scarce: ") for said in progress)
    assert "could not be written" in line
    assert "free some space" in line
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "checkpoint.safetensors" not in left
    assert not [name for name in left if "tmp" in name]
    # With room again the same command ends in a run as if nothing had happened.
    assert json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    weights = load_run(tmp_path / "run").actor.state_dict()
    for name, weight in train("scarce", steps=3000, settings=SHORT).actor.state_dict().items():
        assert torch.equal(weight, weights[name])


def test_a_run_that_ended_early_is_finished(tmp_path):
    stalled = {"patience": 1, "evaluations": 25, "learning_rate": 1e-30}
    options = {"steps": 25 * 8 * 30, "settings": FAST | stalled}
    run = train("scarce", out=tmp_path / "run", **options)
    assert run.facts["stopped_early"]
    assert len(run.history) == 2
    # Killed between the early end and its result: the checkpoint is there, the result is not.
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({"identity": document["identity"]}))
    again = train("scarce", out=tmp_path / "run", **options)
    assert again.facts["stopped_early"]
    assert [row["steps"] for row in again.history] == [row["steps"] for row in run.history]


def test_a_run_of_version_0_1_0_loads_or_is_refused_with_the_setting_that_is_gone(written, tmp_path):
    run, folder = written
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "run.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    gone = {"network": "mlp", "rnn_size": 32, "dropout": 0.0, "l1": 1e-4, "networks": 1, "variant_rival": 0.2}
    for more, refused in (({}, None), ({"dropout": 0.1}, "dropout 0.1"), ({"network": "rnn"}, "network rnn")):
        document["facts"]["settings"] |= gone | more
        path.write_text(json.dumps(document), encoding="utf-8")
        if refused is None:
            np.testing.assert_array_equal(weights(load_run(tmp_path)), weights(run))
            continue
        with pytest.raises(ValueError, match=f"got the setting {refused}; train again without it"):
            load_run(tmp_path)


def test_another_run_in_the_folder_is_refused(written, tmp_path):
    _, folder = written
    with pytest.raises(ValueError, match="holds a run with seed 0; got 1"):
        train("stationary-logit", steps=STEPS, seed=1, settings=FAST, out=folder)
    with pytest.raises(ValueError, match="must be a run folder"):
        load_run(tmp_path)


def test_small_networks_stay_on_the_cpu_and_say_why():
    assert choose_device("cpu", 10) == ("cpu", "as asked")
    device, why = choose_device("auto", 10_000)
    assert device == "cpu"
    assert why


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can see")
def test_training_on_a_gpu_learns_too(tmp_path):
    run = train("stationary-logit", steps=STEPS, settings=FAST, device="cuda", out=tmp_path / "run")
    assert run.facts["device"].startswith("cuda")


def test_revenue_with_a_shadow_cost_is_learned_as_revenue_less_that_cost():
    spec = load_scenario("stationary-logit").with_changes(stock={"initial_units": np.array(np.inf)})
    dear = spec.with_changes(products={"shadow_cost": 0.6 * spec.products.regular_price})
    settings = {"validation_episodes": 64}
    low, high = (train(s, steps=4_000, settings=settings) for s in (spec, dear))
    assert high.spec.market.objective == "revenue"
    paths = [rollout(spec, run.policy, episodes=16, seed=0).price_path.mean() for run in (low, high)]
    assert paths[1] > paths[0]
    assert best_fixed(dear).price[0] > best_fixed(spec).price[0]


def test_what_is_learned_follows_the_half_of_the_sales_that_finds_prices_alone():
    factor = np.linspace(0.8, 1.3, 16).astype(np.float32)
    halves = Halves(draws=16, sensitivity=factor[:, None])
    spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=4), halves=halves)
    plan = plan_for(spec, "ppo", STEPS, 0, FAST)
    markets = _markets(plan)
    for view in markets.learner_views:
        assert view.market.scenario is spec.searched
        assert view.market.assumed is spec
    (validated,) = _validated_in(plan, markets)
    usual = spec.demand.price_sensitivity[0, 0]
    tried = {round(float(truth.demand.price_sensitivity[0, 0] / usual), 4) for truth in validated.truths}
    assert tried == {round(float(each), 4) for each in factor[:8]}
    run = train(spec, steps=STEPS, settings=FAST)
    assert run.spec is spec


def test_a_run_prints_short_and_is_a_table_and_plain_data(written):
    run, _ = written
    assert repr(run) == f"Run(stationary-logit, ppo, {run.facts['steps']:,} steps, seed 0, 1 products)"
    assert run.to_frame().to_dict("records") == run.history
    assert json.loads(json.dumps(run.to_dict()))["validations"] == run.history
