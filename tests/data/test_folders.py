"""Imports to a folder, whose rows wait on the disk by week, give what imports in memory give."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.data import (
    DataError,
    TableMapping,
    import_folder,
    import_tables,
    importing,
    load_tables,
    product_weeks,
    sales_summary,
    scan_tables,
    sources,
)
from repricer.data.changes import erase, read_kept

HEADER = "date,product,units,price_paid,regular_price,customer,store,basket\n"
PRODUCTS = "product,category\nA,fruit\nB,fruit\n"
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["2024-01-01", "2024-01-03", "2024-01-09", "2024-02-01", "2024-03-05", "never"]),
        st.sampled_from(["A", "B", "Z"]),
        st.sampled_from(["1", "2", "-1", "-2", "x"]),
        st.sampled_from(["1", "0.3", "0", "1.1"]),
        st.sampled_from(["", "2"]),
        st.sampled_from(["1001", "1002", ""]),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(["r1", "r2", ""]),
    ),
    min_size=20,
    max_size=40,
)


@pytest.fixture
def on_disk(monkeypatch):
    """Nothing stays in memory, and three rows are many."""
    monkeypatch.setattr(importing, "_IN_MEMORY", -1)
    monkeypatch.setattr(sources, "_RUN_ROWS", 3)


def assert_same(memory, folder):
    tables, report = memory
    stored, told = folder
    for name in ("sales", "products", "behaviour"):
        mine, other = getattr(tables, name), getattr(stored, name)
        assert (mine is None) == (other is None)
        if mine is not None:
            pd.testing.assert_frame_equal(mine, other, check_exact=True)
    assert told.to_dict() == report.to_dict()


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.integers(1, 4))
def test_what_waits_on_the_disk_is_what_stays_in_memory(tmp_path_factory, key, on_disk, rows, files):
    home = tmp_path_factory.mktemp("shop")
    rows = [("2024-01-05", "A", "1", "1", "1", "1001", "s1", "r0"), *rows]
    for part in range(files):
        text = HEADER + "".join(",".join(row) + "\n" for row in rows[part::files])
        (home / "sales").mkdir(exist_ok=True)
        (home / "sales" / f"{part}.csv").write_text(text + "2024-01-05,A\n")
    (home / "products.csv").write_text(PRODUCTS)
    (home / "behaviour.csv").write_text("date,product,event,customer\n2024-01-05,A,view,1001\n2024-01-02,B,cart,1002\n")
    paths = {"sales": home / "sales", "products": home / "products.csv", "behaviour": home / "behaviour.csv"}
    memory = import_tables(paths, key=key)
    report = import_folder(paths, home / "out", key=key)
    assert_same(memory, (load_tables(home / "out"), report))
    assert {path.name for path in home.iterdir() if path.name.startswith("out")} == {"out", "out.access.log"}
    stored = scan_tables(home / "out")
    pd.testing.assert_frame_equal(product_weeks(memory[0]), product_weeks(stored), check_exact=True)
    assert json.dumps(sales_summary(memory[0]).to_dict(), default=str) == json.dumps(
        sales_summary(stored).to_dict(), default=str
    )


def write_days(folder, days, suffix=".csv"):
    for day in days:
        place = folder / f"date=2024-01-{day:02d}"
        place.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame({"product": ["A", "B"], "units": [1.0, 2.0], "price_paid": [1.0, 3.0]})
        frame = frame.with_columns(basket=pl.lit(f"r{day}"), customer=pl.lit("1001"))
        if suffix == ".csv":
            frame.write_csv(place / "part.csv")
        else:
            frame.write_parquet(place / "part.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_of_folders_are_columns_and_hidden_files_are_none(tmp_path, key, suffix):
    write_days(tmp_path / "sales", [1, 2], suffix)
    (tmp_path / "sales" / "_SUCCESS.csv").write_text("")
    tables, _ = import_tables({"sales": tmp_path / "sales"}, key=key)
    assert tables.sales["date"].dt.day.tolist() == [1, 1, 2, 2]
    some, _ = import_tables({"sales": f"{tmp_path}/sales/date=*2/*{suffix}"}, key=key)
    assert some.sales["date"].dt.day.tolist() == [2, 2]


def test_an_update_reads_only_what_is_new_or_changed(tmp_path, key, monkeypatch):
    read = []
    plain = sources.Stage.new
    monkeypatch.setattr(
        sources.Stage, "new", lambda self, table, part, day: read.append(part[0]) or plain(self, table, part, day)
    )
    paths, out = {"sales": tmp_path / "sales"}, tmp_path / "shop"
    write_days(tmp_path / "sales", [1, 2, 3])
    import_folder(paths, out, key=key, update=True)
    assert len(read) == 3
    write_days(tmp_path / "sales", [4])
    (tmp_path / "sales" / "date=2024-01-01" / "part.csv").unlink()
    changed = tmp_path / "sales" / "date=2024-01-02" / "part.csv"
    changed.write_text(changed.read_text() + "A,5,1.0,r9,1002\n")
    read.clear()
    report = import_folder(paths, out, key=key, update=True)
    assert read == ["date=2024-01-02/part.csv", "date=2024-01-04/part.csv"]
    assert "sales: parts: 3, of which 1 new, 1 read again and 1 as at the last import; 1 gone" in report.notes
    anew, whole = import_tables(paths, key=key)
    pd.testing.assert_frame_equal(load_tables(out).sales, anew.sales, check_exact=True)
    assert report.kept == whole.kept
    with pytest.raises(DataError, match="the output folder must be new"):
        import_folder(paths, out, key=key)


def test_other_keys_and_layouts_are_read_anew(tmp_path, key):
    paths, out = {"sales": tmp_path / "sales"}, tmp_path / "shop"
    write_days(tmp_path / "sales", [1, 2])
    import_folder(paths, out, key=key, update=True)
    cents = {"sales": TableMapping(convert={"price_paid": (0.01,)})}
    import_folder(paths, out, key=key, mapping=cents, update=True)
    assert load_tables(out).sales["price_paid"].max() == 0.03
    import_folder(paths, out, key=b"another key for tests", mapping=cents, update=True)
    assert (
        load_tables(out).sales["customer"].tolist()
        == import_tables(paths, key=b"another key for tests")[0].sales["customer"].tolist()
    )


def test_an_import_that_was_killed_goes_on(tmp_path, key, on_disk, monkeypatch):
    paths, out = {"sales": tmp_path / "sales"}, tmp_path / "shop"
    write_days(tmp_path / "sales", [1, 2, 3])
    plain, count = sources.PartRows._write, iter(range(9))

    def die_in_the_third(rows):
        if next(count) == 2:
            raise KeyboardInterrupt
        plain(rows)

    with monkeypatch.context() as patch:
        patch.setattr(sources.PartRows, "_write", die_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            import_folder(paths, out, key=key)
    # What `kill -9` leaves, unlike this.
    (tmp_path / "shop.parts" / "unfinished").mkdir()
    (tmp_path / "shop.parts" / "unfinished" / "sales.parquet").write_text("PAR1")
    assert not out.exists()
    report = import_folder(paths, out, key=key)
    assert "sales: parts: 3, of which 1 new, 0 read again and 2 as at the last import; 0 gone" in report.notes
    pd.testing.assert_frame_equal(load_tables(out).sales, import_tables(paths, key=key)[0].sales, check_exact=True)
    assert not (tmp_path / "shop.parts").exists()


def test_an_erased_customer_is_not_kept_beside_the_tables(tmp_path, key):
    write_days(tmp_path / "sales", [1, 2])
    (tmp_path / "sales" / "date=2024-01-01" / "more.csv").write_text(
        "product,units,price_paid,basket,customer\nA,1,1,r1,1002\n"
    )
    out = tmp_path / "shop"
    import_folder({"sales": tmp_path / "sales"}, out, key=key, update=True)
    name = load_tables(out).sales["customer"].mode()[0]
    erase(out, read_kept(out), name)
    assert not (tmp_path / "shop.parts").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "product,units,price_paid\nA,1,1\n",
            r"date=2024-01-02/part\.csv: all files of sales must have the same columns",
        ),
        ("product,units,basket,customer\nA,1,r,1\n", r"date=2024-01-02/part\.csv: column 'price_paid' is missing"),
        ("", r"date=2024-01-02/part\.csv: a table must be readable"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, key, text, message):
    write_days(tmp_path / "sales", [1, 2])
    (tmp_path / "sales" / "date=2024-01-02" / "part.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        import_tables({"sales": tmp_path / "sales"}, key=key)


def test_a_faulty_row_is_found_by_file_row_and_column(tmp_path, key):
    write_days(tmp_path / "sales", [1, 2])
    path = tmp_path / "sales" / "date=2024-01-02" / "part.csv"
    path.write_text(path.read_text() + "A,many,1.0,r9,1002\n")
    _, report = import_tables({"sales": tmp_path / "sales"}, key=key)
    assert report.rejects[["file", "row", "reason"]].to_numpy().tolist() == [
        ["date=2024-01-02/part.csv", 4, "units: is not a number"]
    ]


def test_flagged_customers_are_left_out_of_the_folder_too(tmp_path, key, on_disk):
    rows = [f"2024-01-{1 + n % 28:02d},A,{80 if n == 39 else 1},1,1,c{n},s,r{n}\n" for n in range(40)]
    (tmp_path / "sales.csv").write_text(HEADER + "".join(rows))
    report = import_folder({"sales": tmp_path / "sales.csv"}, tmp_path / "shop", key=key, without_flagged=True)
    assert len(report.flagged) == 1
    assert report.dropped == {"sales": {"customer: flagged, see the report": 1}}
    assert load_tables(tmp_path / "shop").sales["units"].max() == 1
    assert report.kept == {"sales": 39}
