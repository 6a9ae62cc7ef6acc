from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import import_tables, load_tables, save_tables
from repricer.privacy import PrivacyError

ROLES = """
[analyst]
sales = ["date", "product", "units", "price_paid", "regular_price"]
products = "all"
[clerk]
products = "all"
[half]
sales = ["date", "product"]
[owner]
"""


@pytest.fixture
def shop(write, key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tables whose roles are declared; nobody's role is set."""
    monkeypatch.delenv("REPRICER_ROLE", raising=False)
    names = ("sales", "products", "customers", "behaviour", "signals", "stock", "promotions", "plan")
    write("shop.roles.toml", ROLES + "\n".join(f'{name} = "all"' for name in names))
    paths = {
        "sales": write("sales.csv", "date,product,units,price_paid,customer\n2024-01-01,A,1,2,1001\n"),
        "products": write("products.csv", "product,category\nA,fruit\n"),
        "customers": write("customers.csv", "customer\n1001\n"),
    }
    save_tables(*import_tables(paths, key=key), tmp_path / "shop")
    return tmp_path / "shop"


def test_a_command_that_fails_leaves_no_reader_behind(shop, monkeypatch):
    assert CliRunner().invoke(main, ["fit", str(shop), "--as", "half", "--weeks", "many"]).exit_code == 2
    assert "REPRICER_ROLE" not in os.environ
    monkeypatch.setenv("REPRICER_ROLE", "owner")
    assert len(load_tables(shop).sales) == 1


def test_a_role_reads_its_tables_and_columns_only(shop, monkeypatch):
    monkeypatch.setenv("REPRICER_ROLE", "analyst")
    tables = load_tables(shop)
    assert list(tables.sales) == ["date", "product", "units", "price_paid", "regular_price"]
    assert tables.products is not None
    assert tables.customers is None
    monkeypatch.setenv("REPRICER_ROLE", "owner")
    assert load_tables(shop).customers is not None


@pytest.mark.parametrize(
    ("role", "match"),
    [
        (None, "must be read as one of analyst, clerk, half, owner; got no role"),
        ("boss", "got boss"),
        ("clerk", "role clerk may not read sales"),
        ("half", "role half may not read sales, of which units, price_paid is needed"),
    ],
)
def test_others_read_nothing(shop, role, match, monkeypatch):
    if role:
        monkeypatch.setenv("REPRICER_ROLE", role)
    with pytest.raises(PrivacyError, match=match):
        load_tables(shop)
    assert not (shop.parent / "shop.access.log").exists()


def test_every_load_is_noted(shop):
    run = CliRunner().invoke(main, ["data", "summary", str(shop), "--as", "analyst", "--json"])
    assert run.exit_code == 0, run.output
    assert CliRunner().invoke(main, ["data", "summary", str(shop)]).exit_code == 2
    log = shop.parent / "shop.access.log"
    (row,) = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert row["role"] == "analyst"
    assert row["command"].endswith("data summary")
    assert row["tables"] == ["sales", "products"]
    assert row["user"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_whoever_may_not_read_all_changes_nothing(shop, monkeypatch):
    monkeypatch.setenv("REPRICER_KEY", "00" * 32)
    refused = CliRunner().invoke(main, ["data", "encrypt", str(shop), "--as", "analyst"])
    assert refused.exit_code == 2
    assert "role analyst may not read all tables" in refused.output
    assert CliRunner().invoke(main, ["data", "encrypt", str(shop), "--as", "owner"]).exit_code == 0
    monkeypatch.setenv("REPRICER_ROLE", "analyst")
    assert "customer" not in load_tables(shop).sales


def test_the_option_needs_a_file_of_roles_and_the_variable_does_not(shop, monkeypatch):
    (shop.parent / "shop.roles.toml").unlink()
    run = CliRunner().invoke(main, ["data", "summary", str(shop), "--as", "analyst"])
    assert (run.exit_code, run.stderr.count("\n")) == (2, 1)
    assert "got analyst, and no such file" in run.stderr
    monkeypatch.setenv("REPRICER_ROLE", "analyst")
    assert CliRunner().invoke(main, ["data", "summary", str(shop)]).exit_code == 0


@pytest.mark.parametrize("text", ["[analyst", '[analyst]\nsalse = "all"\n', "[analyst]\nsales = 3\n", "analyst = 1\n"])
def test_a_faulty_file_of_roles_is_refused(shop, text, monkeypatch):
    (shop.parent / "shop.roles.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("REPRICER_ROLE", "analyst")
    with pytest.raises(PrivacyError, match=r"shop\.roles\.toml"):
        load_tables(shop)


def test_a_log_that_cannot_be_written_stops_a_role(shop, monkeypatch):
    (shop.parent / "shop.access.log").mkdir()
    monkeypatch.setenv("REPRICER_ROLE", "analyst")
    with pytest.raises(PrivacyError, match="must be writable, to note who reads"):
        load_tables(shop)
    (shop.parent / "shop.roles.toml").unlink()
    with pytest.warns(UserWarning, match="to note who reads"):
        assert load_tables(shop).customers is not None
