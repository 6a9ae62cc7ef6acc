"""Sources of rows: parts, databases, staging."""

from __future__ import annotations

import pandas as pd
import pytest
from repricer.data import DataError, import_folder, import_tables, load_tables, mapping_template
from repricer.data.sources import _BlockStream, parts_of

TEXT = "product,units,price_paid,customer\nA,1,0.5,1001\nB,two,1,1002\nB,2,1,1002\n"
KEY = b"a key for tests only"


@pytest.fixture(scope="module")
def store():
    """An S3 server of its own, and a way to put objects there."""
    server_of = pytest.importorskip(
        "moto.server", reason="moto is not installed: it wants an older python-dateutil than ours"
    )
    from pyarrow import fs

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        own = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}
        for name, value in {**own, "DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(f"AWS_{name}", value)
        files, _ = fs.FileSystem.from_uri("s3://shop?allow_bucket_creation=true")
        files.create_dir("shop")

        def put(path: str, text: str) -> None:
            with files.open_output_stream(f"shop/{path}") as out:
                out.write(text.encode())

        yield put
    server.stop()


def test_objects_are_imported_by_url_and_only_new_ones_again(store, tmp_path):
    store("sales/date=2024-01-01/a.csv", TEXT)
    report = import_folder({"sales": "s3://shop/sales"}, tmp_path / "shop", key=KEY, update=True)
    assert report.rejects[["file", "row"]].to_numpy().tolist() == [["date=2024-01-01/a.csv", 3]]
    store("sales/date=2024-01-02/a.csv", TEXT.replace("two", "3"))
    report = import_folder({"sales": "s3://shop/sales"}, tmp_path / "shop", key=KEY, update=True)
    assert "sales: parts: 2, of which 1 new, 0 read again and 1 as at the last import; 0 gone" in report.notes
    whole, _ = import_tables({"sales": "s3://shop/sales/*.csv"}, key=KEY)
    pd.testing.assert_frame_equal(load_tables(tmp_path / "shop").sales, whole.sales)
    assert whole.sales["units"].tolist() == [1, 2, 1, 3, 2]
    assert 'price_paid = "price_paid"' in mapping_template({"sales": "s3://shop/sales"})


@pytest.mark.parametrize("url", ["s3://shop/nothing.csv", "s3://nowhere/sales"])
def test_objects_that_are_not_there_are_said_in_one_line(store, url):
    with pytest.raises(DataError, match=r"a table must be .*; got .*"):
        parts_of(url)


def test_a_table_of_duckdb_is_read_in_batches(tmp_path, write_database, monkeypatch):
    monkeypatch.setattr("repricer.data.sources._TYPED_BATCH_ROWS", 1500)
    url = write_database(
        "select date '2024-01-01' + cast(n as int) date, 'A' product, n + 1 units, 1.50::decimal(9, 2) price_paid "
        "from range(5000) t(n)"
    )
    tables, report = import_tables({"sales": url}, key=KEY)
    assert report.read == report.kept == {"sales": 5000}
    assert tables.sales["price_paid"].unique().tolist() == [1.5]
    assert tables.sales["units"].sum() == 5000 * 5001 / 2


@pytest.fixture
def write_database(tmp_path):
    """Write a table `sales` of a DuckDB file, and give its URL."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")

    def write(query: str) -> str:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as database:
            database.execute(f"create table sales as {query}")
        return f"duckdb:///{tmp_path}/shop.duckdb#sales"

    return write


@pytest.mark.parametrize(
    ("end", "message"),
    [("#sale", r"#sale: a table must be readable; got: .*sale does not exist"), ("", r"must be given with a table")],
)
def test_a_database_without_the_table_is_refused(write_database, end, message):
    url = write_database("select 1 units").removesuffix("#sales") + end
    with pytest.raises(DataError, match=message):
        import_tables({"sales": url}, key=KEY)


def test_a_password_is_in_no_message():
    with pytest.raises(DataError, match=r"^postgresql://localhost:1/d#s: a table must be readable") as caught:
        import_tables({"sales": "postgresql://me:secret@localhost:1/d#s"}, key=KEY)
    assert "secret" not in str(caught.value)


def test_blocks_are_read_as_one_stream():
    blocks = _BlockStream(iter([b"ab", memoryview(b"cdefg"), b"", b"h"]))
    found = [blocks.read(3) for _ in range(6)]
    assert b"".join(found) == b"abcdefgh"
