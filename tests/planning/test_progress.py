"""Long jobs in stages: each is done once."""

import time

import pytest
from repricer.planning import progress
from repricer.planning.progress import Stages


def test_a_stage_is_done_once_and_its_lines_are_told_each_time(tmp_path):
    told, calls = [], []

    def work():
        calls.append(1)
        return {"lines": ["something"], "number": 3}

    for _ in range(2):
        stages = Stages(tmp_path / "job", {"seed": 0}, told.append)
        assert stages.run("one", "First", work)["number"] == 3
    assert len(calls) == 1
    assert told.count("   something") == 2
    assert any("already done" in line for line in told)
    assert stages.timings[0]["stage"] == "one"


def test_a_stage_that_fails_is_begun_again(tmp_path):
    stages = Stages(tmp_path, {}, lambda _: None)
    with pytest.raises(RuntimeError):
        stages.run("one", "First", lambda: (_ for _ in ()).throw(RuntimeError))
    assert stages.run("one", "First", lambda: {"lines": []})["seconds"] >= 0


def test_a_folder_of_another_job_is_refused(tmp_path):
    Stages(tmp_path, {"seed": 0}, lambda _: None).run("one", "First", lambda: {"lines": []})
    with pytest.raises(ValueError, match="was started with"):
        Stages(tmp_path, {"seed": 1}, lambda _: None)


def test_details_are_told_where_asked_for_even_after_the_stage_is_done(tmp_path):
    for details in (False, True):
        told = []
        Stages(tmp_path, {}, told.append, details=details).run("one", "First", lambda: {"lines": ["main", "  detail"]})
        assert ("     detail" in told) == details
        assert "   main" in told


def test_long_work_gives_signs_of_life_and_none_once_it_is_done(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(progress, "_EVERY", 0.02)
    monkeypatch.setattr(progress, "show_line", said.append)

    def work():
        deadline = time.monotonic() + 5
        while len(said) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return {"lines": []}

    Stages(tmp_path, {}, lambda _: None).run("one", "Fit the market", work)
    assert len(said) >= 2
    assert said[0].startswith("  Fit the market: ")
    told = len(said)
    time.sleep(0.1)
    assert len(said) == told
