"""One policy that learns in several assortments."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.agents import best_fixed, load_run, train
from repricer.cli import main
from repricer.envs import rollout, seed_for
from repricer.scenarios import load_scenario, sample_catalogue, save_scenario
from repricer.scenarios.sections import Posterior

SETTINGS = {"base_price": "regular", "num_envs": 6, "validation_episodes": 24, "evaluations": 3}
STEPS = 6_000


@pytest.fixture(scope="module", autouse=True)
def short_search_of_all():
    """What is learned is counted in shares of some fixed prices, and need not be that of the best ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repricer.agents.classical._GENERATIONS", (7, 3))
        yield


@functools.cache  # best fixed prices are kept by their object
def assortment(number):
    return sample_catalogue(4, 3, assortment=number, periods=8, parts={"season"})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "run"
    others = [assortment(1), assortment(2)]
    return train(assortment(0), steps=STEPS, settings=SETTINGS, assortments=others, out=folder), folder


def weights(run):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in run.actor.parameters()])


def test_all_assortments_are_learned_in_and_validated(written):
    run, folder = written
    alone = train(assortment(0), steps=STEPS, settings=SETTINGS)
    assert not np.array_equal(weights(run), weights(alone))
    np.testing.assert_array_equal(weights(load_run(folder)), weights(run))
    # The figures are the mean over the markets, each in shares of its best fixed prices.
    asked = {"episodes": 8, "seed": seed_for("validation", 0), "expected": True}
    shares, fixed = [], []
    for number in range(3):
        spec = assortment(number)
        earned = [rollout(spec, p, **asked).objective.mean() for p in (run.policy_for(spec), best_fixed(spec))]
        shares.append(earned[0] / earned[1])
        fixed.append(earned[1])
    assert run.facts["best"]["objective"] / fixed[0] == pytest.approx(np.mean(shares), rel=1e-5)


def test_a_run_with_other_assortments_is_another_run(written):
    run, folder = written
    others = [assortment(1), assortment(2)]
    again = train(assortment(0), steps=STEPS, settings=SETTINGS, assortments=others, out=folder)
    assert again.history == run.history
    with pytest.raises(ValueError, match="assortments"):
        train(assortment(0), steps=STEPS, settings=SETTINGS, assortments=others[:1], out=folder)


@pytest.mark.parametrize(
    ("settings", "other", "said"),
    [
        ({"variants": 2}, assortment(1), "assortments need product_wise true.*; got True, continuous, 2,"),
        ({"actions": "discrete"}, assortment(1), "got True, discrete"),
        ({}, load_scenario("grocery"), "assortments must be like catalogue:4:3.*got grocery"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, other, said):
    with pytest.raises(ValueError, match=said):
        train(assortment(0), steps=STEPS, settings=SETTINGS | settings, assortments=[other])


def test_few_markets_an_assortment_follow_as_many_draws_as_they_are():
    arrivals = np.linspace(0.8, 1.2, 8)[:, None, None]
    specs = [replace(assortment(i), posterior=Posterior(draws=8, arrivals=arrivals)) for i in range(3)]
    run = train(specs[0], steps=400, settings=SETTINGS, assortments=specs[1:])
    assert np.isfinite(run.facts["best"]["objective"])


def test_a_market_whose_best_prices_lose_money_counts_for_what_is_gained_in_it():
    """The first market only loses money, at any price; shares of it must not turn the others around."""
    losing = assortment(0).with_changes(market={"objective": "profit"}, products={"unit_cost": np.full(4, 1e4)})
    earning = assortment(1).with_changes(market={"objective": "profit"})
    run = train(losing, steps=400, settings=SETTINGS, assortments=[earning])
    asked = {"episodes": 12, "seed": seed_for("validation", 0), "expected": True}
    parts, sizes = [], []
    for spec in (losing, earning):
        own, fixed = (rollout(spec, p, **asked).objective.mean() for p in (run.policy_for(spec), best_fixed(spec)))
        parts.append((own - fixed) / abs(fixed))
        sizes.append(fixed)
    assert sizes[0] < 0 < sizes[1]
    assert run.facts["best"]["gain"] / abs(sizes[0]) == pytest.approx(np.mean(parts), rel=1e-4)


def test_the_command_names_further_assortments(tmp_path):
    # A catalogue by name has all parts, and a search for its best fixed prices that takes 15 s.
    for number in range(2):
        save_scenario(assortment(number), tmp_path / str(number))
    command = ["train", f"{tmp_path}/0", "--assortment", f"{tmp_path}/1", "--steps", "400"]
    few = [part for setting in ("num_envs=2", "validation_episodes=2", "evaluations=1") for part in ("--set", setting)]
    result = CliRunner().invoke(main, [*command, *few, "--out", f"{tmp_path}/run"])
    assert result.exit_code == 0, result.output
    assert load_run(tmp_path / "run").facts["assortments"] == [f"{assortment(1).name} 1"]
