"""Obvious personal data is refused, and nothing that only resembles it."""

from __future__ import annotations

import random

import polars as pl
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import DataError, TableMapping, import_tables
from repricer.privacy.personal import personal_kind


def luhn_numbers(count: int, start: str, length: int) -> list[str]:
    """Card numbers whose last digit is found by trying, as a check of the module's own arithmetic."""
    rng, found = random.Random(0), []
    for _ in range(count):
        body = start + "".join(rng.choice("0123456789") for _ in range(length - len(start) - 1))
        total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(body)))
        found.append(f"{body}{-total % 10}")
    return found


NUMBERS = [str(4000123412340000 + number) for number in range(200)]


@pytest.mark.parametrize(
    ("table", "header", "values", "kind"),
    [
        ("customers", "contact", ["ann.o@shop.example.org", "-"] * 3, "mail addresses"),
        ("sales", "note", ["paid", *["x"] * 40, "bob+1@mail.example"], "mail addresses"),
        ("sales", "caller", ["+49 (30) 123-4567", "+14155550100"], "phone numbers"),
        ("customers", "Phone No.", ["030 1234567", "0171/998877"], "phone numbers"),
        ("customers", "Telefon", [491711234567], "phone numbers"),
        ("sales", "paid with", luhn_numbers(20, "4", 16), "card numbers"),
        (
            "sales",
            "basket",
            [f"{n[:4]} {n[4:8]} {n[8:12]} {n[12:]}" for n in luhn_numbers(9, "52", 16)],
            "card numbers",
        ),
        ("sales", "payment", luhn_numbers(9, "37", 15), "card numbers"),
        ("sales", "payment", [int(n) for n in luhn_numbers(9, "4", 16)], "card numbers"),
        ("customers", "name", ["Ann Olsen", "Bo Li"], "names of persons"),
        ("sales", "Customer_Name", ["Ann Olsen", "Bo Li"], "names of persons"),
        ("customers", "Last Name", ["Olsen", "Li"], "names of persons"),
        ("customers", "Vorname", ["Änne", "Bo"], "names of persons"),
        ("customers", "Prénom", ["Zoé"], "names of persons"),
    ],
)
def test_what_is_refused(table, header, values, kind):
    assert personal_kind(table, header, pl.Series(values)) == kind


@pytest.mark.parametrize(
    ("table", "header", "values"),
    [
        ("products", "name", ["Ann's Jam 4.5 oz", "Coca-Cola @ home", "T-shirt I@NY"]),
        ("signals", "name", ["competitor_price", "holiday"]),
        ("sales", "product name", ["Bread", "Jam"]),
        ("sales", "store_name", ["North", "South"]),
        ("sales", "filename", ["export.csv"]),
        ("sales", "product", [f"{4006381333000 + n}" for n in range(300)]),  # EAN-13
        ("sales", "basket", NUMBERS),
        ("sales", "basket", [int(number) for number in NUMBERS]),
        ("sales", "receipt", ["0012-3456-7890", "030-1234567"]),
        ("sales", "date", ["2024-01-31", "31.01.2024", "20240131"]),
        ("sales", "time", ["2024-01-31 10:15:00+01:00"]),
        ("promotions", "kind", ["mailer", "display", "e-mail"]),
        ("customers", "age", ["34", "61"]),
        ("customers", "postcode", ["10115", "N1 9GU"]),
        ("customers", "has phone", ["yes", "no"]),
        ("customers", "phone orders", [3, 12]),
        ("customers", "first name id", ["1", "2"]),
        ("sales", "discount", ["+10", "-0.5"]),
        ("sales", "price", [1.5, 2.0]),
        ("sales", "nothing", [None, None]),
    ],
)
def test_what_is_innocent(table, header, values):
    assert personal_kind(table, header, pl.Series(values)) is None


@pytest.fixture
def shop(write):
    return {
        "sales": write("sales.csv", "date,product,units,price_paid,customer\n2024-01-01,A,1,2,ann@example.org\n"),
        "customers": write("customers.csv", "customer,age,e-mail\nann@example.org,34,ann@example.org\n"),
    }


def test_the_refusal_names_column_kind_and_way_out_but_no_value(shop, key):
    with pytest.raises(DataError) as caught:
        import_tables(shop, key=key)
    assert str(caught.value) == (
        "customers.csv: column 'e-mail' must hold no personal data; got mail addresses; leave it out "
        "(--drop-column 'e-mail'), or take it as it is (--allow-column 'e-mail')"
    )


def test_only_what_is_named_is_carried(shop, key):
    tables, report = import_tables(shop, key=key, mapping={"customers": TableMapping(drop=("e-mail",))})
    assert tables.customers is not None
    assert list(tables.customers) == ["customer"]
    assert "customers: columns not used: age, e-mail; --allow-column NAME keeps one as a trait" in report.lines()
    mapping = {"customers": TableMapping(columns={"years": "age"}, allow=("e-mail",))}
    tables, _ = import_tables(shop, key=key, mapping=mapping)
    assert tables.customers is not None
    assert set(tables.customers) == {"customer", "years", "e-mail"}


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"columns": {"mail": "e-mail"}}, "must not be mapped or allowed; got 'e-mail'"),
        ({"allow": ("e-mail",)}, "must not be mapped or allowed; got 'e-mail'"),
        ({"drop": ("customer",)}, "'customer' is missing; needed are customer; got .*; do not drop it"),
    ],
)
def test_a_column_to_drop_is_not_read_all_the_same(shop, key, layout, said):
    with pytest.raises(DataError, match=said):
        import_tables(shop, key=key, mapping={"customers": TableMapping(**{"drop": ("e-mail",)} | layout)})


def test_the_command_takes_the_columns_of_any_file(shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ["data", "import", "--sales", "sales.csv", "--customers", "customers.csv", "--out", "shop"]
    refused = CliRunner().invoke(main, line)
    assert refused.exit_code == 2
    assert refused.output.count("\n") == 1
    assert not (tmp_path / "shop.key").exists()
    unknown = CliRunner().invoke(main, [*line, "--drop-column", "mail"])
    assert "got 'mail', which is in none" in unknown.output
    done = CliRunner().invoke(main, [*line, "--drop-column", "e-mail", "--allow-column", "age"])
    assert done.exit_code == 0, done.output
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("shop*/*"))
    assert b"example.org" not in kept
