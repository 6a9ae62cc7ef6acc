"""A sweep gives one row per training, resumes, and says what cannot be learned."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.cli.sweep import read_sweep
from repricer.evaluation import sweep
from repricer.evaluation.sweep import summarise
from repricer.scenarios import load_scenario, save_scenario

_SWEEP = """
name = "small"
scenarios = ["stationary-logit"]
algorithms = ["ppo", "sac"]
seeds = [3, 4]
steps = 600
episodes = 8
[settings.ppo]
validation_episodes = 8
evaluations = 1
[settings.sac]
actions = "discrete"
"""


@pytest.fixture
def in_this_process(monkeypatch):
    """Trainings one after the other in this process, which has its code compiled."""

    def inline(jobs, folder, *, place, on_end):
        for one in jobs:
            on_end(one, one.run(folder / "unfinished"))

    monkeypatch.setattr(sweep, "run_jobs", inline)


def test_a_row_a_training(in_this_process, tmp_path):
    (tmp_path / "sweep.toml").write_text(_SWEEP)
    result = CliRunner().invoke(main, ["sweep", str(tmp_path / "sweep.toml"), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    table = pd.read_parquet(document["files"]["table"])
    assert [*zip(table["algo"], table["seed"], table["state"], strict=True)] == [
        ("ppo", 3, "done"),
        ("ppo", 4, "done"),
        ("sac", 3, "unfit"),
        ("sac", 4, "unfit"),
    ]
    assert "sac needs continuous actions" in table["reason"][2]
    assert table["gain_share"][0] == pytest.approx(table["gain"][0] / table["best_fixed"][0])
    assert (tmp_path / "out" / "summary.svg").read_text().count("<svg") == 1
    first, second = document["summary"]
    assert (first["algo"], first["done"], first["scenarios"]) == ("ppo", 2, 1)
    assert (second["algo"], second["unfit"], second["gain"]) == ("sac", 2, None)


def test_where_the_best_fixed_prices_earn_nothing_there_is_no_share_of_it(in_this_process, tmp_path):
    nobody = load_scenario("stationary-logit").with_changes(arrivals={"rate": 0.0})
    file = save_scenario(nobody, tmp_path / "nobody")
    (tmp_path / "sweep.toml").write_text(_SWEEP.replace("stationary-logit", str(file)))
    result = CliRunner().invoke(main, ["sweep", str(tmp_path / "sweep.toml"), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert {row["gain_share"] for row in document["rows"]} == {None}
    assert document["summary"][0]["gain"] is None
    assert "the best fixed prices earn 0" in result.stderr


def test_the_mean_is_interquartile_over_all_runs_and_its_interval_keeps_the_markets():
    rows = pd.DataFrame(
        {
            "algo": "ppo",
            "scenario": ["a"] * 4 + ["b"] * 4,
            "state": "done",
            "gain_share": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            "share_of_optimum": [0.9] * 4 + [np.nan] * 4,
            "seconds": 1.0,
        }
    )
    (found,) = summarise(rows)
    # Within a market there is no spread, so that there is none in the interval either.
    assert found.gain.to_dict() == {"mean": 0.5, "ci95": [0.5, 0.5]}
    assert found.share.mean == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scenarios": '["regimse"]'}, "did you mean 'regimes'"),
        ({"algorithms": '["pp0"]'}, "algorithms must be among the algorithms; got 'pp0'; did you mean 'ppo'"),
        ({"algorithms": '["ppo", "ppo"]'}, "must differ"),
        ({"seeds": "0"}, "seeds"),
        ({"seeds": "[1, 1]"}, "seeds must differ"),
        ({"settings": "{sac = {}}"}, "settings must be of the algorithms; got sac"),
        ({"speed": "1"}, "speed"),
        ({"settings": "{dnq = {}}"}, "settings must be among the algorithms; got 'dnq'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(changed, message, tmp_path):
    given = {"name": '"s"', "scenarios": '["textbook"]', "algorithms": '["ppo"]', "seeds": "2"} | changed
    (tmp_path / "sweep.toml").write_text("\n".join(f"{key} = {value}" for key, value in given.items()))
    with pytest.raises(ValueError, match=message) as refused:
        read_sweep(tmp_path / "sweep.toml")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a TOML file; got: No such file"):
        read_sweep(tmp_path / "none.toml")


def test_textbook_stands_for_all_markets_of_the_package(tmp_path):
    (tmp_path / "sweep.toml").write_text('name = "s"\nscenarios = ["textbook"]\nalgorithms = ["ppo", "sac"]')
    plan = read_sweep(tmp_path / "sweep.toml")
    assert plan.count == len(plan.scenarios) * 2 * 3
    assert "gallego-van-ryzin" in plan.scenarios
