"""The calendars of price experiments: how they are read, and what they make of regular prices."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repricer.data import DataError, Tables, load_experiments, sales_panel, with_prices

WEEKS = pd.date_range("2024-01-01", periods=30, freq="7D")
TESTED = WEEKS[20:24]


def calendar(price: Any = 1.8, planned: Any = 2.0, store="a", weeks=TESTED, arm="test"):
    return pd.DataFrame(
        {
            "store": store,
            "week": weeks.strftime("%Y-%m-%d"),
            "product": "tea",
            "group": "tea",
            "arm": arm,
            "price": price,
        }
    ).assign(planned_price=planned)


@pytest.fixture
def folder(tmp_path):
    """Writes a calendar, and perhaps a plan, into a folder."""

    def write(rows, plan=None):
        rows.to_csv(tmp_path / "calendar.csv", index=False)
        if plan is not None:
            (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        return tmp_path

    return write


def panel_of(paid, experiments=None):
    """The panel of store a, which paid these prices week by week, and of store b, which always paid 2.00."""
    rows = [
        pd.DataFrame({"date": WEEKS, "store": store, "product": "tea", "units": 5.0, "price_paid": price})
        for store, price in (("a", paid), ("b", 2.0))
    ]
    sales = pd.concat(rows).assign(regular_price=lambda table: table["price_paid"])
    return with_prices(sales_panel(Tables(sales, experiments=experiments))).sel(product="tea")


def paid(test=1.8):
    return np.where(WEEKS.isin(TESTED), test, 2.0)


def test_a_test_price_of_four_weeks_is_no_deal(folder):
    without = panel_of(paid())["regular_price"].sel(store="a", week=TESTED)
    np.testing.assert_allclose(without, 2.0)  # It would be a deal of 10%.
    found = panel_of(paid(), load_experiments([folder(calendar())]))["regular_price"]
    np.testing.assert_allclose(found.sel(store="a", week=TESTED), 1.8)
    np.testing.assert_allclose(found.sel(store="a", week=~WEEKS.isin(TESTED)), 2.0)
    np.testing.assert_allclose(found.sel(store="b"), 2.0)


def test_a_higher_test_price_makes_no_deals_of_the_weeks_around_it(folder):
    found = panel_of(paid(2.4), load_experiments([folder(calendar(2.4))]))["regular_price"].sel(store="a")
    np.testing.assert_allclose(found, paid(2.4))


def test_what_is_sold_below_a_test_price_is_a_deal_from_it(folder):
    rows = load_experiments([folder(calendar(2.2))])
    panel = panel_of(np.where(TESTED[1] == WEEKS, 1.65, paid(2.2)), rows).sel(store="a", week=TESTED)
    np.testing.assert_allclose(panel["regular_price"], 2.2)
    np.testing.assert_allclose(panel["price"][1] / panel["regular_price"][1], 0.75)
    assert (panel["followed"] == 1).all()


def test_a_planned_deal_in_the_calendar_is_a_deal_from_the_price_of_its_other_weeks(folder):
    deal = np.array([1.0, 0.7, 1.0, 1.0])
    rows = load_experiments([folder(calendar(2.2 * deal, 2.0 * deal))])
    charged = paid(2.2)
    charged[WEEKS.isin(TESTED)] *= deal
    panel = panel_of(charged, rows).sel(store="a", week=TESTED)
    np.testing.assert_allclose(panel["regular_price"], 2.2)
    np.testing.assert_allclose(panel["assigned"], np.log(1.1))


@pytest.mark.parametrize(("asked", "charged", "broken"), [(2.2, 2.0, 1), (1.8, 2.0, 1), (1.8, 1.9, 1), (2.2, 2.2, 0)])
def test_a_store_that_charges_another_price_has_broken_the_calendar(folder, asked, charged, broken):
    panel = panel_of(paid(charged), load_experiments([folder(calendar(asked))])).sel(store="a", week=TESTED)
    assert (panel["broken"] == broken).all()
    assert (panel["followed"] == 1 - broken).all()
    np.testing.assert_allclose(panel["regular_price"], max(charged, 2.0) if broken else charged)


@pytest.mark.parametrize(("days", "left"), [(0, [1, 1, 1, 1]), (3, [1, 1, 1, 1]), (7, [0, 0, 0, 1]), (8, [0, 0, 0, 1])])
def test_weeks_of_the_washout_after_a_change_of_arm_are_not_read(folder, days, left):
    rows = calendar(np.array([1.8, 2.0, 1.8, 1.8]))
    charged = paid()
    charged[WEEKS.isin(TESTED)] = rows["price"]
    panel = panel_of(charged, load_experiments([folder(rows, {"washout_days": days})]))
    assert panel["followed"].sel(store="a", week=TESTED).to_numpy().tolist() == left


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (calendar().drop(columns="arm"), "must have the columns store, week.*; got no arm"),
        (calendar(arm="treatment"), "row 2: arm must be test or control; got 'treatment'"),
        (calendar(price=0.0), "row 2: price must be a price above 0; got '0.0'"),
        (calendar().assign(week="week 1"), "row 2: week must be a first day, YYYY-MM-DD; got 'week 1'"),
        (
            pd.concat([calendar(), calendar()]),
            "a price once by store, week and product; got two of tea in a from 2024-05-20",
        ),
    ],
)
def test_a_wrong_calendar_is_refused_in_one_line(folder, rows, message):
    with pytest.raises(DataError, match=message) as refused:
        load_experiments([folder(rows)])
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_calendar_and_weeks_that_begin_on_another_day_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="must be a folder with calendar"):
        load_experiments([tmp_path / "none"])
    rows = load_experiments([folder(calendar(weeks=TESTED + pd.Timedelta(days=1)))])
    with pytest.raises(DataError, match=r"must begin on Mondays, .*got Tuesday, 2024-05-21"):
        panel_of(paid(), rows)


def test_a_calendar_that_was_changed_after_the_plan_is_refused(folder):
    place = folder(calendar(), {"washout_days": 0})
    digest = hashlib.sha256((place / "calendar.csv").read_bytes()).hexdigest()
    folder(calendar(), {"washout_days": 0, "calendar": digest})
    assert len(load_experiments([place])) == len(TESTED)
    folder(calendar(price=1.7))
    with pytest.raises(DataError, match=r"calendar.csv must be the one that was planned; got one that was changed"):
        load_experiments([place])
