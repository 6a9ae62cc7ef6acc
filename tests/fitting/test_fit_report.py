"""What a fit says of the products that it does not price."""

import numpy as np
import pandas as pd
from repricer.data import Tables
from repricer.fitting import ShopRules, not_priced
from repricer.fitting.fit_report import _booked_costs, _funding
from repricer.fitting.split import Split
from repricer.scenarios.sections import Products

RARE, RULED = "they are no longer sold", "the shop's rules leave them out"


def test_products_that_are_not_priced_are_named_by_reason_best_sellers_first():
    days = pd.date_range("2024-01-01", periods=40, freq="7D")
    # Products r1 to r5 stopped selling after some weeks; the later ones sold more. Product q is left out by a rule.
    lines = [(day, "a", 5.0) for day in days] + [(day, "q", 9.0) for day in days]
    lines += [(day, f"r{n}", float(n)) for n in range(1, 6) for day in days[:20]]
    sales = pd.DataFrame(lines, columns=["date", "product", "units"]).sort_values("date", ignore_index=True)
    sales = sales.assign(price_paid=2.0, regular_price=2.0)
    listed = pd.DataFrame({"product": ["a", "q", *(f"r{n}" for n in range(1, 6))], "category": "x"})
    listed["name"] = ["Apple", "Quince", None, "Rose 2", "Rose", "Rose", "Rose 5"]
    rules = ShopRules.of({"product": {"q": {"excluded": True}}})
    found = not_priced(Tables(sales, listed), pd.DataFrame({"product": ["a"]}), rules)
    assert found["not_priced"] == {RARE: 5, RULED: 1}
    assert found["not_priced_names"] == {RARE: ["Rose 5", "Rose (r4)", "Rose (r3)"], RULED: ["Quince"]}
    without_names = not_priced(Tables(sales, listed.drop(columns="name")), pd.DataFrame({"product": ["a"]}), rules)
    assert without_names["not_priced_names"][RARE] == ["r5", "r4", "r3"]


def test_funding_is_that_of_the_week_else_of_a_year_before_else_a_share_of_the_reduction():
    weeks = pd.date_range("2024-01-01", periods=3, freq="7D")
    rows = [(week, n, 1.5 if deal else 2.0, 2.0) for week, deal in zip(weeks, (1, 1, 0), strict=True) for n in "ab"]
    future = pd.DataFrame(rows, columns=["week", "product", "price", "regular_price"])
    split = Split(pd.DataFrame({"product": ["a", "b"]}), future, future, future)
    days = [weeks[0], weeks[0] - pd.Timedelta(weeks=52), weeks[1] - pd.Timedelta(weeks=52), weeks[2]]
    paid = pd.DataFrame({"start_date": days, "product": "a", "funding": [0.3, 0.1, 0.2, 0.4]})
    products = Products(("a", "b"), np.full(2, 2.0), vat=np.zeros(2))
    found = _funding(split, Tables(future, promotions=paid), 0.5, products)
    assert found[:, 0].tolist() == [0.3, 0.2, 0.0], "the third week has no deal"
    assert found[:, 1].tolist() == [0.25, 0.25, 0.0]
    assert not _funding(split, Tables(future), 0.0, products).any()
    taxed = Products(("a", "b"), np.full(2, 2.0), vat=np.array([0.25, 0.25]))
    found = _funding(split, Tables(future, promotions=paid), 0.5, taxed)
    assert found[:, 0].tolist() == [0.3, 0.2, 0.0], "what the tables give is without VAT"
    assert found[:, 1].tolist() == [0.2, 0.2, 0.0], "and so is the reduction"


def test_a_planned_deal_costs_what_the_same_deal_cost_a_year_ago_relative_to_then():
    """A deal at 1.49 was planned at the usual cost of 2.02: the supplier had sold it for a third less."""
    weeks = pd.date_range("2023-01-02", periods=56, freq="7D")
    deal = np.arange(56) % 52 == 1
    past = pd.DataFrame({"week": weeks, "product": "a", "regular_price": 2.5, "price": np.where(deal, 1.5, 2.5)})
    past["unit_cost"] = np.where(deal, 1.0, 1.6)
    past.loc[40:, "unit_cost"] *= 1.25
    known, ahead = past[:52], past[52:]
    split = Split(pd.DataFrame({"product": ["a"]}), known, ahead, past)
    found = _funding(
        split, Tables(past), 0.0, Products(("a",), np.array([2.5]), unit_cost=np.array([2.0]), vat=np.zeros(1))
    )
    assert found.ravel().tolist() == [0.0, 0.75, 0.0, 0.0]


def test_past_weeks_cost_what_was_booked_and_todays_cost_where_nothing_was():
    weeks = pd.date_range("2024-01-01", periods=3, freq="7D")
    rows = [(week, n, 1.0, cost) for week, cost in zip(weeks, (0.8, None, 1.1), strict=True) for n in "ab"]
    past = pd.DataFrame(rows, columns=["week", "product", "units", "unit_cost"])
    split = Split(pd.DataFrame({"product": ["a", "b"]}), past, past, past)
    assert _booked_costs(split, np.array([1.2, 1.3])).tolist() == [[0.8, 0.8], [1.2, 1.3], [1.1, 1.1]]
    without = Split(split.products, *[past.drop(columns="unit_cost")] * 3)
    assert _booked_costs(without, np.array([1.2, 1.3])).tolist() == [[1.2, 1.3]] * 3
