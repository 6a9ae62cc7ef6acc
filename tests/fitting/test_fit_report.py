"""What a fit says of the products that it does not price."""

import pandas as pd
from repricer.data import Tables
from repricer.fitting import ShopRules, not_priced

RARE, RULED = "they do not sell nearly every week, are too new or gone", "the shop's rules leave them out"


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
