from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli.alarms import command


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shop of two products over 40 weeks; pears sell five times as much in week 30, the news turn in week 35."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=280, freq="D")
    sales = pd.DataFrame(
        {
            "date": np.repeat(days, 2),
            "product": ["pear", "[red]plum"] * 280,
            "units": rng.poisson(20, 560) + 1.0,
            "price_paid": 2.0,
        }
    )
    burst = (sales["product"] == "pear") & sales["date"].between(days[210], days[216])
    sales.loc[burst, "units"] *= 5
    sales.to_csv("sales.csv", index=False)
    news = rng.normal(0, 1, 280) + np.where(np.arange(280) < 245, 0.0, 6.0)
    pd.DataFrame({"date": days, "name": "bad_news", "value": news}).to_csv("signals.csv", index=False)

    def run(line: str):
        return CliRunner().invoke(command, line.split())

    return run


def test_table_says_what_happened(shell):
    result = shell("--sales sales.csv --signals signals.csv")
    assert result.exit_code == 0, result.output
    assert "units" in result.stdout
    assert "2024-07-29" in result.stdout
    assert "pear" in result.stdout
    assert "3 alarms in 4 series; about 0 false alarms are expected without any change" in result.stdout


def test_json_is_one_document(shell):
    result = shell("--sales sales.csv --signals signals.csv --json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["series"] == 4
    assert document["expected_false_alarms"] == pytest.approx(0.2 * 4 * 28 / 52.18, abs=0.1)
    raised = {(alarm["signal"], alarm["product"], alarm["week"]) for alarm in document["alarms"]}
    assert ("units", "pear", "2024-07-29") in raised
    assert ("signal_bad_news", "", "2024-09-02") in raised
    (alarm,) = [alarm for alarm in document["alarms"] if alarm["week"] == "2024-07-29" and alarm["product"] == "pear"]
    assert alarm["kind"] == "spike"
    assert alarm["size"] > 3
    assert alarm["sentence"].startswith("units of pear rose to ")


def test_quiet_shop_exits_0_with_no_alarm(shell):
    result = shell("--sales sales.csv --top 1 --false-alarms 0.0001 --json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["series"] == 2


def test_the_plot_that_was_is_refused_with_what_takes_its_place(shell):
    result = shell("--sales sales.csv --plot alarms.png")
    assert "--plot is no longer there; draw the series and the alarms of --json" in str(result.exception)
