"""Rows and customers that may stand for no demand are flagged."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import flagged_customers, import_tables, load_tables, product_weeks
from repricer.data.stray_dates import stray_dates
from repricer.data.suspects import odd_dates, suspects
from repricer.privacy.pseudonyms import pseudonymise

KEY = b"a key for tests only"
START = pd.Timestamp("2023-01-02")
SALES = "date,product,units,price_paid,regular_price,store\n2024-01-01,A,1,1,1,N1\n2024-01-09,B,1,1,1,S1\n"
STOCK = "date,product,on_hand,store\n2024-01-01,A,4,N1\n2024-01-02,A,5,n1\n2024-01-02,B,5,\n"
PROMOTIONS = "start_date,product,store\n" + "".join(f"2024-01-01,A,{store}\n" for store in ("S1", *"fedcba"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Fifty honest customers of 60 days, one of each kind of fraud, and lines without a customer."""
    rng, count, folder = np.random.default_rng(0), 2000, tmp_path_factory.mktemp("fraud")
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d").to_numpy()
    honest = pd.DataFrame(
        {
            "date": rng.choice(days, count),
            "product": rng.choice(["milk", "wine"], count),
            "units": rng.choice([1, 2, 3], count),
            "price_paid": 2.0,
            "customer": [f"c{n}" if n < 50 else "" for n in rng.integers(0, 51, count)],
            "basket": [f"b{n}" for n in range(count)],
        }
    )
    bought = pd.DataFrame(
        [
            (days[3], "milk", 90, 2.0, "burst", "x1"),
            *((day, "wine", 6, 2.0, "back", f"y{i}") for i, day in enumerate(days[:20])),
            *((day, "wine", -6, 2.0, "back", f"z{i}") for i, day in enumerate(days[:15])),
            ("2024-01-05", "milk", 1, 2.0, "probe", "w1"),
        ],
        columns=list(honest),
    )
    looks = pd.DataFrame(
        {
            "date": [*rng.choice(days, 500), *[days[9]] * 300],
            "product": "milk",
            "event": "view",
            "customer": [*(f"c{n}" for n in rng.integers(0, 50, 500)), *["probe"] * 300],
        }
    )
    paths = {"sales": folder / "sales.csv", "behaviour": folder / "behaviour.csv"}
    pd.concat([honest, bought]).to_csv(paths["sales"], index=False)
    looks.to_csv(paths["behaviour"], index=False)
    return paths


def test_each_planted_customer_is_flagged_with_its_reason_and_no_honest_one(files: dict[str, Path]) -> None:
    _, report = import_tables(files, key=KEY)
    burst, back, probe = pseudonymise(pd.Series(["burst", "back", "probe"]), key=KEY)
    assert report.flagged.keys() == {burst, back, probe}
    assert report.flagged[burst].startswith("bought 90 units in a day (usual ")
    assert report.flagged[back] == "returned 90 units (usual 0)"
    assert report.flagged[probe].startswith("looked at prices 300 times in a day (usual ")
    assert f"  {burst}: {report.flagged[burst]}" in report.lines()


def test_the_option_leaves_them_out_and_every_row_is_still_counted(files: dict[str, Path], tmp_path: Path) -> None:
    given = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    out = tmp_path / "shop"
    result = CliRunner().invoke(main, ["data", "import", *given, "--without-flagged", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    report, tables = json.loads(result.stdout), load_tables(out)
    assert report["dropped"]["sales"]["customer: flagged, see the report"] == 22
    assert report["dropped"]["behaviour"] == {"customer: flagged, see the report": 300}
    for name in files:
        assert report["read"][name] == report["kept"][name] + sum(report["dropped"][name].values())
        assert len(getattr(tables, name)) == report["kept"][name]
    assert not set(report["flagged"]) & set(tables.sales["customer"].dropna())
    assert tables.sales["customer"].isna().any()
    # Pseudonyms stay where erasure finds them.
    assert not any(one in (out / "import.json").read_text() for one in report["flagged"])
    checked = CliRunner().invoke(main, ["data", "check", *given])
    assert "customers flagged, who may be no customers: 3" in checked.stdout


def test_few_customers_or_none_flag_nobody() -> None:
    rows = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "customer": list("abc"), "units": [1.0, 1.0, 500.0]})
    assert flagged_customers(rows) == {}
    assert flagged_customers(rows.drop(columns="customer")) == {}
    assert flagged_customers(rows.assign(customer=None)) == {}


