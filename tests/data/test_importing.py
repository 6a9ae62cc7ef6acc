from __future__ import annotations

from io import StringIO

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.data import SCHEMAS, DataError, TableMapping, import_folder, import_tables, load_tables

GOOD = """date,product,units,price_paid,regular_price,customer,basket
2024-01-01,A,1,2.50,3.00,1001,r1
2024-01-02,B,2,1.00,1.00,1002,r2
2024-01-03,A,1.5,2.00,3.00,,r3
"""
PRODUCTS = "product,category,name,unit_cost\nA,fruit,Apple,1.2\nB,fruit,Pear,\n"


def rejected(report) -> list[tuple[int, str]]:
    return list(report.rejects[["row", "reason"]].itertuples(index=False, name=None))


def test_good_tables_come_through_whole(write, key):
    paths = {
        "sales": write("sales.csv", GOOD),
        "products": write("products.csv", PRODUCTS),
        "customers": write("customers.csv", "customer,age,postcode area\n1001,34,N1\n1002,61,7\n"),
    }
    traits = TableMapping(allow=("age", "postcode area"))
    tables, report = import_tables(paths, key=key, mapping={"customers": traits})
    assert report.read == report.kept == {"sales": 3, "products": 2, "customers": 2}
    assert report.rejects.empty
    assert [note.partition(";")[0] for note in report.notes] == ["sales: unit costs of 1 of 2 products are missing (B)"]
    for name in paths:
        SCHEMAS[name].validate(getattr(tables, name), lazy=True)
    assert tables.sales["units"].tolist() == [1.0, 2.0, 1.5]
    assert tables.sales["customer"].notna().tolist() == [True, True, False]
    assert tables.customers["customer"].tolist() == tables.sales["customer"].tolist()[:2]
    assert tables.customers["age"].tolist() == [34, 61]
    assert tables.customers["postcode area"].tolist() == ["N1", "7"]
    assert pd.isna(tables.products["unit_cost"][1])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-01-04,A,many,1,1,1001,r4", "units: is not a number"),
        ("2024-01-04,A,,1,1,1001,r4", "units: is missing"),
        ("2024-01-04,A,-1,1,1,1001,r4", "units: must be 0 or more"),
        ("2024-01-04,A,0,0,1,1001,r4", "units: 0, without a price"),
        ("2024-01-04,A,inf,1,1,1001,r4", "units: must be finite"),
        ('2024-01-04,A,1,"1,50",1,1001,r4', "price_paid: is not a number"),
        ("2024-01-04,A,1,-1,1,1001,r4", "price_paid: must be 0 or more"),
        ("2024-01-04,A,1,1,cheap,1001,r4", "regular_price: is not a number"),
        ("04/01/2024,A,1,1,1,1001,r4", "date: is not a date (YYYY-MM-DD)"),
        ("2024-02-30,A,1,1,1,1001,r4", "date: is not a date (YYYY-MM-DD)"),
        ("0204-01-01,A,1,1,1,1001,r4", "date: must lie between 1990 and 2099"),
        ("2024-01-04,,1,1,1,1001,r4", "product: is missing"),
        ("2024-01-04,Z,1,1,1,1001,r4", "product: not in the product table"),
        ("2024-01-01,A,1,2.50,3.00,1001,r1", "row: an exact copy of an earlier one"),
        ("2024-01-04,A,1,1", "row: has 4 fields, not 7"),
        ("2024-01-04,A,1,1,1,1001,r4,more", "row: has 8 fields, not 7"),
        ("2024-01-04,A,-1,-1,1,1001,r4", "units: must be 0 or more; price_paid: must be 0 or more"),
    ],
)
def test_a_faulty_sale_is_rejected_and_no_other(write, key, line, reason):
    paths = {
        "sales": write("sales.csv", GOOD + line + "\n2024-01-05,B,1,1,1,1001,r5\n"),
        "products": write("products.csv", PRODUCTS),
    }
    tables, report = import_tables(paths, key=key)
    assert rejected(report) == [(5, reason)]
    assert report.dropped["sales"] == {reason: 1}
    assert report.read["sales"] == 5
    assert tables.sales["basket"].tolist() == ["r1", "r2", "r3", "r5"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("B,vegetables,Pear,2", "product: occurs twice"),
        ("A,fruit,Apple,1.2", "row: an exact copy of an earlier one"),
        ("C,fruit,Plum,dear", "unit_cost: is not a number"),
        ("C,fruit,Plum,-1", "unit_cost: must be 0 or more"),
        ("C,,Plum,1", "category: is missing"),
    ],
)
def test_a_faulty_product_is_rejected_and_no_other(write, key, line, reason):
    paths = {"sales": write("sales.csv", GOOD), "products": write("products.csv", PRODUCTS + line + "\n")}
    tables, report = import_tables(paths, key=key)
    assert rejected(report) == [(4, reason)]
    assert tables.products["product"].tolist() == ["A", "B"]


