import re

from repricer.agents.tuning.plotting import plot_trials


def words(rows, path) -> set[str]:
    """What an SVG of the trials says; matplotlib notes each text beside its outlines."""
    plot_trials([{"gain": gain, "state": state} for gain, state in rows], path)
    return set(re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8")))


def test_every_kind_of_trial_is_drawn_and_the_preset_where_it_has_a_gain(tmp_path):
    rows = [(1.0, "complete"), (0.5, "pruned"), (None, "failed"), (1.2, "complete")]
    assert {"complete", "pruned", "failed", "best so far", "preset"} <= words(rows, tmp_path / "all.svg")
    rows = [(None, "failed"), (0.4, "complete")]
    said = words(rows, tmp_path / "few.svg")
    assert {"failed", "best so far"} <= said
    assert "preset" not in said
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["all.svg", "few.svg"]


def test_a_bad_trial_does_not_press_the_others_together(tmp_path):
    for low in (0.5, -1e6):
        rows = [(1.0, "complete"), (low, "complete"), (1.1, "complete"), (0.9, "complete")]
        assert any(word.startswith("0.9") for word in words(rows, tmp_path / "plot.svg")), "no tick among the good ones"
