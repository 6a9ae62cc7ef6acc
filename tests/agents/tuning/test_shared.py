"""A study in a database is one, whoever works on it; the trial of a worker that dies is tried again."""

from __future__ import annotations

import time

import pytest
from repricer.agents import settings_for
from repricer.agents.tuning import study as studies
from repricer.agents.tuning.search_space import SearchSpace
from repricer.scenarios import load_scenario

from .conftest import EVALUATIONS, study


def test_a_trial_whose_worker_is_silent_is_tried_again_and_does_not_count(tmp_path, lessons, monkeypatch):
    monkeypatch.setattr(studies, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(studies, "GRACE_SECONDS", 1)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study(tmp_path / "a", 1, storage=url)
    held = studies.open_database(url, "stationary-logit-ppo", EVALUATIONS)
    # A worker that dies in its trial: it has reported once that it lives.
    left = held.ask()
    drawn = SearchSpace("ppo", settings_for(load_scenario("stationary-logit"), "ppo").to_dict()).draw(left)
    held._storage.record_heartbeat(left._trial_id)
    time.sleep(2.5)
    found = study(tmp_path / "b", 2, storage=url)
    assert [row["state"] for row in found.trials] == ["complete", "failed", "complete"]
    assert found.trials[1]["reason"] == "its worker died or was interrupted"
    assert {name: found.trials[2][name] for name in drawn} == drawn


def test_a_shared_study_is_one_of_a_scenario_and_its_settings(tmp_path, lessons):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study(tmp_path / "a", 1, storage=url)
    with pytest.raises(ValueError, match="the database holds a study with steps 1200; got 900"):
        study(tmp_path / "b", 1, storage=url, steps=900)
    with pytest.raises(
        ValueError, match=r"--storage must be the URL of a database with studies; got nonsense: .*; choose another"
    ):
        study(tmp_path / "b", 1, storage="nonsense")