def test_a_good_row_survives_a_faulty_one_of_the_same_id(write, key):
    paths = {
        "sales": write("sales.csv", GOOD),
        "products": write("products.csv", "product,category,unit_cost\nA,fruit,dear\nA,fruit,1.2\nB,fruit,1\n"),
    }
    tables, report = import_tables(paths, key=key)
    assert rejected(report) == [(2, "unit_cost: is not a number")]
    assert tables.products["unit_cost"].tolist() == [1.2, 1.0]
    assert report.kept["sales"] == 3


def test_a_reject_shows_the_offending_text(write, key):
    _, report = import_tables({"sales": write("s.csv", GOOD + "2024-01-04,A,many,1,1,,r4\n")}, key=key)
    assert report.rejects["text"][0] == (
        "date=2024-01-04, product=A, units=many, price_paid=1, regular_price=1, basket=r4"
    )


def test_raw_customer_ids_appear_nowhere(write, key):
    bad = "customer-77,A,1,1,2024-01-04,secret,r4\n"
    header = "customer,product,units,price_paid,date,diary,basket\n"
    rows = [bad.replace(",1,1,", ",x,1,"), bad.replace("2024", "1066"), bad.replace(",r4", ""), bad, bad]
    paths = {
        "sales": write("sales.csv", header + "".join(rows)),
        "customers": write("customers.csv", "customer,name\ncustomer-77,Z\ncustomer-77,Y\n"),
    }
    tables, report = import_tables(paths, key=key)
    assert len(report.rejects) == 5
    told = " ".join(
        [
            report.rejects.to_csv(),
            str(report.to_dict()),
            *report.lines(),
            tables.sales.to_csv(),
            tables.customers.to_csv(),
        ]
    )
    assert "customer-77" not in told
    assert "secret" not in told
    assert tables.sales["customer"][0] in report.rejects.to_csv()


def test_dates_out_of_order_are_sorted_with_a_note(write, key):
    text = "date,product,units,price_paid,regular_price\n2024-01-03,A,1,1,1\n2024-01-01,B,1,1,1\n2024-01-02,C,1,1,1\n"
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert tables.sales["product"].tolist() == ["B", "C", "A"]
    assert report.kept["sales"] == 3
    assert report.notes == ("sales: rows out of date order, sorted: 2",)


def test_the_unit_cost_of_a_sale_is_kept_where_it_is_given(write, key):
    text = "date,product,units,price_paid,unit_cost\n2024-01-01,A,1,2,1.5\n2024-01-02,A,1,2,\n2024-01-03,A,1,2,-1\n"
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert tables.sales["unit_cost"].tolist()[0] == 1.5
    assert tables.sales["unit_cost"].isna().tolist() == [False, True]
    assert rejected(report) == [(4, "unit_cost: must be 0 or more")]


def test_regular_price_is_completed_with_a_note(write, key):
    text = "date,product,units,price_paid,regular_price\n" + "".join(
        f"2024-01-0{day},A,1,2,{regular}\n" for day, regular in enumerate(["3", "", "1", "NA", "2"], start=1)
    )
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert tables.sales["regular_price"].tolist() == [3, 2, 2, 2, 2]
    assert report.notes == (
        "sales: rows with regular_price missing, set to price_paid: 2",
        "sales: rows with regular_price below price_paid, set to price_paid: 1",
    )


