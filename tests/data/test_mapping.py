from __future__ import annotations

import pandas as pd
import pytest
from repricer.data import DataError, TableMapping, import_tables, load_mapping, mapping_template

EXPORT = """Datum;Artikel;Menge;Umsatz;Rabatt;Kunde
31.12.2024;007;2;2.469,00;-30,00;K1
31.12.2024 14:05;8;0,5;1,25;0,00;K2
"""
MAPPING = """
[sales]
separator = ";"
decimal = ","
thousands = "."
date_format = "%d.%m.%Y"
[sales.columns]
date = "Datum"
product = "Artikel"
units = "Menge"
price_paid = "Umsatz"
regular_price = "Rabatt"
customer = "Kunde"
[sales.convert]
price_paid = "line-total"
regular_price = "line-discount"
"""


@pytest.fixture
def imported(write, key):
    """Import a sales file by a mapping, both given as text."""

    def read(text: str, mapping: str):
        path = write("sales.csv", text)
        return import_tables({"sales": path}, key=key, mapping=load_mapping(write("map.toml", mapping)))

    return read


def test_an_export_comes_in_without_code(imported):
    tables, report = imported(EXPORT, MAPPING)
    assert report.rejects.empty
    assert report.notes == ()
    assert tables.sales["date"].tolist() == [pd.Timestamp("2024-12-31")] * 2
    assert tables.sales["product"].tolist() == ["007", "8"]
    assert tables.sales["price_paid"].tolist() == [1234.5, 2.5]
    assert tables.sales["regular_price"].tolist() == [1249.5, 2.5]
    assert tables.sales["customer"].str.startswith("c_").all()


def test_factors_and_totals_go_together(imported):
    text = "date,product,units,price_paid,regular_price\n2024-01-01,A,4,1000,300\n"
    convert = '[sales.convert]\nprice_paid = ["line-total", 0.01]\nregular_price = 0.01\n'
    tables, _ = imported(text, convert)
    assert tables.sales[["price_paid", "regular_price"]].to_numpy().tolist() == [[2.5, 3.0]]


def test_costs_may_be_line_totals(imported):
    text = "date,product,units,price_paid,unit_cost\n2024-01-01,A,4,10,6\n2024-01-02,A,1,2.5,1.5\n"
    tables, _ = imported(text, '[sales.convert]\nprice_paid = "line-total"\nunit_cost = "line-total"\n')
    assert tables.sales["unit_cost"].tolist() == [1.5, 1.5]


def test_a_total_of_no_units_is_the_fault_of_the_units_alone(imported):
    text = "date,product,units,price_paid\n2024-01-01,A,0,10\n2024-01-01,B,none,10\n2024-01-01,C,2,10\n"
    tables, report = imported(text, '[sales.convert]\nprice_paid = "line-total"\n')
    assert report.rejects["reason"].tolist() == ["units: 0, without a price", "units: is not a number"]
    assert tables.sales["price_paid"].tolist() == [5.0]


@pytest.mark.parametrize(
    ("options", "text", "value"),
    [
        ('decimal = ","', "2,50", 2.5),
        ('decimal = ","', "2.50", None),
        ('decimal = ","\nthousands = "."', "1.234,5", 1234.5),
        ('decimal = ","\nthousands = "."', "1.234", 1234.0),
        ('decimal = ","\nthousands = "."', "12.34", None),
        ('decimal = ","\nthousands = "."', "1.2345,0", None),
        ('decimal = ","\nthousands = " "', "1\u00a0234,5", 1234.5),
        ('thousands = "\'"', "1'234'567.8", 1234567.8),
        ('thousands = ","', "1,234.5", 1234.5),
        ('thousands = ","', "1,23", None),
        ('currency = "€"\ndecimal = ","', "€ 3,99", 3.99),
        ('currency = "€"\ndecimal = ","\nthousands = "."', "1.234,50\u00a0€", 1234.5),
        ('currency = "$"', "+$3.99", 3.99),
        ('currency = "kr."', "3.99 kr.", 3.99),
        ('currency = "$"', "3.99", 3.99),
        ('currency = "$"', "€3.99", None),
        ('currency = "$"', "3$99", None),
        ('decimal = ","', "1e3", 1000.0),
        ('decimal = ","', ",5", 0.5),
        ('decimal = ","', ",", None),
    ],
)
def test_numbers_are_read_as_declared_or_not_at_all(imported, options, text, value):
    rows = f'date;product;units;price_paid\n2024-01-01;A;1;1\n2024-01-01;B;1;"{text}"\n'
    tables, report = imported(rows, f'[sales]\nseparator = ";"\n{options}\n')
    if value is None:
        assert report.rejects["reason"].tolist()[0].startswith("price_paid: is not a number (")
    else:
        assert tables.sales["price_paid"].tolist() == [1.0, value]


