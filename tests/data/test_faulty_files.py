"""Files that can be read but are hardly meant so: `data check` names each in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main

STORES, PRODUCTS, WEEKS, LINES = 4, 5, 40, 3
FIRST = pd.Timestamp("2023-01-02")
Tables = dict[str, pd.DataFrame]


def shop() -> Tables:
    """A shop without a fault: lines of one to four units in four stores, a deal every fourth week, costs that move a little."""
    rng = np.random.default_rng(0)
    week, store, product, line = (
        axis.ravel() for axis in np.meshgrid(range(WEEKS), range(STORES), range(PRODUCTS), range(LINES), indexing="ij")
    )
    regular = 2.0 + 0.5 * product
    deal = (week + product) % 4 == 0
    sales = pd.DataFrame(
        {
            "date": FIRST + pd.to_timedelta(7 * week + line, unit="D"),
            "product": np.char.add("p", product.astype(str)),
            "units": rng.integers(1, 5, len(week)),
            "price_paid": np.round(regular * np.where(deal, 0.8, 1.0), 2),
            "regular_price": regular,
            "unit_cost": np.round(0.6 * regular * (1 + 0.05 * (week > 20)), 2),
            "store": np.char.add("s", store.astype(str)),
            "basket": np.arange(len(week)),
        }
    )
    names = [f"p{n}" for n in range(PRODUCTS)]
    products = pd.DataFrame({"product": names, "category": "tea", "name": [f"tea {n}" for n in range(PRODUCTS)]})
    return {"sales": sales, "products": products}


def cost_of_a_case(tables: Tables) -> None:
    tables["sales"]["unit_cost"] *= 12


def cost_of_a_line(tables: Tables) -> None:
    tables["sales"]["unit_cost"] *= tables["sales"]["units"]


def cost_above_the_price(tables: Tables) -> None:
    tables["sales"]["unit_cost"] = 1.3 * tables["sales"]["price_paid"]


def cost_missing(tables: Tables) -> None:
    sales = tables["sales"]
    sales["unit_cost"] = sales["unit_cost"].mask(sales["product"].isin(["p1", "p3"]))


def closed_store(tables: Tables) -> None:
    sales = tables["sales"]
    closed = (sales["store"] == "s2") & sales["date"].between("2023-03-06", "2023-07-09")
    tables["sales"] = sales[~closed]


def store_closed_for_good(tables: Tables) -> None:
    sales = tables["sales"]
    tables["sales"] = sales[(sales["store"] != "s2") | (sales["date"] < "2023-03-06")]


def new_id(tables: Tables) -> None:
    sales, products = tables["sales"], tables["products"]
    later = (sales["product"] == "p1") & (sales["date"] >= "2023-06-05")
    sales["product"] = sales["product"].mask(later, "p9")
    tables["products"] = pd.concat([products, products[products["product"] == "p1"].assign(product="p9")])


def new_id_without_names(tables: Tables) -> None:
    new_id(tables)
    tables["products"] = tables["products"].drop(columns="name")


def two_packs(tables: Tables) -> None:
    sales = tables["sales"]
    large = (sales["product"] == "p3") & (sales["basket"] % 2 == 0)
    for column in ("price_paid", "regular_price", "unit_cost"):
        sales[column] = sales[column].mask(large, np.round(1.8 * sales[column], 2))


def weeks_without_a_sale(tables: Tables) -> None:
    sales = tables["sales"]
    tables["sales"] = sales.assign(units=sales["units"].mask(sales["basket"] % 20 == 0, 0))


def price_of_a_line(tables: Tables) -> None:
    tables["sales"]["price_paid"] *= tables["sales"]["units"]


def price_without_its_point(tables: Tables) -> None:
    tables["sales"].loc[40, "price_paid"] *= 100


def year_mistyped(tables: Tables) -> None:
    tables["sales"].loc[0, "date"] = pd.Timestamp("2034-01-02")


def store_spelled_otherwise(tables: Tables) -> None:
    tables["stock"] = pd.DataFrame({"date": FIRST, "product": "p1", "on_hand": 4, "store": ["s1", "S1"]})


def kinds_of_promotion(tables: Tables) -> None:
    kinds = ["deal", "coupon", "feature"]
    tables["promotions"] = pd.DataFrame({"start_date": FIRST, "product": "p1", "kind": kinds})


def vat_missing(tables: Tables) -> None:
    tables["products"]["vat"] = [0.19, 0.19, np.nan, 0.19, 0.07]


def store_without_vat(tables: Tables) -> None:
    sales, vat = tables["sales"], [0.19, 0.19, 0.07, 0.19, 0.07]
    tables["products"]["vat"] = vat
    rate = sales["product"].map(dict(zip(tables["products"]["product"], vat, strict=True)))
    for column in ("price_paid", "regular_price"):
        sales[column] = sales[column].mask(sales["store"] == "s3", np.round(sales[column] / (1 + rate), 2))


def paid_without_vat(tables: Tables) -> None:
    tables["products"]["vat"] = 0.19
    tables["sales"]["price_paid"] = np.round(tables["sales"]["price_paid"] / 1.19, 2)


def cost_above_the_price_without_vat(tables: Tables) -> None:
    tables["products"]["vat"] = 0.19
    tables["sales"]["unit_cost"] = np.round(0.95 * tables["sales"]["price_paid"], 2)


def regular_below_paid(tables: Tables) -> None:
    sales = tables["sales"]
    sales["regular_price"] = sales["regular_price"].mask(sales["basket"] % 10 == 0, 0.5)


FAULTS: dict[Callable[[Tables], None], str] = {
    cost_of_a_case: "sales: unit costs of 5 of 5 products are 7.2 times the price or more, as those of a case would be",
    cost_of_a_line: "sales: unit costs grow with the units of their line, as totals do: twice the units have 2 times the cost",
    cost_above_the_price: "sales: unit costs of 5 of 5 products are above the price in most lines (p0: cost 2.6, price 2,",
    cost_above_the_price_without_vat: "sales: unit costs of 5 of 5 products are above the price in most lines (p0: cost 1.9, "
    "price 1.681 without VAT,",
    vat_missing: "sales: vat of 1 of 5 products is missing (p2)",
    store_without_vat: "sales: stores whose prices are those of the others without VAT: s3;",
    paid_without_vat: "sales: price_paid is the regular price without VAT in 75% of the lines",
    cost_missing: "sales: unit costs of 2 of 5 products are missing (p3, p1)",
    closed_store: "sales: stores that sell nothing for weeks while most others sell: s2 (18 weeks from 2023-03-06)",
    store_closed_for_good: "sales: stores that sell nothing for weeks while most others sell: s2 (31 weeks from 2023-03-06)",
    new_id: "sales: products that may have got a new id: p1 ends and p9 begins in the week from 2023-06-05",
    new_id_without_names: "sales: products that may have got a new id: p1 ends and p9 begins in the week from 2023-06-05",
    two_packs: "sales: two price levels in the same weeks under one id: p3 (3.5 and 6.3)",
    regular_below_paid: "sales: rows with regular_price below price_paid, set to price_paid: 240",
    weeks_without_a_sale: "sales: rows with units 0, kept for their price: 120",
    price_of_a_line: "sales: lines of several units that cost as many times the price of one:",
    price_without_its_point: "sales: prices far from the product's usual one: 1 row",
    year_mistyped: "sales: 1 line dated 2034-01-02, which lies",
    kinds_of_promotion: "promotions: coupon and feature are kinds with an effect each",
    store_spelled_otherwise: "stock: 1 row of stores that no sale names, S1",
}
OF_COSTS_AND_PRODUCTS = ("unit costs", "stores that sell nothing", "new id", "two price levels", "units 0")


def copied_lines(tables: Tables) -> None:
    sales = tables["sales"]
    tables["sales"] = pd.concat([sales, sales.head(20)])


def dates_in_two_formats(tables: Tables) -> None:
    date = tables["sales"]["date"]
    tables["sales"]["date"] = date.dt.strftime("%Y-%m-%d").mask(date.index % 4 == 0, date.dt.strftime("%d.%m.%Y"))


def returned_units(tables: Tables) -> None:
    sales = tables["sales"]
    sales["units"] = sales["units"].where(sales["basket"] % 50 > 0, -1)


def decimal_commas(tables: Tables) -> None:
    price = tables["sales"]["price_paid"].astype(str)
    tables["sales"]["price_paid"] = price.mask(price.index % 4 == 0, price.str.replace(".", ","))


def currency_signs(tables: Tables) -> None:
    price = tables["sales"]["price_paid"].astype(str)
    tables["sales"]["price_paid"] = price.mask(price.index % 4 == 0, price + " EUR")


def vat_in_percent(tables: Tables) -> None:
    tables["products"]["vat"] = [0.19, 0.19, 0.19, 0.07, 7]


def vat_with_a_sign(tables: Tables) -> None:
    tables["products"]["vat"] = [0.19, 0.19, 0.19, 0.07, "7%"]


REJECTED: dict[Callable[[Tables], None], str] = {
    copied_lines: "  20 left out: row: an exact copy of an earlier one",
    dates_in_two_formats: "  600 left out: date: is not a date (YYYY-MM-DD)",
    returned_units: "sales: returns (negative units), left out: 48 lines, 48 units",
    decimal_commas: "  600 left out: price_paid: is not a number",
    currency_signs: "  600 left out: price_paid: is not a number",
    vat_in_percent: "  1 left out: vat: must be 0 or more and below 1: write 19% as 0.19",
    vat_with_a_sign: "  1 left out: vat: is not a number",
}
"""What `data check` says of files with rows that it cannot keep, beside exit code 2."""


def checked(tables: Tables, folder: Path, *more: str, code: int = 0) -> list[str]:
    """The lines of `data check`."""
    words = ["data", "check", *more]
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False)
        words += [f"--{name}", str(path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, result.output
    return result.stdout.splitlines()


def test_a_shop_without_a_fault_is_left_alone(tmp_path: Path) -> None:
    lines = checked(shop(), tmp_path)
    assert not [line for line in lines if any(words in line for words in OF_COSTS_AND_PRODUCTS)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_file_is_named_in_one_line(fault: Callable[[Tables], None], tmp_path: Path) -> None:
    tables = shop()
    fault(tables)
    named = [line for line in checked(tables, tmp_path) if line.startswith(FAULTS[fault])]
    assert len(named) == 1


@pytest.mark.parametrize("fault", REJECTED, ids=lambda fault: fault.__name__)
def test_rows_that_cannot_be_kept_are_counted_in_one_line(fault: Callable[[Tables], None], tmp_path: Path) -> None:
    tables = shop()
    fault(tables)
    named = [line for line in checked(tables, tmp_path, code=2) if line.startswith(REJECTED[fault])]
    assert len(named) == 1


def test_one_rate_of_vat_counts_like_the_column(tmp_path: Path) -> None:
    tables = shop()
    tables["sales"]["unit_cost"] = np.round(0.95 * tables["sales"]["price_paid"], 2)
    named = [line for line in checked(tables, tmp_path, "--vat", "0.19") if "above the price in most lines" in line]
    assert len(named) == 1
    assert "price 1.681 without VAT" in named[0]
    assert not [line for line in checked(tables, tmp_path) if "above the price in most lines" in line]


@pytest.mark.parametrize("fault", [cost_of_a_case, cost_of_a_line, cost_above_the_price], ids=lambda f: f.__name__)
def test_costs_of_the_product_table_and_of_weekly_sums_are_looked_at_too(
    fault: Callable[[Tables], None], tmp_path: Path
) -> None:
    tables = shop()
    fault(tables)
    sales = tables["sales"]
    if fault is not cost_of_a_line:
        cost = sales.groupby("product")["unit_cost"].median()
        tables["products"]["unit_cost"] = tables["products"]["product"].map(cost)
        tables["sales"] = sales.drop(columns="unit_cost")
    else:
        sums = sales.groupby([sales["date"].dt.to_period("W").dt.start_time, "store", "product"], as_index=False)
        prices = {"price_paid": "mean", "regular_price": "mean"}
        tables["sales"] = sums.agg({"date": "min", "units": "sum", "unit_cost": "sum"} | prices)
    assert any(line.startswith("sales: unit costs") and "missing" not in line for line in checked(tables, tmp_path))