def test_without_regular_price_the_price_paid_stands_in(write, key):
    text = "date,product,units,price_paid,till\n2024-01-01,A,1,2,9\n"
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert tables.sales["regular_price"].tolist() == [2.0]
    assert list(tables.sales) == ["date", "product", "units", "price_paid", "regular_price"]
    assert report.notes == (
        "sales: columns not used: till",
        "sales: no column regular_price; price_paid is used instead",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "sales.csv",
            "date,sku,units,price_paid\n2024-01-01,A,1,1\n",
            "sales.csv: column 'product' is missing; needed are date, product, units, price_paid; "
            "got date, sku, units, price_paid; rename or add it",
        ),
        ("sales.csv", "date,Product,units,price_paid\n2024-01-01,A,1,1\n", "rename 'Product' to 'product'"),
        ("sales.csv", "date,product,unit,price_paid\n2024-01-01,A,1,1\n", "rename 'unit' to 'units'"),
        ("sales.csv", "", "got: an empty file"),
        ("sales.csv", "\n\n", "got: an empty file"),
        ("sales.csv", "date,product,units,price_paid\n", "a table must hold rows; got none"),
        ("sales.csv", "date,product,units,price_paid\n\n,,,\n", "a table must hold rows; got none"),
        ("sales.csv", "date,product,units,units\n2024-01-01,A,1,1\n", "column names must differ"),
        ("sales.xls", GOOD, "must end in .csv, .xlsx or .parquet; got '.xls'"),
        ("sales.xlsx", GOOD, "save the table alone in a workbook, or as CSV"),
        ("sales.parquet", GOOD, "sales.parquet: a table must be readable"),
        (
            "sales.csv",
            "date,product,units,price_paid\n2024-01-01,A,-1,1\n1/1/24,A,1,1\n2024-01-01,B,-1,1\n",
            "at least one row must be good; got 3 faulty ones, 2 with 'units: must be 0 or more'",
        ),
        (
            "sales.csv",
            "date,product,units,price_paid\n2024-01-01,A,one,1\n2024-01-01,B,two,1\n",
            "got 2 faulty ones, 2 with 'units: is not a number', such as 'one'; fix the file",
        ),
        (
            "sales.csv",
            "date,product,units,price_paid,store\n2024-01-01,A,,€ 3,x\n2024-01-02,A,1,€ 4,x\n2024-01-03,A,1,€ 4,x\n",
            "2 with 'price_paid: is not a number', such as '€ 4'; fix the file, or declare its layout, such as a date "
            "format, a currency sign or a decimal comma, in a mapping file (repricer data mapping)",
        ),
        ("sales.csv", "date,product,units,price_paid\n2024-01-01,A\n", "got 1 faulty ones, 1 with 'row: has 2 fields"),
        (
            "sales.csv",
            "date,product,units,price_paid\n"
            + "".join(f"2024-{day:02}-01,A,1,{n}\n" for day in range(1, 31) for n in range(10)),
            "half of the rows must be good; got 180 faulty ones, 180 with 'date: is not a date",
        ),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_in_one_line(write, key, name, text, message):
    with pytest.raises(DataError) as caught:
        import_tables({"sales": write(name, text)}, key=key)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path, key):
    with pytest.raises(DataError, match=r"nowhere\.csv: a table must be a file"):
        import_tables({"sales": tmp_path / "nowhere.csv"}, key=key)


