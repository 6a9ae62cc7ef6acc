from __future__ import annotations

import json
import stat

import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli.data import command
from repricer.data import DataError, load_tables, pseudonymise

GOOD = "date,product,units,price_paid,customer\n2024-01-01,A,1,2,1001\n2024-01-09,B,3,4,1002\n"
BAD = GOOD + "2024-01-10,B,[many],4,1002\n"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run `repricer data ...` in a folder that holds good.csv and bad.csv."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.csv").write_text(BAD, encoding="utf-8")

    def run(line: str):
        return CliRunner().invoke(command, line.split())

    return run


def test_check_exits_0_when_every_row_is_good(shell):
    result = shell("check --sales good.csv")
    assert result.exit_code == 0, result.output
    assert "sales: 2 rows read, 2 kept" in result.stdout


def test_check_exits_2_and_shows_the_rejects(shell):
    result = shell("check --sales bad.csv")
    assert result.exit_code == 2
    assert "1 left out: units: is not a number" in result.stdout
    assert "[many]" in result.stdout
    assert "1002" not in result.stdout


def test_check_json_is_one_document(shell):
    result = shell("check --sales bad.csv --json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["dropped"] == {"sales": {"units: is not a number": 1}}
    assert [reject["row"] for reject in report["rejects"]] == [4]


def test_import_writes_tables_rejects_and_key(shell, tmp_path):
    result = shell("import --sales bad.csv --out shop")
    assert result.exit_code == 0, result.output
    assert "shop.key" in result.stdout
    key_file = tmp_path / "shop.key"
    assert len(key_file.read_bytes()) == 32
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    sales = load_tables(tmp_path / "shop").sales
    assert sales["customer"].tolist() == pseudonymise(pd.Series(["1001", "1002"]), key_file.read_bytes()).tolist()
    assert len(pd.read_csv(tmp_path / "shop" / "rejects.csv")) == 1
    assert "1002" not in "".join(path.read_text() for path in (tmp_path / "shop").glob("*.[cj]s*"))


def test_two_imports_with_one_key_agree(shell, tmp_path):
    shell("import --sales good.csv --out one --key-file secrets/key")
    result = shell("import --sales good.csv --out two --key-file secrets/key --json")
    assert json.loads(result.stdout)["key_file"] == "secrets/key"
    one, two = (load_tables(tmp_path / name).sales for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)


def test_a_refused_import_leaves_no_key(shell, tmp_path):
    result = shell("import --sales nowhere.csv --out shop")
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "shop.key").exists()


def test_a_short_key_is_refused(shell, tmp_path):
    (tmp_path / "key").write_bytes(b"short")
    result = shell("import --sales good.csv --out shop --key-file key")
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "shop").exists()


def test_summary_shows_the_sales(shell):
    result = shell("summary --sales bad.csv")
    assert result.exit_code == 0, result.output
    assert "14.000" in result.stdout
    assert "1 faulty rows are left out" in result.stdout


def test_summary_json_is_one_document(shell):
    result = shell("summary --sales good.csv --json")
    summary = json.loads(result.stdout)
    assert summary["revenue"] == 14
    assert summary["rows_rejected"] == 0
    assert summary["price_index"] == {"2024-01-01": 1.0, "2024-01-08": 1.0}
