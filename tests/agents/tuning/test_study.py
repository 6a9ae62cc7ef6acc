import csv
import json
import multiprocessing
import os
import signal
import time
import tomllib
import warnings
import xml.dom.minidom
from dataclasses import replace

import optuna
import pytest
import torch
from repricer.agents import ALGORITHMS, settings_for, training
from repricer.agents.algorithms import algorithm
from repricer.agents.settings import settings_from
from repricer.agents.tuning import search_space
from repricer.agents.tuning import study as tuning
from repricer.agents.tuning.search_space import SPACES, SearchSpace
from repricer.agents.tuning.study import BEST_FILE, PLOT_FILE, STUDY_FILE, TRIALS_FILE, tune
from repricer.scenarios import load_scenario

from .conftest import EVALUATIONS, REPORTS, STEPS, Lessons, quality, study

TRIALS = 14
"""Ten are drawn at random, the others after what was seen."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A study, its folder and its stand-in for `train`, which no test changes; nothing of it gives a warning."""
    folder, own = tmp_path_factory.mktemp("searched"), Lessons()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(tuning, "train", own.train)
        patch.setattr(os, "fsync", lambda _: None)
        return study(folder, TRIALS), folder, own


def stored(out):
    return optuna.load_study(study_name="tune", storage=f"sqlite:///{out / STUDY_FILE}")


def counted(found, *, but=("trial",)):
    """The rows of a study without the trials that were interrupted, which move the numbers of the others."""
    rows = [row for row in found.trials if row["reason"] != "its worker died or was interrupted"]
    return [{key: value for key, value in row.items() if key not in but} for row in rows]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_starts_from_its_presets_and_draws_what_it_takes(algo, shop):
    for spec in (load_scenario("stationary-logit"), shop):
        preset = settings_for(spec, algo).to_dict()
        space = SearchSpace(algo, preset)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial(space.start)
        assert space.draw(study.ask()) == {name: preset[name] for name in space.start}
        assert set(SPACES[algo]) - set(space.start) <= {"gamma"}
        assert ("gamma" in space.start) == (preset["gamma"] < 1)
        seen = [space.draw(study.ask()) for _ in range(40)]
        for settings in seen:
            settings_from(preset | settings, algorithm(algo).options)
            assert 0 < settings.get("gamma", 0.5) < 1
            assert all(type(settings[name]) is type(preset[name]) for name in settings)
        # Each moves, and on both sides of the preset where it is a number with room.
        assert all(len({json.dumps(settings[name]) for settings in seen}) > 1 for name in space.start)
        for name in {"learning_rate", "batch_size", "tau", "gae_lambda", "log_std_init"} & set(space.start):
            assert min(s[name] for s in seen) < preset[name] < max(s[name] for s in seen)


def test_ranges_are_what_the_table_says():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(400)]
    rates = [search_space.times(10).draw(t, "rate", 1e-3) for t in trials]
    assert 1e-4 <= min(rates) < 1.5e-4
    assert 7e-3 < max(rates) <= 1e-2
    assert abs(sum(rate < 1e-3 for rate in rates) / 400 - 0.5) < 0.1
    assert {search_space.doublings(-2, 1).draw(t, "batch", 480) for t in trials} == {120, 240, 480, 960}
    discounts = [search_space.complement(5).draw(t, "gamma", 0.9) for t in trials]
    assert 0.5 <= min(discounts) < 0.6
    assert 0.97 < max(discounts) <= 0.98
    assert {search_space.between(0, 3).draw(t, "drop", 1) for t in trials} == {0, 1, 2, 3}
    assert max(search_space.between(0.0, 0.01).draw(t, "entropy", 0.02) for t in trials) > 0.015
    nets = [search_space.one_of([32], [64]).draw(t, "net", [8]) for t in trials]
    assert sorted({tuple(net) for net in nets}) == [(8,), (32,), (64,)]