def test_a_file_in_another_encoding_is_refused(tmp_path, key):
    (tmp_path / "sales.csv").write_bytes("date,product,units,price_paid\n2024-01-01,Käse,1,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="save it again as UTF-8 CSV"):
        import_tables({"sales": tmp_path / "sales.csv"}, key=key)


@pytest.mark.parametrize("tables", [[], ["products"], ["sales", "weather"]])
def test_unknown_or_missing_tables_are_refused(write, key, tables):
    with pytest.raises(DataError, match="paths must name sales"):
        import_tables({name: write(f"{name}.csv", GOOD) for name in tables}, key=key)


def test_row_numbers_count_empty_and_quoted_lines_as_records(write, key):
    text = '\ufeffdate,product,units,price_paid\n\n2024-01-01,"A, large",1,1\n1,2\n2024-01-01,B,-1,1\n'
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert [row for row, _ in rejected(report)] == [4, 5]
    assert tables.sales["product"].tolist() == ["A, large"]
    assert report.read["sales"] == 3


def test_blanks_around_values_and_names_do_not_count(write, key):
    spaced = GOOD.replace(",", " , ")
    tables, _ = import_tables({"sales": write("spaced.csv", spaced)}, key=key)
    plain, _ = import_tables({"sales": write("plain.csv", GOOD)}, key=key)
    pd.testing.assert_frame_equal(tables.sales, plain.sales)


def test_parquet_and_csv_give_the_same_tables(write, tmp_path, key):
    frame = pd.read_csv(StringIO(GOOD), parse_dates=["date"])
    frame.loc[1, "units"] = -2
    frame.to_parquet(tmp_path / "sales.parquet")
    frame.to_csv(tmp_path / "sales.csv", index=False)
    by_parquet, from_parquet = import_tables({"sales": tmp_path / "sales.parquet"}, key=key)
    by_csv, from_csv = import_tables({"sales": tmp_path / "sales.csv"}, key=key)
    # Missing customers make the column a float in both files: 1001.0 is 1001 in Parquet, but text in CSV.
    pd.testing.assert_frame_equal(by_parquet.sales.drop(columns="customer"), by_csv.sales.drop(columns="customer"))
    assert [row for row, _ in rejected(from_parquet)] == [2]
    assert [row for row, _ in rejected(from_csv)] == [3]


FIELDS = st.tuples(
    st.sampled_from(["2024-01-01", "2024-01-09", "yesterday", ""]),
    st.sampled_from(["A", "B", "Z", ""]),
    st.sampled_from(["1", "2.5", "0", "-3", "two", ""]),
    st.sampled_from(["1", "0", "-1", "free", ""]),
    st.sampled_from(["1001", "1002", ""]),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FIELDS, max_size=30))
def test_every_row_is_kept_or_rejected_once(write, key, rows):
    rows = [("2024-01-05", "A", "1", "1", "first"), *rows]
    text = "date,product,units,price_paid,customer\n" + "".join(",".join(row) + "\n" for row in rows)
    paths = {"sales": write("sales.csv", text), "products": write("products.csv", PRODUCTS)}
    tables, report = import_tables(paths, key=key)
    assert report.read["sales"] == sum(any(row) for row in rows)
    assert report.read["sales"] == report.kept["sales"] + sum(report.dropped["sales"].values())
    assert report.kept["sales"] == len(tables.sales)
    assert len(report.rejects) == sum(report.dropped["sales"].values())
    assert report.rejects["row"].is_unique
    fine = {row for row in rows if row[0][:2] == "20" and row[1] in "AB" and row[1] and row[3] in ("1", "0")}
    # A row without units is kept for its price, if it has one.
    assert len(tables.sales) == len({row for row in fine if row[2] in ("1", "2.5") or (row[2], row[3]) == ("0", "1")})


def test_categories_in_the_sales_make_the_product_table(write, key, tmp_path):
    rows = ["A,fruit", "A,fruit", "A,veg", "B,veg", "C,"]
    text = "date,units,price_paid,product,category\n" + "".join(
        f"2024-01-0{day},1,0.5,{row}\n" for day, row in enumerate(rows, start=1)
    )
    sales = write("sales.csv", text)
    tables, report = import_tables({"sales": sales}, key=key)
    assert tables.products.to_dict("list") == {"product": ["A", "B"], "category": ["fruit", "veg"]}
    assert "category" not in tables.sales
    made = "products: 2 products, made of the column category of the sales; 1 of them have several categories"
    assert [note for note in report.notes if note.startswith(made)]
    import_folder({"sales": sales}, tmp_path / "shop", key=key)
    assert load_tables(tmp_path / "shop").products.equals(tables.products)

    products = write("products.csv", "product,category\nA,tea\nB,tea\nC,tea\n")
    tables, report = import_tables({"sales": sales, "products": products}, key=key)
    assert set(tables.products["category"]) == {"tea"}
    assert "sales: the column category is not used beside a product table" in report.notes


def test_costs_of_0_in_the_sales_are_unknown(write, key):
    """They are costs that were rounded to 0, or not entered; their logarithm is none."""
    text = "date,product,units,price_paid,unit_cost\n2024-01-01,A,1,2,0\n2024-01-02,A,1,2,1.5\n2024-01-03,A,1,2,0.0\n"
    tables, report = import_tables({"sales": write("sales.csv", text)}, key=key)
    assert tables.sales["unit_cost"].isna().tolist() == [True, False, True]
    assert (
        "sales: rows with unit_cost 0, taken as unknown: 2; of what costs nothing, the product table says so"
        in report.notes
    )
