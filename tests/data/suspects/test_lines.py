"""What can hardly be meant is said by the import and the check."""

import numpy as np
import polars as pl
from repricer.data import import_tables
from repricer.data.suspects.lines import suspects


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