def test_the_best_beats_the_preset_and_is_written_down(searched):
    found, folder, lessons = searched
    preset = settings_for(load_scenario("stationary-logit"), "ppo").to_dict()
    assert lessons.asked[0][1] == {name: preset[name] for name in found.settings}
    assert found.preset_gain == pytest.approx(quality(preset))
    assert found.gain == quality(found.settings) > max(found.preset_gain, 0.97)
    assert found.best_fixed == 100.0
    assert found.trials[found.trial]["gain"] == found.gain

    text = (folder / BEST_FILE).read_text(encoding="utf-8")
    assert "# repricer tune stationary-logit --algo ppo --trials 14 --steps 1200 --seed 0\n" in text
    assert tomllib.loads(text) == {"default": found.settings}
    with (folder / TRIALS_FILE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [row["state"] for row in found.trials]
    assert float(rows[found.trial]["learning_rate"]) == found.settings["learning_rate"]
    assert xml.dom.minidom.parse(str(folder / PLOT_FILE)).documentElement.tagName == "svg"


@pytest.mark.usefixtures("no_pictures")
def test_what_matters_is_found_to_matter(tmp_path, lessons, monkeypatch):
    monkeypatch.setattr(lessons, "gain", lambda *_: 0.0)  # no trial stands out before its end, so none is pruned
    found = study(tmp_path, 16)
    (first, most), (_, next_most), *_ = found.importances.items()
    assert first == "learning_rate"
    assert most > 1.5 * next_most
    assert sum(found.importances.values()) == pytest.approx(1)
    assert set(found.importances) == set(found.settings)
    assert study(tmp_path, 16).importances == found.importances


@pytest.mark.usefixtures("no_pictures")
def test_a_preset_file_is_laid_over_the_presets(tmp_path, lessons):
    found = study(tmp_path, 3)
    for name in ("stationary-logit", "stationary-logit@demand-halved"):
        settings = settings_for(load_scenario(name), "ppo", {"n_epochs": 1}, preset=tmp_path / BEST_FILE).to_dict()
        assert {key: settings[key] for key in found.settings} == found.settings | {"n_epochs": 1}


def test_blocks_of_a_preset_file_apply_as_those_of_the_presets(tmp_path, shop):
    path = tmp_path / "own.toml"
    path.write_text('[default]\ngamma = 0.8\nn_steps = 16\n["many-products"]\nn_steps = 24\n', encoding="utf-8")
    assert settings_for(shop, "ppo", preset=path).algorithm["n_steps"] == 24
    assert settings_for(shop, "ppo", preset=path).algorithm["gamma"] == 0.8
    assert settings_for(load_scenario("stationary-logit"), "ppo", preset=path).algorithm["n_steps"] == 16
    path.write_text("[default]\nproduct_wise = false\n", encoding="utf-8")
    assert not settings_for(shop, "ppo", preset=path).product_wise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default", "must be a TOML file in UTF-8; got: "),
        ("gamma = 0.9", r"must hold blocks; got gamma outside of one; put it under \[default\]"),
        ("", "must have a block; got none"),
        (
            "[gallego-van-ryzin]",
            "may have blocks default, many-products, .*; got gallego-van-ryzin; rename it to default",
        ),
        ("[default]\ngama = 0.9", "gama is not a training setting here; did you mean 'gamma'"),
    ],
)
def test_a_wrong_preset_file_gets_one_line(tmp_path, text, words):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words) as caught:
        settings_for(load_scenario("stationary-logit"), "ppo", preset=path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_pictures")
def test_same_seed_same_trials_whatever_their_number_and_another_seed_others(searched, tmp_path, lessons):
    whole, _, _ = searched
    study(tmp_path / "parts", 5)
    parts = study(tmp_path / "parts", TRIALS)
    assert parts.trials == whole.trials
    calls = len(lessons.asked)
    assert study(tmp_path / "parts", 3).trials == whole.trials  # there are more than that already
    assert len(lessons.asked) == calls
    other = study(tmp_path / "other", 2, seed=1)
    assert other.trials[1] != whole.trials[1]


class Stop(Exception):
    """Stands for an interruption: raised from inside a run."""


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_study_goes_on_as_if_it_had_not_been(searched, tmp_path, lessons):
    whole, _, _ = searched
    for after in (1, 33, 133, 5, 80):
        calls = []

        def interrupt(*_, calls=calls, after=after):
            calls.append(1)
            if len(calls) == after:
                raise Stop

        with pytest.raises(Stop):
            study(tmp_path / "cut", TRIALS, progress=interrupt)
    cut = study(tmp_path / "cut", TRIALS)
    assert counted(cut) == counted(whole)
    assert len(cut.trials) == TRIALS + 5
    assert (cut.preset_gain, cut.settings) == (whole.preset_gain, whole.settings)
    assert not any((tmp_path / "cut" / "trials").glob("*"))


def test_hopeless_trials_end_early_and_each_validation_is_reported_once(searched):
    found, folder, lessons = searched
    rows = stored(folder).get_trials()
    assert found.counts["pruned"] > 2
    for row, trial, seen, (_, settings) in zip(found.trials, rows, lessons.validations, lessons.asked, strict=True):
        gains = {k: pytest.approx(lessons.gain(settings, 0, k)) for k in range(seen)}
        assert trial.intermediate_values == gains
        assert (row["state"] == "pruned") == (seen < EVALUATIONS)
    complete = [row["gain"] for row in found.trials if row["state"] == "complete"]
    hopeless = [quality(row) for row in found.trials if row["state"] == "pruned"]
    assert max(hopeless) < max(complete)


@pytest.mark.usefixtures("no_pictures")
def test_the_mean_of_several_seeds_is_judged(tmp_path, lessons):
    found = study(tmp_path, 2, seed=5, seeds_per_trial=3)
    assert [seed for seed, _ in lessons.asked] == [5, 6, 7] * 2
    assert found.preset_gain == pytest.approx(quality(lessons.asked[0][1], seed=6))
    assert found.trials[0]["seconds"] == 6.0
    assert len(stored(tmp_path).get_trials()[0].intermediate_values) == 3 * EVALUATIONS


@pytest.mark.usefixtures("no_pictures")
def test_progress_runs_over_all_trials_with_the_best_gain_so_far(tmp_path, lessons):
    calls = []
    found = study(tmp_path, 4, progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert {call[1] for call in calls} == {4 * STEPS}
    best = [max(row["gain"] for row in found.trials[:n]) for n in range(1, 4)]
    assert [calls[n * REPORTS * EVALUATIONS][2]["gain"] for n in range(1, 4)] == best


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (ValueError("batch_size must fit;\nsecond line"), "batch_size must fit;"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_failed_trial_keeps_its_reason_and_counts(tmp_path, lessons, monkeypatch, wrong, reason):
    def gain(settings, seed, k):
        if len(lessons.asked) == 2:
            raise wrong
        return quality(settings)

    monkeypatch.setattr(lessons, "gain", gain)
    found = study(tmp_path, 4)
    assert found.counts == {"complete": 3, "pruned": 0, "failed": 1}
    assert (found.trials[1]["state"], found.trials[1]["reason"]) == ("failed", reason)
    assert f"1,failed,,,,{reason}," in (tmp_path / TRIALS_FILE).read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_pictures")
def test_a_programming_error_is_raised_and_its_trial_waits(searched, tmp_path, lessons, monkeypatch):
    right = lessons.train

    def broken(*arguments, **options):
        if len(lessons.asked) == 2:
            raise TypeError("no such thing")
        return right(*arguments, **options)

    monkeypatch.setattr(tuning, "train", broken)
    with pytest.raises(TypeError, match="no such thing"):
        study(tmp_path / "mended", 5)
    monkeypatch.setattr(tuning, "train", right)
    assert counted(study(tmp_path / "mended", 5)) == counted(searched[0])[:5]


def test_nothing_but_failures_is_an_error_with_the_reason(tmp_path, lessons, monkeypatch):
    def refuse(*_):
        raise ValueError("no room")

    monkeypatch.setattr(lessons, "gain", refuse)
    with pytest.raises(ValueError, match="got 2 that failed, the first with: no room; raise --trials"):
        study(tmp_path, 2)
    assert len((tmp_path / TRIALS_FILE).read_text(encoding="utf-8").splitlines()) == 3
    assert not (tmp_path / BEST_FILE).exists()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_policy_that_really_diverges_has_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES, "ppo", {"learning_rate": search_space.between(1e29, 1e30)})
    monkeypatch.setattr("repricer.agents.cloning._BATCHES", 5)
    found = study(tmp_path, 2)
    assert found.trial == 0
    assert found.trials[1]["state"] == "failed"
    assert "the policy diverged; lower learning_rate" in found.trials[1]["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algo": "a2c"}, "holds a study with algo 'ppo'; got 'a2c'; choose another --out"),
        ({"steps": 900}, "holds a study with steps 1200; got 900"),
        ({"seed": 3}, "holds a study with seed 0; got 3"),
        ({"seeds_per_trial": 2}, "holds a study with seeds_per_trial 1; got 2"),
    ],
)
def test_another_study_in_the_folder_is_refused(searched, lessons, options, words):
    before, folder, _ = searched
    with pytest.raises(ValueError, match=words) as caught:
        study(folder, TRIALS + 1, **options)
    assert "\n" not in str(caught.value)
    assert study(folder, TRIALS).trials == before.trials
    assert not lessons.asked


