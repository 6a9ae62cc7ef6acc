"""Shops of other shapes get a sensible answer, or one line that says what is lacking."""

import numpy as np
import pandas as pd
import pytest
from repricer.data import (
    DataError,
    Tables,
    choose_products,
    import_tables,
    load_mapping,
    mapping_template,
    product_weeks,
)

from .shop_shapes import baskets, chain


def test_stores_with_prices_of_their_own_are_refused_by_that_cause():
    tables = chain()
    with pytest.raises(DataError, match="the 83 stores have prices of their own: fit them by zone"):
        choose_products(tables)
    # Some products whose prices agree over all stores are no reason to price these alone.
    same = tables.sales["product"] == "p0"
    some = tables.sales.assign(regular_price=tables.sales["regular_price"].mask(same, 3.0))
    with pytest.raises(DataError, match="the 83 stores have prices of their own: fit them by zone"):
        choose_products(Tables(some, tables.products))
    one = Tables(tables.sales[tables.sales["store"] == "s7"], tables.products)
    assert len(choose_products(one)) == 4


def test_a_chain_with_one_price_is_chosen_from_in_spite_of_closed_weeks():
    tables = chain(zones=0.0, closed=0.1)
    assert len(choose_products(tables)) == 4
    shut = tables.sales["date"].ne(tables.sales["date"].min() + pd.Timedelta(weeks=20))
    panel = product_weeks(Tables(tables.sales[shut], tables.products))
    assert panel["week"].nunique() == 40  # a week in which all stores were closed stays in the calendar
    assert len(choose_products(Tables(tables.sales[shut], tables.products))) == 4


def test_prices_that_never_moved_are_refused_by_that_cause():
    tables = chain(stores=2, zones=0.0)
    still = tables.sales.assign(price_paid=tables.sales["regular_price"])
    with pytest.raises(DataError, match=r"0 of these at varying prices.*prices that never moved"):
        choose_products(Tables(still, tables.products))


def test_receipts_with_line_totals_come_in_by_the_guessed_mapping(write, key):
    path = write("sales.csv", baskets().to_csv(index=False))
    mapping = load_mapping(write("map.toml", mapping_template({"sales": path})))
    tables, report = import_tables({"sales": path}, key=key, mapping=mapping)
    assert report.kept["sales"] > 0.95 * report.read["sales"]  # some lines are exact copies
    assert tables.sales["price_paid"].between(0.5, 9.01).all()
    assert not any("price of one" in note for note in report.notes)
    assert tables.sales["product"].nunique() > 500


def test_weighed_goods_of_several_stores_are_no_price_zones():
    tables = chain(stores=5, zones=0.0)
    rng = np.random.default_rng(0)
    weighed = tables.sales["product"].isin(["p0", "p1", "p2"])
    price = tables.sales["regular_price"] * rng.uniform(0.5, 1.5, len(tables.sales))
    odd = tables.sales.assign(regular_price=tables.sales["regular_price"].mask(weighed, price))
    assert choose_products(Tables(odd, tables.products))["product"].tolist() == ["p3"]
