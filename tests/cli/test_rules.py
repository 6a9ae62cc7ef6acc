"""`repricer rules`: a table or a document of what each price rule costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from repricer.scenarios import MarketSpec
from repricer.scenarios.loading import save_scenario
from repricer.scenarios.sections import Posterior

from .calls import document, run


@pytest.fixture(scope="module")
def market(make_shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec: MarketSpec = make_shop(
        market={"horizon_periods": 3},
        stock=None,
        products={"names": ["[b]Assam", "Darjeeling tea", "milk"]},
        prices={"max_change": 0.02, "frozen": ["milk"], "bounds_from_sales": ["[b]Assam"]},
    )
    drawn = replace(spec, posterior=Posterior(draws=4, arrivals=[[[0.8]], [[0.9]], [[1.1]], [[1.2]]]))
    return save_scenario(drawn, tmp_path_factory.mktemp("rules") / "market")


def test_a_table_and_a_file(market: Path, tmp_path: Path) -> None:
    out = tmp_path / "prices.rules.json"
    shown = run("rules", "cost", market, "--out", out, env={"COLUMNS": "200"}).stdout
    for text in (
        "What each rule of small-shop costs",
        "max change",
        "all rules*",
        "no choice: frozen leave 'milk' at 3",
        str(out),
    ):
        assert text in shown
    assert "[b]Assam" in shown
    found = json.loads(out.read_text())
    assert found == document("rules", "cost", market)
    costs = [one["cost"] for one in found["rules"]]
    assert costs == sorted(costs, reverse=True)
    assert {one["rule"] for one in found["rules"]} >= {
        "max_change",
        "frozen",
        "floor",
        "floor_from_sales",
        "max_discount",
    }


def test_fewer_draws_are_chosen_by_the_seed(market: Path) -> None:
    one, same, other = (document("rules", "cost", market, "--draws", 2, "--seed", seed) for seed in (1, 1, 3))
    assert one == same
    assert one["draws"] == 2
    assert one["revenue"] != other["revenue"]


def test_what_is_wrong_is_one_line() -> None:
    refused = document("rules", "cost", "gallego-van-ryzin", code=2)
    assert "rules cost needs a logit market with ample stock" in refused
    assert refused.count("\n") == 1