def sales_of(weeks: list[int], stray: tuple[str, ...] = (), each: int = 10) -> pd.DataFrame:
    """So many lines on Monday and Saturday of some weeks, and one on each stray day."""
    days = [START + pd.Timedelta(weeks=week, days=day) for week in weeks for day in (0, 5) for _ in range(each // 2)]
    dates = sorted([*days, *map(pd.Timestamp, stray)])
    return pd.DataFrame({"date": dates, "product": "A", "units": 1.0, "price_paid": 2.0, "regular_price": 2.0})


def days_of(sales: pd.DataFrame) -> pl.DataFrame:
    return pl.from_pandas(sales[["date"]]).group_by("date").agg(lines=pl.len())


def test_lines_far_from_all_others_are_stray():
    found = stray_dates(days_of(sales_of(list(range(30)), ("2009-12-28", "2020-12-28", "2034-09-23"))))
    assert [str(one) for one in found] == [
        "2 lines dated 2009-12-28 to 2020-12-28, which lie 105 weeks before all others",
        "1 line dated 2034-09-23, which lies 582 weeks after all others",
    ]


@pytest.mark.parametrize(
    ("weeks", "stray", "each"),
    [
        ([*range(20), *range(50, 90)], (), 10),  # a closure
        ([*range(40), 60], (), 10),  # a shop that has just opened again
        ([0, *range(30, 60)], (), 10),  # or that tried a week before it opened
        (list(range(30)), ("2023-08-20",), 10),  # three weeks
        ([0, 5, 11, 12, 19, 30], (), 2),  # a shop that sells next to nothing has no silence of its own
        ([3], (), 10),
    ],
)
def test_a_closure_leaves_nothing_stray(weeks, stray, each):
    assert stray_dates(days_of(sales_of(weeks, stray, each))) == []
    assert stray_dates(days_of(sales_of([], ()))) == []


@pytest.mark.parametrize("days", [7, 1])
@pytest.mark.parametrize("stray", ["2020-12-28", "2023-12-20", "2034-09-23"])
def test_a_stray_line_changes_no_panel(stray, days):
    good, odd = sales_of(list(range(30))), sales_of(list(range(30)), (stray,))
    with pytest.warns(UserWarning, match=rf"left out 1 line dated {stray}, which lies .* correct or delete it"):
        panel = product_weeks(odd, days=days)
    pd.testing.assert_frame_equal(panel, product_weeks(good, days=days))


def test_days_after_today_are_said():
    days = pl.DataFrame({"date": pd.date_range("2024-03-01", periods=3), "lines": [5, 1, 2]})
    assert odd_dates(days, date(2024, 3, 3)) == []
    assert odd_dates(days, date(2024, 3, 1)) == [
        "dates after today, 2024-03-01: 3 lines, the first on 2024-03-02; correct or delete them"
    ]


def test_the_import_says_odd_dates(write, key):
    sales = sales_of(list(range(30)), ("2020-12-28", "2090-09-23")).assign(basket=range(302))
    _, report = import_tables({"sales": write("sales.csv", sales.to_csv(index=False))}, key=key)
    early, late, future = report.notes
    assert early == (
        "sales: 1 line dated 2020-12-28, which lies 105 weeks before all others; models leave that out; "
        "correct or delete it"
    )
    assert "2090-09-23, which lies 3504 weeks after all others" in late
    assert "dates after today" in future
    assert future.endswith("1 line, the first on 2090-09-23; correct or delete it")
    assert report.kept == {"sales": 302}


def test_days_with_a_fifth_of_the_usual_lines_are_named():
    """A hundred lines a day, ten on Sundays, and nineteen on one Tuesday."""
    dates = pd.date_range("2023-01-02", periods=70)
    lines = [10 if day.day_of_week == 6 else 100 for day in dates]
    days = pl.DataFrame({"date": dates, "lines": lines})
    assert odd_dates(days) == []
    thin = days.with_columns(lines=pl.when(pl.col("date") == pl.lit(dates[29])).then(19).otherwise("lines"))
    (note,) = odd_dates(thin)
    assert note.startswith(
        "days with less than a fifth of the lines that are usual on their weekday: 2023-01-31 (19, usually 100); models"
    )
    assert odd_dates(days.with_columns(pl.col("lines") // 10)) == []  # of few lines, few are nothing unusual


def lines(count: int = 400, seed: int = 0) -> pl.DataFrame:
    """Clean unit prices: two products with reductions, bought singly, in pairs and in threes."""
    rng = np.random.default_rng(seed)
    product = rng.choice(["milk", "wine"], count)
    price = np.where(product == "milk", 3.87, 9.99) * rng.choice([1.0, 0.5, 0.8], count)
    return pl.DataFrame({"product": product, "units": rng.choice([1.0, 2.0, 3.0], count), "price_paid": price.round(2)})


def test_clean_lines_raise_no_suspicion():
    assert suspects(lines()) == []


def test_a_lost_decimal_point_and_a_mistyped_number_of_units_are_said():
    wrong = pl.DataFrame({"product": ["milk", "milk"], "units": [1.0, 999_999.0], "price_paid": [387.0, 3.87]})
    price, units = suspects(pl.concat([lines(), wrong]))
    assert price == (
        "prices far from the product's usual one: 1 row (387 for 'milk', usually 3.1); check the decimals of these lines"
    )
    assert units.startswith(
        "far more units than a line of the product usually has: 1 row (999,999 of 'milk', usually 2)"
    )


def test_line_totals_among_unit_prices_are_said():
    rows = lines()
    mixed = (pl.col("units") > 1) & (pl.int_range(pl.len()) % 4 == 0)
    rows = rows.with_columns(
        pl.when(mixed).then(pl.col("price_paid") * pl.col("units")).otherwise("price_paid").name.keep()
    )
    (note,) = suspects(rows)
    assert note.startswith("lines of several units that cost as many times the price of one: ")
    assert "declare price_paid a total" in note


def test_the_import_passes_the_suspicion_on(write, key):
    text = "date,product,units,price_paid\n" + "".join(f"2024-01-{d:02},A,1,3.87\n" for d in range(1, 20))
    _, report = import_tables({"sales": write("sales.csv", text + "2024-01-20,A,1,387\n")}, key=key)
    assert any("387 for 'A', usually 3.87" in note for note in report.notes)


def test_turnover_taken_for_units_is_said():
    """A mapping that divides the turnover by itself."""
    rows = lines().with_columns(units=pl.col("price_paid") * pl.col("units"), price_paid=pl.lit(1.0))
    (note,) = suspects(rows)
    assert note == (
        "all 400 lines have the price 1, whatever the product; is another column the units, and this one their turnover?"
    )
    assert suspects(rows.filter(pl.col("product") == "milk")) == []


def test_stores_that_no_sale_names_are_said(write, key):
    texts = {"sales": SALES, "stock": STOCK, "promotions": PROMOTIONS}
    paths = {name: write(f"{name}.csv", text) for name, text in texts.items()}
    _, report = import_tables(paths, key=key)
    assert report.notes == (
        "stock: 1 row of stores that no sale names, n1; if they sell, name them as the sales do",
        "promotions: 6 rows of stores that no sale names, a, b, c, d, e and 1 more; if they sell, name them as the sales "
        "do",
    )
    assert report.kept == {"sales": 2, "stock": 3, "promotions": 7}
    paths["sales"] = write("whole.csv", "\n".join(line.rpartition(",")[0] for line in SALES.splitlines()))
    _, report = import_tables(paths, key=key)
    assert report.notes == ()
