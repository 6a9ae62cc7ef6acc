from __future__ import annotations

import json
import stat
import tomllib

import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli.data import command
from repricer.data import DataError, load_tables, pseudonymise
from repricer.privacy import PrivacyError

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
    assert isinstance(result.exception, PrivacyError)
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


def test_an_existing_folder_is_refused_before_a_key_is_made(shell, tmp_path):
    (tmp_path / "shop").mkdir()
    result = shell("import --sales good.csv --out shop")
    assert isinstance(result.exception, DataError)
    assert "must be new" in str(result.exception)
    assert not (tmp_path / "shop.key").exists()


def test_an_import_over_an_import_is_refused_with_the_option_that_does_it(shell):
    shell("import --sales bad.csv --out shop")
    result = shell("import --sales good.csv --out shop")
    assert "got shop, which holds an import; replace it by --update, or name another" in str(result.exception)
    assert shell("import --sales good.csv --out shop --update").exit_code == 0


def test_an_import_that_cannot_be_written_leaves_no_key(shell, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    result = shell("import --sales good.csv --out shop")
    assert isinstance(result.exception, OSError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "good.csv"]


def test_mapping_prints_a_template_that_loads(shell, tmp_path):
    result = shell("mapping --sales good.csv")
    assert result.exit_code == 0, result.output
    assert tomllib.loads(result.stdout)["sales"]["columns"]["units"] == "units"
    assert shell("mapping --sales good.csv --out map.toml").exit_code == 0
    assert (tmp_path / "map.toml").read_text(encoding="utf-8") == result.stdout
    again = shell("mapping --sales good.csv --out map.toml")
    assert "the mapping file must be new" in str(again.exception)
    assert "must be given a file; got none" in str(shell("mapping").exception)


def test_a_mapping_file_is_applied(shell, tmp_path):
    (tmp_path / "export.csv").write_text("day;product;units;paid\n1.2.2024;A;2;3,00\n", encoding="utf-8")
    (tmp_path / "map.toml").write_text(
        '[sales]\nseparator = ";"\ndecimal = ","\ndate_format = "%d.%m.%Y"\n'
        '[sales.columns]\ndate = "day"\nprice_paid = "paid"\n[sales.convert]\nprice_paid = "line-total"\n',
        encoding="utf-8",
    )
    result = shell("summary --sales export.csv --mapping map.toml --json")
    assert json.loads(result.stdout)["average_transaction_price"] == 1.5


def test_summary_of_an_imported_folder(shell):
    shell("import --sales bad.csv --out shop")
    assert json.loads(shell("summary shop --json").stdout)["revenue"] == 14
    assert "a folder or files must be given; got shop and files" in str(
        shell("summary shop --sales good.csv").exception
    )
    assert "paths must name sales" in str(shell("summary").exception)


@pytest.mark.parametrize(("name", "start"), [("s.png", b"\x89PNG"), ("s.svg", b"<?xml"), ("new/s.pdf", b"%PDF")])
def test_summary_draws(shell, tmp_path, name, start):
    result = shell(f"summary --sales good.csv --plot {name}")
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_plot_of_another_kind_is_refused_before_anything_is_read(shell):
    result = shell("summary --sales nowhere.csv --plot s.jpg")
    assert "the plot file must end in .png, .svg, .pdf; got s.jpg" in str(result.exception)
