from __future__ import annotations

import pandas as pd
import pytest
from repricer.data import SCHEMAS, DataError, import_table, import_tables, load_tables, save_tables

SALES = "date,product,units,price_paid\n2024-01-01,A,1,1\n2024-01-09,B,1,1\n"
PRODUCTS = "product,category\nA,x\nB,x\n"
GOOD = {
    "behaviour": "date,product,event,value,customer\n2024-01-01,A,view,,7\n2024-01-01,A,rating,4,7\n",
    "signals": "date,name,value,product\n2024-01-01,competitor_price,2.5,A\n2024-01-01,holiday,,\n2024-01-01,news,-3,\n",
    "stock": "date,product,on_hand,store,received\n2024-01-01,A,0,s1,5\n2024-01-02,A,5,s1,\n",
    "promotions": "start_date,end_date,product,store,kind,discount,store_share,funding\n"
    "2024-01-01,2024-01-03,A,s1,mailer,0.2,,0.3\n2024-01-01,,B,,,,0.5,\n",
    "plan": "date,product,price,regular_price,promotion,delivery\n2024-01-15,A,0.9,1,0.5,\n2024-01-15,B,,,,40\n",
}


def import_with(write, key, **tables: str):
    texts = {"sales": SALES, "products": PRODUCTS} | tables
    return import_tables({name: write(f"{name}.csv", text) for name, text in texts.items()}, key=key)


def test_good_tables_come_through_whole_and_are_kept(write, key, tmp_path):
    tables, report = import_with(write, key, **GOOD)
    assert report.rejects.empty
    assert report.notes == (
        "sales: no column regular_price; price_paid is used instead",
        "promotions: mailer and unnamed are kinds with an effect each, as far as their product-weeks tell them apart",
    )
    save_tables(tables, report, tmp_path / "shop")
    again = load_tables(tmp_path / "shop")
    for name, text in GOOD.items():
        assert report.read[name] == report.kept[name] == text.count("\n") - 1
        assert set(getattr(tables, name)) == set(SCHEMAS[name].columns)
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name))


@pytest.mark.parametrize(
    ("table", "line", "reason"),
    [
        ("plan", "2024-01-15,A,0,1,0,", "price: must be above 0"),
        ("plan", "2024-01-15,A,,,,", "price: is missing, and so are regular_price, promotion, delivery"),
        ("behaviour", "2024-01-01,A,purchase,,7", "event: must be one of view, cart, rating, review"),
        ("behaviour", "2024-01-01,,view,,7", "product: is missing"),
        ("behaviour", "2024-01-01,Z,view,,7", "product: not in the product table"),
        ("behaviour", "2024-01-01,A,rating,-1,7", "value: must be 0 or more"),
        ("signals", "2024-01-01,competitor_price,2.5,", "product: is missing, a competitor_price is for one product"),
        ("signals", "2024-01-01,news,2.5,A", "product: is given, only a competitor_price is for one product"),
        ("signals", "2024-01-01,news,,", "value: is missing"),
        ("signals", "2024-01-01,Holiday,1,", "name: must be written as competitor_price or holiday"),
        ("signals", "2024-01-01,competitor_price,0,A", "value: a competitor_price must be above 0"),
        ("signals", "2024-01-01,competitor_price,2,Z", "product: not in the product table"),
        ("stock", "2024-01-01,A,many,s1,", "on_hand: is not a number"),
        ("stock", "2024-01-01,A,0,s1,5", "row: an exact copy of an earlier one"),
        ("promotions", "2024-01-05,2024-01-03,A,,,,,", "end_date: is before start_date"),
        ("promotions", "2024-01-05,soon,A,,,,,", "end_date: is not a date (YYYY-MM-DD)"),
        ("promotions", "2024-01-05,,A,,,20,,", "discount: must lie between 0 and 1"),
        ("promotions", "2024-01-05,,A,,,,1.5,", "store_share: must lie between 0 and 1"),
        ("promotions", "2024-01-05,,A,,,,,-0.3", "funding: must be 0 or more"),
    ],
)
def test_a_faulty_row_is_rejected_and_no_other(write, key, table, line, reason):
    tables, report = import_with(write, key, **{table: GOOD[table] + line + "\n"})
    good = GOOD[table].count("\n") - 1
    assert report.rejects[["table", "row", "reason"]].to_numpy().tolist() == [[table, good + 2, reason]]
    assert len(getattr(tables, table)) == good


def test_events_may_repeat(write, key):
    lines = GOOD["behaviour"] + "2024-01-01,A,view,,7\n" * 2
    tables, _ = import_with(write, key, behaviour=lines)
    assert (tables.behaviour["event"] == "view").sum() == 3


def test_negative_stock_is_none_with_a_note(write, key):
    tables, report = import_with(write, key, stock=GOOD["stock"] + "2024-01-03,A,-2,s1,\n")
    assert tables.stock["on_hand"].tolist() == [0, 5, 0]
    assert "stock: rows with on_hand below 0, set to 0: 1" in report.notes


def test_customers_are_pseudonyms_in_behaviour_and_its_rejects(write, key):
    behaviour = (
        "date,product,event,customer,search\n2024-01-01,A,view,person-7,secret\n2024-01-01,A,buy,person-7,secret\n"
    )
    sales = "date,product,units,price_paid,customer\n2024-01-01,A,1,1,person-7\n"
    tables, report = import_with(write, key, sales=sales, behaviour=behaviour)
    told = tables.behaviour.to_csv() + report.rejects.to_csv() + " ".join(report.lines())
    assert "person-7" not in told
    assert "secret" not in told
    assert tables.behaviour["customer"].tolist() == tables.sales["customer"].tolist()
    assert tables.sales["customer"][0] in report.rejects["text"][0]


def test_one_table_alone_must_be_good_in_every_row(write):
    path = write("plan.csv", "date,product,price\n2024-01-15,A,0.9\n2024-01-15,Z,1\n2024-01-15,A,free\n")
    with pytest.raises(DataError, match=r"plan.csv: every row must be good; got .* in row 3 \(2 faulty rows in all\)"):
        import_table("plan", path, products=pd.Series(["A", "B"]))
