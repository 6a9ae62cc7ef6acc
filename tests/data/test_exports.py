"""What real exports look like."""

from __future__ import annotations

import pandas as pd
import pytest
from repricer.data import DataError, TableMapping, import_tables

HEADER = "date,product,units,price_paid,basket\n"


def read(path, key, **layout):
    return import_tables({"sales": path}, key=key, mapping={"sales": TableMapping(**layout)})


def test_a_byte_order_mark_is_no_part_of_the_first_name(write, key):
    tables, _ = read(write("sales.csv", "\ufeff" + HEADER + "2024-01-01,A,1,1,r\n"), key)
    assert len(tables.sales) == 1


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_another_encoding_is_declared(tmp_path, key, encoding):
    path = tmp_path / "sales.csv"
    path.write_bytes((HEADER + "2024-01-01,Käse,1,1,r\n").encode(encoding))
    with pytest.raises(DataError, match=r"readable as utf-8; got: .*give its encoding"):
        read(path, key)
    tables, _ = read(path, key, encoding=encoding)
    assert tables.sales["product"].tolist() == ["Käse"]


def test_semicolons_are_pointed_out(write, key):
    path = write("sales.csv", HEADER.replace(",", ";") + "2024-01-01;A;1;1;r\n")
    with pytest.raises(DataError, match=r"fields are separated by ';': set separator = \";\" in a mapping file"):
        read(path, key)


def test_a_row_of_totals_is_rejected_with_its_reason(write, key):
    rows = "2024-01-01,A,1,1,r\nTotal,,1,1,\nTotal of all: 1\n"
    tables, report = read(write("sales.csv", HEADER + rows), key)
    assert len(tables.sales) == 1
    assert report.rejects["reason"].tolist() == [
        "date: is not a date (YYYY-MM-DD); product: is missing",
        "row: has 1 fields, not 5",
    ]
    assert report.rejects["row"].tolist() == [3, 4]


def test_lines_above_the_header_are_skipped_and_counted(write, key):
    rows = "Sales of shop 7\n\n" + HEADER + "2024-01-01,A,1,1,r\n2024-01-02,A\n2024-01-03,A,x,1,r\n"
    tables, report = read(write("sales.csv", rows), key, skip_lines=2)
    assert len(tables.sales) == 1
    assert report.rejects["row"].tolist() == [5, 6]


def test_columns_without_a_name_or_a_value_do_not_count(write, key):
    rows = HEADER.strip() + ",,empty,\n2024-01-01,A,1,1,r,,,\n,,,,,,,\n"
    tables, report = read(write("sales.csv", rows), key)
    assert list(tables.sales) == ["date", "product", "units", "price_paid", "regular_price", "basket"]
    assert "sales: columns not used: column 6, empty, column 8" in report.notes
    assert report.read == {"sales": 1}


def test_doubled_headers_matter_only_where_they_are_used(write, key):
    tables, _ = read(write("sales.csv", HEADER.strip() + ",note,note\n2024-01-01,A,1,1,r,a,b\n"), key)
    assert len(tables.sales) == 1
    path = write("twice.csv", HEADER.strip() + ",units\n2024-01-01,A,1,1,r,2\n")
    with pytest.raises(DataError, match=r"got 'units' twice in .*name 'units' \(the first\) or 'units \(2\)' in a map"):
        read(path, key)
    tables, _ = read(path, key, columns={"units": "units (2)"})
    assert tables.sales["units"].tolist() == [2.0]


def test_free_goods_are_kept_with_a_note(write, key):
    tables, report = read(write("sales.csv", HEADER + "2024-01-01,A,1,0,r\n"), key)
    assert tables.sales["price_paid"].tolist() == [0.0]
    assert "sales: rows with price_paid 0, kept as given away: 1" in report.notes


def test_returns_are_left_out_and_counted(write, key):
    rows = "2024-01-01,A,2,1,r1\n2024-01-05,A,-2,1,r2\n"
    tables, report = read(write("sales.csv", HEADER + rows), key)
    assert tables.sales["units"].tolist() == [2.0]
    assert report.dropped == {"sales": {"units: must be 0 or more": 1}}
    assert "sales: returns (negative units), left out: 1 lines, 2 units" in report.notes


