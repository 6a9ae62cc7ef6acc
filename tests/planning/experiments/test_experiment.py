"""The folder of an experiment: round trip, hash, and refusals."""

import json
from datetime import date

import msgspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from repricer.planning.experiments.designs import Design
from repricer.planning.experiments.effects import Analysis, Power
from repricer.planning.experiments.experiment import (
    Experiment,
    Group,
    PlannedExperiment,
    Reading,
    calendar_digest,
    cells_of,
    load_experiment,
    outcomes_of,
)

STORES = ("lyon", "nice", "metz", "pau")


def build(worth=None):
    groups = tuple(
        Group(name, "drinks", (name,), change, share)
        for name, change, share in (("tea", 0.1, 0.6), ("coffee", -0.05, 0.4))
    )
    design = Design("both", 2, 2, 7, np.arange(4.0)[:, None])
    arms = design.draw(np.random.default_rng(0), 2)
    rows = [
        {
            "store": store,
            "week": pd.Timestamp("2024-01-01") + pd.Timedelta(weeks=w),
            "product": group.name,
            "group": group.name,
            "arm": "test" if arms[g, s, w // 2] else "control",
            "price": round(2.0 * (1 + group.change * arms[g, s, w // 2]), 2),
            "planned_price": 2.0,
        }
        for g, group in enumerate(groups)
        for s, store in enumerate(STORES)
        for w in range(4)
    ]
    calendar = pd.DataFrame(rows)
    analysis = Analysis(0.8, 0.3, 0.9, 14, 28)
    readings = tuple(
        Reading(name, "units", measure, ("tea", "coffee"), analysis, Power(0.05, 0.04))
        for name, measure in (("drinks", "elasticity"), ("all", "all"))
    )
    plan = PlannedExperiment(
        "autumn",
        "shop",
        date(2024, 1, 1),
        "both",
        2,
        2,
        7,
        0,
        STORES,
        groups,
        readings,
        {"tea": 1.0, "coffee": 1.0},
        calendar_digest(calendar),
        worth or {"gain": 1.0},
        "at its end",
        date(2024, 1, 14),
        10.0,
        {},
    )
    return Experiment(plan, calendar), arms


def test_a_folder_gives_back_what_was_written(tmp_path):
    experiment, arms = build()
    experiment.save(tmp_path / "autumn")
    found = load_experiment(tmp_path / "autumn")
    assert found.plan == experiment.plan
    pd.testing.assert_frame_equal(found.calendar, experiment.calendar, check_dtype=False)
    assert (found.arms == arms).all()
    assert found.plan.digest == experiment.plan.digest


def test_the_hash_holds_the_analysis_and_the_calendar_but_not_what_is_expected():
    plan = build()[0].plan
    assert build({"gain": 2.0})[0].plan.digest == plan.digest
    for change in ({"calendar": "0"}, {"washout_days": 6}, {"readings": plan.readings[:1]}):
        assert msgspec.structs.replace(plan, **change).digest != plan.digest


def test_a_plan_without_vat_has_the_hash_of_an_earlier_version():
    digest = "f40a79cb0808124df629af1c7fe5889800073043180745526293322ee64f5e71"
    plan = build()[0].plan
    assert plan.digest == digest
    assert msgspec.structs.replace(plan, vat={"tea": 0.07}).digest != digest


def test_money_is_read_without_vat():
    plan = msgspec.structs.replace(build()[0].plan, vat={"tea": 0.25})
    axes = ("store", "product", "day")
    one = np.ones((1, 2, 1))
    sold = xr.Dataset({"units": (axes, 10 * one), "revenue": (axes, 20 * one)}, {"product": ["tea", "coffee"]})
    found = {name: outcomes_of(plan, sold, name, "all", ("all",)).item() for name in ("revenue", "profit")}
    assert found == {"revenue": 20 / 1.25 + 20, "profit": 20 / 1.25 + 20 - 20}


def test_a_calendar_that_was_changed_is_refused(tmp_path):
    build()[0].save(tmp_path / "autumn")
    file = tmp_path / "autumn" / "calendar.csv"
    file.write_text(file.read_text().replace("2.2", "2.3"))
    with pytest.raises(ValueError, match=r"calendar.csv must be the one that was planned; got one that was changed"):
        load_experiment(tmp_path / "autumn")


def test_an_experiment_is_not_planned_twice(tmp_path):
    experiment, _ = build()
    experiment.save(tmp_path / "autumn")
    with pytest.raises(ValueError, match="is not planned again"):
        experiment.save(tmp_path / "autumn")


def test_units_of_the_readings():
    plan = build()[0].plan
    elasticity, together = (cells_of(plan, reading.measure, reading.groups) for reading in plan.readings)
    assert elasticity.loading.shape == (8, 2)
    # What an elasticity of -2 makes of +10%, over -2.
    assert elasticity.loading[0, 0] == pytest.approx((1 - 1.1**-2) / 2)
    assert together.loading[0].tolist() == [0.6, 0.4]


def test_a_plan_that_was_changed_is_refused(tmp_path):
    build()[0].save(tmp_path / "plan")
    file = tmp_path / "plan" / "plan.json"
    file.write_text(file.read_text().replace('"share": 0.6', '"share": 0.9'))
    with pytest.raises(ValueError, match=r"plan\.json must be the one that was planned; got one that was changed"):
        load_experiment(tmp_path / "plan")


def test_it_prints_short_and_is_a_table_and_plain_data():
    experiment = build()[0]
    assert len(repr(experiment)) < 200
    assert experiment.to_frame().equals(experiment.calendar)
    assert json.loads(json.dumps(experiment.to_dict()))["sha256"] == experiment.plan.digest
