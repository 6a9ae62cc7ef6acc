"""Stores of stock and promotions that no sale names are said by the import, which keeps their rows."""

from __future__ import annotations

from repricer.data import import_tables

SALES = "date,product,units,price_paid,regular_price,store\n2024-01-01,A,1,1,1,N1\n2024-01-09,B,1,1,1,S1\n"
STOCK = "date,product,on_hand,store\n2024-01-01,A,4,N1\n2024-01-02,A,5,n1\n2024-01-02,B,5,\n"
PROMOTIONS = "start_date,product,store\n" + "".join(f"2024-01-01,A,{store}\n" for store in ("S1", *"fedcba"))


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
