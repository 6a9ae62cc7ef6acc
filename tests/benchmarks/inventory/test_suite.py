from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from repricer.benchmarks.inventory import networks as command
from repricer.benchmarks.inventory.adapter import OrdersAroundRule
from repricer.benchmarks.inventory.suite import SEEDS, learned, score, shipped


def test_each_scenario_has_published_results_below_the_oracle():
    rows = shipped()
    assert len({row.name for row in rows}) == len(rows) == 20
    for row in rows:
        assert row.newsvendor <= row.rule <= row.programme <= row.oracle or row.goodwill == "yes"
        assert max(row.newsvendor, row.rule, row.rl, row.imitation, row.programme) <= row.oracle


def test_without_the_suite_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install gym-invmgmt"):
        command.main()


@pytest.mark.parametrize("row", shipped(), ids=lambda row: row.name)
def test_the_published_newsvendor_scores_here_what_its_authors_say(row):
    pytest.importorskip("gym_invmgmt")
    profits = score(OrdersAroundRule(row.build()))
    assert len(profits) == len(SEEDS)
    assert profits.mean() == pytest.approx(row.newsvendor, abs=0.01)


def test_ppo_is_trained_on_a_scenario_and_scored():
    pytest.importorskip("gym_invmgmt")
    row = shipped()[-1]
    model, scale = learned(row.build, run=0, steps=1920)
    profits = score(OrdersAroundRule(row.build(), scale), model)
    assert np.isfinite(profits).all()
    assert profits.mean() < row.oracle