@pytest.mark.usefixtures("no_pictures")
def test_another_scenario_or_version_or_preset_is_refused(tmp_path, lessons, monkeypatch):
    spec = load_scenario("stationary-logit")
    tune(spec, trials=1, steps=STEPS, out=tmp_path)
    with pytest.raises(ValueError, match="holds a study with scenario 'stationary-logit'; got 'gallego-van-ryzin'"):
        tune("gallego-van-ryzin", trials=1, steps=STEPS, out=tmp_path)
    with pytest.raises(ValueError, match=f"holds a study with scenario_version {spec.version}; got 99"):
        tune(replace(spec, version=99), trials=1, steps=STEPS, out=tmp_path)
    plan = tuning.plan_for
    monkeypatch.setattr(tuning, "plan_for", lambda *given: plan(*given, {"gae_lambda": 0.5}))
    with pytest.raises(ValueError, match=r"holds a study with gae_lambda 0\.9; got 0\.5"):
        tune(spec, trials=1, steps=STEPS, out=tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algo": "ppoo"}, "algo must be one of ppo, .*; got 'ppoo'"),
        ({"trials": 0}, "trials must be at least 1; got 0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"seeds_per_trial": 0}, "seeds_per_trial must be at least 1; got 0"),
    ],
)
def test_wrong_calls_get_one_line_and_leave_nothing(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        study(tmp_path / "study", **{"trials": 2} | options)
    assert not (tmp_path / "study").exists()


def test_a_folder_with_something_else_is_refused(tmp_path, lessons):
    (tmp_path / STUDY_FILE).write_text("no database\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"URL of a database with studies; got .*study\.db: .*; choose another --out"):
        study(tmp_path, 2)
    (tmp_path / STUDY_FILE).unlink()
    (tmp_path / "study.journal").touch()
    with pytest.raises(
        ValueError, match=r"must hold a study of this version; got study\.journal, which version 0\.1\.0 wrote; choose"
    ):
        study(tmp_path, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that has fork and SIGKILL")
def test_a_killed_study_goes_on_and_nothing_is_corrupt(tmp_path, monkeypatch):
    """Killed in the second trial after a checkpoint, which the next command takes up once the trial is silent."""
    monkeypatch.setattr(tuning, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(tuning, "GRACE_SECONDS", 2)
    monkeypatch.setattr("repricer.agents.cloning._BATCHES", 5)
    out, threads = tmp_path / "killed", torch.get_num_threads()
    # A fork, which has all libraries; with one thread, as the others stay behind.
    torch.set_num_threads(1)
    asked = {"trials": 2, "steps": 10_000, "out": out}
    process = multiprocessing.get_context("fork").Process(target=tune, args=("scarce",), kwargs=asked)
    process.start()
    torch.set_num_threads(threads)
    deadline = time.monotonic() + 120
    while not (out / "trials" / "1" / "0" / "checkpoint.safetensors").is_file():
        assert process.is_alive(), "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    begun = out / "trials" / "1" / "0" / "run.json"
    restored, restore = [], training.restore_checkpoint
    monkeypatch.setattr(training, "restore_checkpoint", lambda *a: restored.append(a[0]) or restore(*a))
    resumed = tune("scarce", trials=2, steps=10_000, out=out)
    assert restored == [begun.with_name("checkpoint.safetensors")]
    whole = tune("scarce", trials=2, steps=10_000, out=tmp_path / "whole")
    assert counted(resumed, but=("trial", "seconds")) == counted(whole, but=("trial", "seconds"))
    assert tomllib.loads((out / BEST_FILE).read_text()) == tomllib.loads((tmp_path / "whole" / BEST_FILE).read_text())
