from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.data import DataError, Tables, choose_market, choose_products, reasons_not_chosen, revenue_shares

WEEKS = 20


def product(name: str, seed: int, *, price: float = 2.0, units: int = 10, move: float = 0.1, weeks: int = WEEKS):
    """Two sale lines a week, at a price that moves by `move` (standard deviation of its log)."""
    rng = np.random.default_rng(seed)
    paid = price * np.exp(rng.normal(0, move, WEEKS))
    days = pd.date_range("2024-01-01", periods=WEEKS, freq="7D")
    frame = pd.DataFrame({"date": days, "product": name, "units": float(units), "price_paid": paid})
    frame = frame.assign(regular_price=price * 1.5).head(weeks)
    return pd.concat([frame, frame.assign(date=frame["date"] + pd.Timedelta(days=3))])


@pytest.fixture
def parts() -> dict[str, pd.DataFrame]:
    """Category a: three good products. Category b: two, with more revenue."""
    return {
        "a1": product("a1", 1, units=9),
        "a2": product("a2", 2, units=8),
        "a3": product("a3", 3, units=7),
        "b1": product("b1", 4, price=20, units=5),
        "b2": product("b2", 5, price=20, units=6),
    }


def tables_of(parts: dict[str, pd.DataFrame]) -> Tables:
    products = pd.DataFrame({"product": list(parts), "category": [name[0] for name in parts]})
    return Tables(pd.concat(parts.values(), ignore_index=True), products)


def test_best_sellers_by_category(parts):
    chosen = choose_products(tables_of(parts), n_categories=2, per_category=3)
    assert chosen["product"].tolist() == ["b2", "b1", "a1", "a2", "a3"]
    assert chosen["category"].tolist() == ["b"] * 2 + ["a"] * 3
    assert chosen["units"].tolist() == [2 * WEEKS * units for units in (6, 5, 9, 8, 7)]
    assert chosen["weeks_share"].tolist() == [1.0] * 5


def test_categories_go_by_revenue(parts):
    chosen = choose_products(tables_of(parts), n_categories=1, per_category=2)
    assert chosen["product"].tolist() == ["b2", "b1"]


def test_price_variation_is_the_deviation_of_the_weekly_log_price(parts):
    chosen = choose_products(tables_of(parts)).set_index("product")
    prices = parts["a1"].drop_duplicates("price_paid")["price_paid"]
    assert chosen["price_variation"]["a1"] == pytest.approx(np.log(prices).std())


def test_names_come_along(parts):
    tables = tables_of(parts)
    named = Tables(tables.sales, tables.products.assign(name=tables.products["product"].str.upper()))
    chosen = choose_products(named)
    assert chosen["name"].tolist() == chosen["product"].str.upper().tolist()


def weighed(name: str) -> pd.DataFrame:
    lines = product(name, 9, units=50)
    return lines.assign(regular_price=np.where(np.arange(len(lines)) < WEEKS, 2.0, 4.0))


def one_line_with(best: pd.DataFrame, name: str) -> pd.DataFrame:
    return best.assign(product=name, price_paid=best["price_paid"] * 1.1, units=4.0)


@pytest.mark.parametrize(
    "misfit",
    [
        pytest.param(lambda parts: product("a9", 9, units=50, weeks=WEEKS - 2), id="not sold in all weeks"),
        pytest.param(lambda parts: product("a9", 9, units=50, move=0.02), id="price hardly moves"),
        pytest.param(lambda parts: weighed("a9"), id="no one price in a week"),
        pytest.param(lambda parts: product("a9", 9, units=4, price=5), id="another kind of product"),
        pytest.param(lambda parts: one_line_with(parts["a1"], "a9"), id="flavour of a better seller"),
        pytest.param(lambda parts: product("a9", 9, units=4).assign(price_paid=0.0), id="given away"),
    ],
)
def test_a_product_that_teaches_nothing_is_left_out(parts, misfit):
    tables = tables_of(parts | {"a9": misfit(parts)})
    chosen = choose_products(tables)
    assert "a9" not in set(chosen["product"])
    assert len(reasons_not_chosen(tables, chosen)) == 1


def test_a_product_that_came_is_judged_from_then_on_and_one_that_went_is_left_out(parts):
    days = pd.date_range("2024-01-01", periods=WEEKS, freq="7D")
    whole = product("a9", 9, units=50)
    came, new, went = (
        whole[whole["date"].between(days[first], days[last] + pd.Timedelta(days=6))]
        for first, last in ((5, -1), (6, -1), (0, -5))
    )
    assert "a9" in set(choose_products(tables_of(parts | {"a9": came}))["product"])
    assert "a9" not in set(choose_products(tables_of(parts | {"a9": new}))["product"])
    assert "a9" not in set(choose_products(tables_of(parts | {"a9": went}), min_weeks_share=0.5)["product"])


def test_what_is_not_chosen_has_its_reason(parts):
    odd = {"a7": product("a7", 7, weeks=9), "a8": product("a8", 8, move=0.0), "a9": weighed("a9")}
    tables = tables_of(parts | odd | {"x": product("x", 9)})
    listed = tables.products.assign(category=tables.products["category"].where(tables.products["product"] != "x"))
    tables = Tables(tables.sales, listed)
    reasons = reasons_not_chosen(tables, choose_products(tables, per_category=2))
    assert reasons.value_counts().to_dict() == {
        "they are no longer sold": 1,
        "their price hardly moves": 1,
        "they have no one regular price in a week": 1,
        "they have no category": 1,
        "better sellers of their category were chosen": 1,
    }


