"""`repricer certify` from a log."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.envs import rollout
from repricer.evaluation import LogRecorder
from repricer.pricing import EpsilonGreedy, FixedPrice
from repricer.scenarios import load_scenario


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    spec = load_scenario("seen-segments")
    recorder = LogRecorder(spec)
    rollout(spec, EpsilonGreedy(FixedPrice(6.0), np.array([[6.0], [12.0]]), 1.0), episodes=1000, seed=0, watch=recorder)
    path = tmp_path_factory.mktemp("log") / "log.csv"
    recorder.log().to_table().to_csv(path, index=False)
    return str(path)


def run(log, *options):
    return CliRunner().invoke(main, ["certify", "seen-segments", "--from-log", log, *options])


def test_one_line_says_whether(log):
    sure, unsure = (run(log, "--policy", "fixed:12", "--loss", loss) for loss in ("50", "2"))
    assert sure.exit_code == unsure.exit_code == 0
    assert sure.stdout.startswith(
        "certified: with 95% confidence these prices lose at most 50% against the logged ones"
    )
    assert unsure.stdout.startswith("not certified: that these prices lose at most 2% against the logged ones")
    assert "Effective sample" in sure.stdout


def test_the_document(log):
    found = json.loads(run(log, "--policy", "fixed:12", "--unit", "decision", "--daily", "--json").stdout)
    assert (found["policy"], found["loss"], found["daily"], found["units"]) == ("fixed:12", 0.02, True, 1000)
    assert found["lower"] == found["running"][-1] < found["betting"] < found["estimate"]
    assert found["verdict"].startswith("not certified")


def test_wrong_input_is_one_line(log):
    result = run(log, "--policy", "fixed:8")
    assert result.exit_code == 2
    assert "policy fixed:8 must charge prices that the log often charged" in result.stderr
    assert len(result.stderr.splitlines()) == 1
