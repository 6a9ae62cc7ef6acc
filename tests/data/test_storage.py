from __future__ import annotations

import json

import pandas as pd
import pytest
from repricer.data import DataError, import_tables, load_tables, save_tables


@pytest.fixture
def imported(write, key):
    paths = {
        "sales": write("sales.csv", "date,product,units,price_paid\n2024-01-01,A,1,2\n2024-01-02,A,x,2\n"),
        "products": write("products.csv", "product,category,name\nA,fruit,\n"),
    }
    return import_tables(paths, key=key)


def test_what_is_saved_is_read_back(imported, tmp_path):
    tables, report = imported
    save_tables(tables, report, tmp_path / "new" / "shop")
    again = load_tables(tmp_path / "new" / "shop")
    pd.testing.assert_frame_equal(again.sales, tables.sales)
    pd.testing.assert_frame_equal(again.products, tables.products)
    assert again.customers is None
    assert pd.read_csv(tmp_path / "new" / "shop" / "rejects.csv")["row"].tolist() == [3]
    account = json.loads((tmp_path / "new" / "shop" / "import.json").read_text(encoding="utf-8"))
    assert account["kept"] == {"sales": 1, "products": 1}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"shop", "shop.access.log"}


def test_a_folder_may_be_named_by_a_text(imported, tmp_path):
    save_tables(*imported, tmp_path / "shop")
    pd.testing.assert_frame_equal(load_tables(str(tmp_path / "shop")).sales, imported[0].sales)


def test_an_existing_folder_is_not_overwritten(imported, tmp_path):
    (tmp_path / "shop").mkdir()
    with pytest.raises(DataError, match="must be new; got"):
        save_tables(*imported, tmp_path / "shop")


def test_a_failure_leaves_nothing_behind(imported, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        save_tables(*imported, tmp_path / "new" / "shop")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_without_sales_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must hold sales\.parquet"):
        load_tables(tmp_path)