def test_a_sale_that_its_own_receipt_cancels_is_no_sale(write, key):
    rows = "2024-01-01,A,2,1,r1\n2024-01-01,A,2,1,r2\n2024-01-01,B,2,1,r1\n2024-01-01,A,-2,1,r1\n2024-01-01,A,1,1,r1\n"
    tables, report = read(write("sales.csv", HEADER + rows), key)
    assert report.rejects[["row", "reason"]].to_numpy().tolist() == [
        [2, "units: cancelled on the same receipt"],
        [5, "units: must be 0 or more"],
    ]
    assert tables.sales["units"].tolist() == [2, 2, 1]


def test_one_cancellation_takes_back_one_of_two_sales(write, key):
    rows = "2024-01-01,A,2,1,r1,1\n2024-01-01,A,2,1,r1,2\n2024-01-01,A,-2,1,r1,3\n"
    tables, _ = read(write("sales.csv", HEADER.strip() + ",line\n" + rows), key)
    assert tables.sales["units"].tolist() == [2.0]


def test_ids_keep_their_zeros_and_a_table_without_them_is_pointed_out(write, key):
    paths = {
        "sales": write("sales.csv", HEADER + "2024-01-01,007,1,1,r\n2024-01-01,8,1,1,r\n2024-01-01,9,1,1,r\n"),
        "products": write("products.csv", "product,category\n7,x\n8,x\n"),
    }
    tables, report = import_tables(paths, key=key)
    assert tables.sales["product"].tolist() == ["8"]
    assert report.rejects["reason"].tolist() == [
        "product: not in the product table, except for leading zeros",
        "product: not in the product table",
    ]


def test_an_id_that_a_spreadsheet_shortened_is_rejected(write, key):
    rows = "2024-01-01,4.0065E+12,1,1,r\n2024-01-01,4006500000001,1,1,r\n"
    tables, report = read(write("sales.csv", HEADER + rows), key)
    assert report.rejects["reason"].tolist() == ["product: was shortened by a spreadsheet; export it as text"]
    assert tables.sales["product"].tolist() == ["4006500000001"]


def test_numbers_as_ids_in_parquet_are_whole(tmp_path, key):
    frame = pd.DataFrame(
        {"date": pd.to_datetime(["2024-01-01"] * 2), "product": [7.0, 8.0], "units": 1, "price_paid": 1}
    )
    frame.assign(customer=[1001.0, None], tags=[[1], [2]]).to_parquet(tmp_path / "sales.parquet")
    tables, _ = read(tmp_path / "sales.parquet", key)
    assert tables.sales["product"].tolist() == ["7", "8"]
    assert tables.sales["customer"].notna().tolist() == [True, False]


def test_a_column_with_a_time_zone_shows_its_own_clock(tmp_path, key):
    stamps = pd.to_datetime(["2024-01-01T03:00Z"]).tz_convert("America/New_York")
    pd.DataFrame({"date": stamps, "product": "A", "units": 1, "price_paid": 1}).to_parquet(tmp_path / "sales.parquet")
    tables, _ = read(tmp_path / "sales.parquet", key)
    assert tables.sales["date"].tolist() == [pd.Timestamp("2023-12-31")]


def test_many_products_come_through(tmp_path, key):
    lines = pd.DataFrame({"product": [f"{i:06d}" for i in range(100_000)]}).assign(
        date="2024-01-01", units=1, price_paid=2
    )
    lines.to_csv(tmp_path / "sales.csv", index=False)
    tables, _ = read(tmp_path / "sales.csv", key)
    assert tables.sales["product"].nunique() == 100_000


def test_row_numbers_hold_over_many_pieces(tmp_path, key, monkeypatch):
    """Broken, empty and faulty records, in a file that is read in pieces of a few rows."""
    monkeypatch.setattr("repricer.data.sources._CSV_BLOCK_BYTES", 256)
    rows = [f"2024-01-01,A,{i + 1},1,r{i}" for i in range(200)]
    rows[180] = rows[10]
    wrong = {3: "1,2", 50: "", 51: "2024-01-01,A,x,1,r", 120: "2,3,4", 199: "2024-01-01,A,y,1,r"}
    for position, text in wrong.items():
        rows[position] = text
    path = tmp_path / "SALES.CSV"
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    shares = []
    tables, report = import_tables({"sales": path}, key=key, progress=lambda name, share: shares.append((name, share)))
    assert report.rejects["row"].tolist() == [5, 53, 122, 182, 201]
    assert report.rejects["reason"][3] == "row: an exact copy of an earlier one"
    assert len(tables.sales) == 194
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == ("sales", pytest.approx(1, abs=0.1))
