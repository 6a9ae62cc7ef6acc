"""`repricer explain`, and `repricer evaluate --stress`."""

import json

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.envs import catalogue_of
from repricer.scenarios import load_scenario, save_scenario
from repricer.serving.sample_states import example_state

from .calls import run

MARKET = "stationary-logit"


def test_one_price_in_words_and_in_json():
    asked = ("explain", MARKET, "--policy", "optimum", "--period", "12", "--market", "3")
    text = run(*asked).stdout
    for words in (
        "what moved the price",
        "stock",
        "in an ordinary market",
        "price charged",
        "80%",
    ):
        assert words in text
    document = json.loads(run(*asked, "--json").stdout)
    found = document["attribution"]
    assert found["baseline"] + sum(found["inputs"].values()) + found["rules"] == pytest.approx(document["price"])
    assert document["period"] == 12


def test_a_folder_with_the_name_of_a_rule_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "optimum").mkdir()
    (tmp_path / "another").mkdir()
    assert "optimum" in run("explain", MARKET, "--policy", "optimum").stdout
    refused = CliRunner().invoke(main, ["explain", MARKET, "--policy", "another"])
    assert "another must be a run folder or a bundle" in refused.stderr


def test_a_period_by_its_date(tmp_path):
    save_scenario(load_scenario(MARKET).with_changes(market={"period": "week", "first_day": "2018-01-01"}), tmp_path)
    asked = ("explain", str(tmp_path), "--policy", "fixed:9", "--date")
    document = json.loads(run(*asked, "2018-01-17", "--json").stdout)
    assert (document["period"], document["date"]) == (2, "2018-01-15")
    assert "in the week from 2018-01-15" in document["sentences"][0]
    assert "date must be 2018-01-01 to" in run(*asked, "2017-12-31", code=2).stderr
    assert "--date needs a market with a calendar" in run("explain", MARKET, *asked[2:], "2018-01-01", code=2).stderr


def test_a_state_from_a_file(tmp_path):
    state = example_state(catalogue_of(load_scenario(MARKET)))
    state["period"] = 7
    state["products"][0]["on_hand"] = 2
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    document = json.loads(run("explain", MARKET, "--policy", "optimum", "--state", str(path), "--json").stdout)
    assert document["period"] == 7
    assert document["attribution"]["inputs"]["stock"] > 0


def test_a_fit_report_widens_the_interval(tmp_path):
    fit = tmp_path / "fit.json"
    fit.write_text(json.dumps({"price_response": [{"product": "1", "name": "unit", "elasticity_se": 1.5}]}))
    asked = ("explain", MARKET, "--policy", "fixed:9", "--json")
    plain = json.loads(run(*asked).stdout)["curve"]
    wide = json.loads(run(*asked, "--fit", str(fit)).stdout)["curve"]
    assert wide["units"] == plain["units"]
    assert wide["units95"][0][1] > plain["units95"][0][1]


def test_a_tree():
    text = run("explain", MARKET, "--policy", "optimum", "--tree", "--depth", "2").stdout
    assert "the stock against the f" in text
    assert "R² on markets it was not fitted to" in text
    document = json.loads(run("explain", MARKET, "--policy", "thompson", "--tree", "--json").stdout)
    assert document["fidelity"] < 1
    assert document["depth"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "thompson"], "which draws or learns"),
        (["--policy", "optimum", "--product", "nothing"], "product must be one of unit; got 'nothing'"),
        (["--policy", "optimum", "--period", "30"], "period must lie in 0 to 29; got 30"),
        (["--policy", "optimum", "--fit", "nowhere.json"], "--fit must be a file; got nowhere.json"),
    ],
)
def test_what_cannot_be_explained_is_one_line(arguments, words):
    error = run("explain", MARKET, *arguments, code=2).stderr
    assert words in error
    assert error.count("\n") == 1


def test_evaluate_under_stress():
    asked = ("evaluate", "seen-segments", "--policy", "optimum", "--policy", "fixed:9", "--stress", "--episodes", "400")
    text = run(*asked).stdout
    for words in ("under stress, worst first", "demand-halved", "supplier-delay does not apply", "against tuned fixed"):
        assert words in text
    document = json.loads(run(*asked, "--json").stdout)
    rows = document["stress"]["rows"]
    losses = [row["loss"]["mean"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert {row["policy"] for row in rows} == {"optimum", "fixed:9"}
    assert "supplier-delay" in document["stress"]["skipped"]


def test_a_log_knows_no_stress(tmp_path):
    log = str(tmp_path / "log.parquet")
    error = run("evaluate", MARKET, "--policy", "fixed:9", "--from-log", log, "--stress", code=2).stderr
    assert "give --from-log, or --stress, --fairness and --informed" in error