@pytest.mark.parametrize(
    ("date_format", "text"),
    [
        ("%d.%m.%Y", "3.2.2024"),
        ("%d.%m.%y", "03.02.24"),
        ("%m/%d/%Y", "02/03/2024"),
        ("%Y%m%d", "20240203"),
        ("%d.%m.%Y %H:%M", "03.02.2024 23:59"),
        ("%d %b %Y", "03 Feb 2024"),
    ],
)
def test_dates_are_read_as_declared(imported, date_format, text):
    rows = f"date,product,units,price_paid\n{text},A,1,1\n"
    tables, _ = imported(rows, f'[sales]\ndate_format = "{date_format}"\n')
    assert tables.sales["date"].tolist() == [pd.Timestamp("2024-02-03")]


def test_a_date_in_another_format_names_the_declared_one(imported):
    rows = "date,product,units,price_paid\n31.12.2024,A,1,1\n2024-12-31,A,1,1\n"
    _, report = imported(rows, '[sales]\ndate_format = "%d.%m.%Y"\n')
    assert report.rejects["reason"].tolist() == ["date: is not a date (%d.%m.%Y)"]


def test_values_get_canonical_names(write, key):
    paths = {
        "sales": write("sales.csv", "date,product,units,price_paid\n2024-01-01,A,1,1\n"),
        "behaviour": write("clicks.csv", "date,product,event\n2024-01-01,A,page_view\n2024-01-01,A,cart\n"),
    }
    mapping = load_mapping(write("map.toml", '[behaviour.values.event]\nview = "page_view"\n'))
    tables, _ = import_tables(paths, key=key, mapping=mapping)
    assert tables.behaviour["event"].tolist() == ["view", "cart"]


def test_copies_can_be_kept(imported):
    rows = "date,product,units,price_paid\n" + "2024-01-01,A,1,1\n" * 3
    tables, report = imported(rows, '[sales]\nduplicates = "keep"\n')
    assert len(tables.sales) == 3
    assert report.rejects.empty
    _, rejecting = imported(rows, "[sales]\n")
    assert any('set duplicates = "keep"' in note for note in rejecting.notes)


def test_many_copies_are_kept_or_left_out_only_where_the_shop_says_so(imported):
    """Lines of a till without receipts: leaving copies out would cut the busiest days most."""
    rows = "date,product,units,price_paid\n" + "2024-01-01,A,1,1\n" * 200
    with pytest.raises(DataError, match=r'got 199 \(99.5%\).*duplicates = "keep".*or "reject"'):
        imported(rows, "[sales]\n")
    assert len(imported(rows, '[sales]\nduplicates = "reject"\n')[0].sales) == 1
    assert len(imported(rows, '[sales]\nduplicates = "keep"\n')[0].sales) == 200


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("[sale]\n", "map.toml: table must be known; got 'sale'; did you mean 'sales'?"),
        ("sales = 3\n", "map.toml: [sales] must be a section; got 3; write [sales]"),
        (
            "[sales]\nseperator = 1\n",
            "map.toml: [sales]: key must be known; got 'seperator'; did you mean 'separator'?",
        ),
        ("[sales.columns]\nproduct_id = 'x'\n", "column must be known; got 'product_id'; did you mean 'product'?"),
        ("[sales.columns]\nproduct = 3\n", '[sales] columns must be canonical column = "the file\'s column"'),
        ("[sales]\nseparator = '/'\n", '[sales] separator must be one of ",", ";"'),
        ("[sales]\ndecimal = ','\nthousands = ','\n", "thousands must differ from decimal; got ',' for both"),
        ("[sales]\ndecimal = ','\n", "separator must differ from decimal; got ',' for both"),
        (
            "[sales]\ndate_format = 'DD.MM.YYYY'\n",
            'date_format must be strftime codes of day, month and year such as "%d',
        ),
        ("[sales]\ndate_format = '%m.%Y'\n", "got '%m.%Y'"),
        ("[sales]\nencoding = 'latin-7b'\n", 'encoding must be a known encoding such as "utf-8"'),
        ("[sales]\nencoding = 'base64'\n", "encoding must be a known encoding"),
        ("[customers.values.age]\nyoung = 'x'\n", "got 'age'; leave it out, there is none to use"),
        ("[sales]\ncurrency = '1'\n", "currency must be a sign without digits such as \"€\"; got '1'; change it"),
        ("[sales]\nskip_lines = -1\n", "skip_lines must be a whole number, 0 or more; got -1"),
        ("[sales]\nduplicates = 'drop'\n", 'duplicates must be one of "reject", "keep"; got \'drop\''),
        ("[sales.convert]\nproduct = 2\n", "column must be known; got 'product'; use one of units"),
        ("[sales.convert]\nprice_paid = 'total'\n", 'convert.price_paid must be a factor above 0 or "line-total"'),
        ("[sales.convert]\nunits = 'line-total'\n", "convert.units must be a factor above 0; got 'line-total'"),
        ("[sales.convert]\nprice_paid = 0\n", "got 0; change it"),
        ("[stock.convert]\non_hand = [12, true]\n", "got True"),
        ("[behaviour.values.event]\nview = 3\n", "values.event must be canonical value"),
        ("[behaviour.values.date]\nview = 'x'\n", "column must be known; got 'date'"),
        ("[sales\n", "map.toml: a mapping must be TOML in UTF-8"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line(write, mapping, message):
    with pytest.raises(DataError) as caught:
        load_mapping(write("map.toml", mapping))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_mapping_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"map\.toml: a mapping must be a file"):
        load_mapping(tmp_path / "map.toml")