def test_products_that_were_given_need_not_sell_every_week(parts):
    tables = tables_of({**parts, "a4": product("a4", 6, units=90, weeks=15)})
    chosen = pd.DataFrame({"product": ["a1", "a4"], "category": "a"})
    assert "a2" in reasons_not_chosen(tables, chosen).index


def test_each_reason_is_named_by_itself(parts):
    """A big pack, a flavour at the price of a1, a worse seller, and products of a category that is not taken."""
    flavour = parts["a1"].assign(product="a5", units=4.0)
    tables = tables_of(parts | {"a4": product("a4", 9, price=9.0, units=6), "a5": flavour})
    reasons = reasons_not_chosen(tables, choose_products(tables, per_category=2))
    assert reasons.to_dict() == {
        "a3": "better sellers of their category were chosen",
        "a4": "they cost over 2 times as much as their category's best seller, or less than 1/2",
        "a5": "they are priced as one line with a better seller",
    }
    one = reasons_not_chosen(tables, choose_products(tables, n_categories=1, per_category=2))
    assert set(one[["a1", "a2", "a3"]]) == {"other categories were chosen"}


def test_a_best_seller_alone_in_its_category_comes_first(parts):
    tables = tables_of(parts | {"c1": product("c1", 9, price=20, units=50)})
    assert choose_products(tables, per_category=2)["product"].tolist() == ["c1", "b2", "b1", "a1", "a2"]
    assert choose_products(tables_of({"a1": parts["a1"]}))["product"].tolist() == ["a1"]


def test_an_unremarkable_sixth_product_is_taken(parts):
    """The misfits above are left out for their fault, not for being the sixth."""
    tables = tables_of(parts | {"a9": product("a9", 9, units=4)})
    assert "a9" in set(choose_products(tables)["product"])


def lasting(name: str, seed: int, weeks: int = 60, **how) -> pd.DataFrame:
    """A product's lines over so many last weeks of a longer history."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=60, freq="7D")[-weeks:]
    paid = how.get("price", 2.0) * np.exp(rng.normal(0, how.get("move", 0.1), weeks))
    frame = pd.DataFrame({"date": days, "product": name, "units": float(how.get("units", 10)), "price_paid": paid})
    return frame.assign(regular_price=how.get("price", 2.0) * 1.5).iloc[:: how.get("every", 1)]


@pytest.fixture
def category() -> dict[str, pd.DataFrame]:
    """Category a: one product that is priced, and others that cannot be; b has none that can."""
    return {
        "a1": lasting("a1", 1, units=50),
        "a2": lasting("a2", 2, units=40, move=0.01),
        "a3": lasting("a3", 3, units=30, every=2),
        "a4": lasting("a4", 4, units=20, weeks=20),
        "a5": lasting("a5", 5, units=9, weeks=8),
        "a6": lasting("a6", 6, units=9).iloc[:40],
        "b1": lasting("b1", 7, units=99, move=0.0),
    }


def test_the_whole_category_of_a_priced_product_is_in_the_market_each_with_its_reason(category):
    found = choose_market(tables_of(category), modelled=1.0)
    assert dict(zip(found["product"], found["held"], strict=True)) == {
        "a1": None,
        "a2": "its price hardly moves",
        "a3": "it does not sell nearly every week",
        "a4": "it is too new",
    }
    # One came after the weeks that a proof needs, one is gone, one is of a category without prices.
    reasons = reasons_not_chosen(tables_of(category), found).to_dict()
    assert reasons == {"b1": "their price hardly moves", "a6": "they are no longer sold", "a5": "they are too new"}


def test_a_market_has_the_products_with_most_of_the_revenue(category):
    tables = tables_of(category)
    for modelled, wanted in ((0.0, 1), (0.4, 1), (0.6, 2), (0.95, 4)):
        found = choose_market(tables, modelled=modelled)
        assert found["product"].tolist() == ["a1", "a2", "a3", "a4"][:wanted]
        share, priced = revenue_shares(tables, found, ["a1"])
        assert share >= modelled or wanted == 1
        assert priced == pytest.approx(revenue_shares(tables, found.head(1), ["a1"])[0])
    assert choose_market(tables, most=2)["product"].tolist() == ["a1", "a2"]
    # Where one product is left, it comes in too: 80% are reached by two of three.
    three = tables_of({name: category[name] for name in ("a1", "a2", "a3")})
    assert choose_market(three, modelled=0.75)["product"].tolist() == ["a1", "a2", "a3"]
    with pytest.raises(ValueError, match=r"^modelled must lie in \[0, 1\]; got 95; give"):
        choose_market(tables, modelled=95)


def test_without_other_products_the_market_is_what_is_priced(parts):
    tables = tables_of(parts)
    pd.testing.assert_frame_equal(choose_market(tables).drop(columns="held"), choose_products(tables))


def test_a_product_of_a_market_of_zones_sells_in_all_of_them(category):
    tables = tables_of(category)
    here = tables.sales[tables.sales["product"] != "a2"]
    assert choose_market(tables, sold_in={"one": tables.sales, "two": here})["product"].tolist() == ["a1", "a3", "a4"]


def test_no_product_table_is_refused(parts):
    said = "fit needs a product table; got tables without one; import them with --products, or with a column category in the sales"
    with pytest.raises(DataError, match=f"^{said}$"):
        choose_products(Tables(tables_of(parts).sales))


def test_no_product_is_refused(parts):
    with pytest.raises(
        DataError, match=r"^fit needs a product that sells .*got 1 product, of which 1 .*prices that never"
    ):
        choose_products(tables_of({"a1": product("a1", 1, move=0.0)}))
