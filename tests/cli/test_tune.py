"""`repricer tune`, and `repricer train --preset` with what it found; small budgets."""

import json
from pathlib import Path

import pytest

from .calls import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tune") / "study")


def test_tune_goes_on_and_train_takes_what_it_found(folder, tmp_path):
    arguments = ("tune", "stationary-logit", "--algo", "a2c", "--steps", "1000", "--out", folder)
    assert "Trials: 1 complete, 0 pruned, 0 failed." in run(*arguments, "--trials", "1").stdout
    result = run(*arguments, "--trials", "2", "--json")
    assert all(line.startswith("tuning stationary-logit: ") for line in result.stderr.splitlines())
    found = json.loads(result.stdout)
    assert found["scenario"] == "stationary-logit"
    assert found["complete"] + found["pruned"] + found["failed"] == 2 == len(found["trials"])
    assert found["gain"] == found["trials"][found["trial"]]["gain"]
    assert all(Path(path).is_file() for path in found["files"].values())

    shown = run(*arguments, "--trials", "2").stdout
    assert "learning_rate" in shown
    assert "against the best fixed price on the validation customers" in shown
    assert f"Next: repricer train stationary-logit --algo a2c --preset {found['files']['best']}" in shown

    trained = run(
        *("train", "stationary-logit", "--algo", "a2c", "--steps", "500", "--out", str(tmp_path / "run")),
        *("--preset", found["files"]["best"], "--set", "gae_lambda=0.5", "--json"),
    )
    settings = json.loads(trained.stdout)["settings"]
    assert {name: settings[name] for name in found["settings"]} == found["settings"] | {"gae_lambda": 0.5}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune", "nowhere"], "scenario must be a registered name"),
        (["tune", "stationary-logit", "--algo", "magic"], "algo must be one of ppo, "),
        (
            ["train", "stationary-logit", "--preset", "own.toml"],
            "preset own.toml must hold blocks; got gamma outside of one",
        ),
        (["train", "stationary-logit", "--preset", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text("gamma = 0.9\n", encoding="utf-8")
    result = run(*arguments, code=2)
    assert result.stdout == ""
    *progress, line = result.stderr.strip().splitlines()
    assert all("compiling the market" in told for told in progress)
    assert line.startswith("repricer: ")
    assert words in line
    assert not Path("runs").exists()


def test_another_study_in_the_folder_is_exit_code_2(folder):
    result = run("tune", "stationary-logit", "--algo", "ppo", "--steps", "2000", "--out", folder, code=2)
    assert "holds a study with algo 'a2c'; got 'ppo'; choose another --out" in result.stderr