def test_a_mapped_column_that_is_not_there_is_named_with_the_nearest(imported):
    with pytest.raises(DataError) as caught:
        imported(EXPORT, MAPPING.replace('"Menge"', '"Mengen"'))
    assert "column 'Mengen', mapped to units, is missing; got Datum, Artikel, Menge" in str(caught.value)
    assert "did you mean 'Menge'?" in str(caught.value)


def test_the_template_of_an_export_imports_it(write, key):
    path = write("sales.csv", EXPORT)
    template = mapping_template({"sales": path})
    mapping = load_mapping(write("map.toml", template))
    assert mapping["sales"] == TableMapping(
        columns={
            "date": "Datum",
            "product": "Artikel",
            "units": "Menge",
            "price_paid": "Umsatz",
            "customer": "Kunde",
        },
        convert={"price_paid": ("line-total",)},
        separator=";",
        decimal=",",
        thousands=".",
        date_format="%d.%m.%Y",
    )
    tables, report = import_tables({"sales": path}, key=key, mapping=mapping)
    assert tables.sales["price_paid"].tolist() == [1234.5, 2.5]
    assert report.rejects.empty
    # A discount may be of a unit or of the line, so it is pointed out, not guessed.
    assert '# regular_price = "Rabatt"  # if it is a discount in money' in template


def test_the_template_of_canonical_files_changes_nothing(write):
    path = write("sales.csv", "date,product,units,price_paid,customer\n2024-01-01,A,1,2.50,7\n")
    (mapping,) = load_mapping(write("map.toml", mapping_template({"sales": path}))).values()
    names = {"date", "product", "units", "price_paid", "customer"}
    assert mapping == TableMapping(columns={name: name for name in names})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_the_template_finds_the_encoding(tmp_path, write, key, encoding):
    path = tmp_path / "sales.csv"
    path.write_bytes("date;product;units;price_paid\n2024-01-01;Käse;1;2,5\n".encode(encoding))
    mapping = load_mapping(write("map.toml", mapping_template({"sales": path})))
    tables, _ = import_tables({"sales": path}, key=key, mapping=mapping)
    assert tables.sales["product"].tolist() == ["Käse"]
    assert tables.sales["price_paid"].tolist() == [2.5]


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("date,store,item,sales", "2024-01-01,1,a,12", {"units": "sales"}),
        ("date,item,sales", "2024-01-01,a,12.50", {"price_paid": "sales"}),
        ("date,item,unit_count,price", "2024-01-01,a,2,1.5", {"units": "unit_count", "price_paid": "price"}),
        ("date,item,price_qty,price", "2024-01-01,a,2,1.5", {"price_paid": "price"}),
        ("date,item,sales_qty,sales", "2024-01-01,a,2,3", {"units": "sales_qty", "price_paid": "sales"}),
    ],
)
def test_a_quantity_is_not_taken_for_money(write, header, row, columns):
    path = write("sales.csv", f"{header}\n{row}\n")
    (mapping,) = load_mapping(write("map.toml", mapping_template({"sales": path}))).values()
    told = {key: own for key, own in mapping.columns.items() if key not in ("date", "product", "store")}
    assert told == columns


def test_a_plan_of_deliveries_can_be_guessed(write):
    path = write("plan.csv", "day,item,price,lieferung\n2024-01-01,A,1.5,3\n")
    (mapping,) = load_mapping(write("map.toml", mapping_template({"plan": path}))).values()
    assert mapping.columns == {"date": "day", "product": "item", "price": "price", "delivery": "lieferung"}


def test_the_template_reads_the_currency_sign_of_most_prices_and_what_has_another_one_is_shown(write, key):
    prices = {"A": "$ 1.234,50", "B": "$ 3,99", "C": "€ 3,99"}
    rows = [f"2024-01-01;{product};2;{price}" for product, price in prices.items()]
    path = write("sales.csv", "\n".join(["date;product;units;price", *rows]))
    template = mapping_template({"sales": path})
    assert 'currency = "$"' in template.splitlines()
    tables, report = import_tables({"sales": path}, key=key, mapping=load_mapping(write("map.toml", template)))
    assert tables.sales["price_paid"].tolist() == [1234.5, 3.99]
    assert report.rejects["reason"].tolist() == [
        "price_paid: is not a number (decimal ',', thousands '.', currency '$')"
    ]
