"""A first mapping file, guessed from the headers and first rows of the files."""

from __future__ import annotations

import csv
import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from .mapping import CONVERSIONS, TableMapping
from .row_checks import DAY, NUMBER, TIME_OF_DAY
from .schema import SCHEMAS
from .sources import Part, Source, TableFile, parts_of

_SAMPLE_BYTES = 1_000_000
_SAMPLE_ROWS = 200
_OF_CSV = ("encoding", "separator", "decimal", "thousands", "currency")
_DATE_FORMATS = [
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d-%m-%Y",
    "%d.%m.%y",
    "%m/%d/%y",
]
_TOTALS = {"umsatz", "betrag", "revenue", "amount", "total", "linetotal", "salesvalue", "turnover", "sales", "montant"}
# A column that is named like a number of units is no money, unless it is named like money too.
_QUANTITY = re.compile("qty|quant|count|units|pieces|menge|anzahl|stueck|stück|sold|volume")
# A discount tells the regular price; whether of a unit or of the line, the shop has to say.
_DISCOUNT = re.compile("rabatt|nachlass|discount|reduction|remise|korting|markdown")
_MONEY_WORDS = re.compile("price|cost|value|amount|revenue|preis|umsatz|betrag|montant|spend|total|discount")
# Usual names of the columns in exports, in letters and digits only.
_NAMES: dict[str, set[str]] = {
    "date": {"datum", "day", "tag", "transactiondate", "orderdate", "invoicedate", "saledate", "timestamp", "belegdatum"},
    "product": {
        "productid", "sku", "item", "itemid", "article", "articleid", "artikel", "artikelnr", "artikelnummer", "ean", "upc",
        "stockcode", "productcode",
    },
    "units": {"quantity", "qty", "menge", "stueck", "stück", "anzahl", "pieces", "unitssold", "quantite"},
    "price_paid": {"price", "unitprice", "preis", "einzelpreis", "netprice", "verkaufspreis", *_TOTALS},
    "regular_price": {"listprice", "regularprice", "baseprice", "normalpreis", "listenpreis", "rrp", "uvp", "msrp"},
    "customer": {"customerid", "kunde", "kundennr", "kundennummer", "householdid", "userid", "user", "client", "member"},
    "store": {"storeid", "filiale", "shop", "branch", "outlet", "markt", "location"},
    "basket": {"basketid", "receipt", "bon", "bonnr", "invoice", "invoiceno", "orderid", "transactionid", "beleg", "belegnr"},
    "category": {"warengruppe", "productcategory", "kategorie", "group", "department", "producttype"},
    "name": {"productname", "description", "bezeichnung", "artikelbezeichnung", "signal"},
    "text": {"description", "longtext", "beschreibung", "artikeltext"},
    "unit_cost": {"cost", "purchaseprice", "einkaufspreis", "ek", "costprice", "cogs"},
    "vat": {"vatrate", "taxrate", "mwst", "mwstsatz", "ust", "umsatzsteuer", "tva", "iva", "btw"},
    "event": {"eventtype", "action", "type"},
    "value": {"rating", "stars", "score", "wert", "count"},
    "on_hand": {"stock", "onhand", "inventory", "bestand", "lagerbestand", "stocklevel"},
    "delivery": {"deliveries", "lieferung", "orderedunits"},
    "received": {"delivered", "receipts", "wareneingang", "inbound"},
    "start_date": {"from", "start", "startdate", "validfrom", "von", "week", "weekstart", "gueltigab", "begin"},
    "end_date": {"to", "end", "enddate", "validto", "bis", "gueltigbis", "until"},
    "kind": {"promotiontype", "promotion", "promo", "aktion", "aktionsart", "type"},
    "discount": {"discountshare", "rabatt", "reduction"},
    "store_share": {"storeshare"},
}  # fmt: skip


def mapping_template(paths: Mapping[str, Source]) -> str:
    """The text of a mapping file (TOML) for some files, to be completed by hand.

    What can be guessed is filled in; the rest is commented out, with an explanation.

    Args:
        paths: Files by table.

    Raises:
        DataError: A file is missing or cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "till.csv"
        >>> _ = path.write_text("Datum;Artikel;Menge;Preis\\n31.12.2024;apple;2;0,50\\n")
        >>> 'decimal = ","' in mapping_template({"sales": path}).splitlines()
        True
    """
    return "\n".join(_section(name, path) for name, path in paths.items())


def _section(name: str, source: Source) -> str:
    part = parts_of(source)[0]
    layout = _layout(part)
    file = TableFile(part, layout)
    sample = next(file.batches(lambda _: None), pl.DataFrame()).head(_SAMPLE_ROWS)
    columns = _match(name, file.columns)
    layout = _formats(layout, sample, columns, name)
    total = columns.get("price_paid", "")
    if "units" not in columns and _plain(total) in _TOTALS and _whole_numbers(sample, total, layout.decimal):
        # Column `sales` of a table without units is the number sold.
        columns["units"] = columns.pop("price_paid")
    lines = [f"# {part.name} has the columns: {', '.join(file.columns)}", f"[{name}]"]
    for option in (*_OF_CSV * file.is_csv, "date_format"):
        value = getattr(layout, option)
        mark = "" if value != getattr(TableMapping(), option) else "# "
        lines.append(f"{mark}{option} = {_quoted(value)}")
    lines += ["# skip_lines = 0  # lines above the header"] * file.is_csv
    lines += ['# duplicates = "keep"  # if the same line can occur twice', "", f"[{name}.columns]"]
    for column, spec in SCHEMAS[name].columns.items():
        about = f"{'needed, ' if spec.required else ''}{(spec.metadata or {})['unit']}: {spec.description}"
        own, unused = columns.get(column), [own for own in file.columns if own not in columns.values()]
        lines.append(f"{column} = {_quoted(own)}  # {about}" if own else f'# {column} = ""  # {about}')
        off = next((own for own in unused if _DISCOUNT.search(_plain(own))), None)
        if off and not own and (name, column) == ("sales", "regular_price"):
            lines[-1] = f"# {column} = {_quoted(off)}  # if it is a discount in money: say under convert of what"
    return "\n".join([*lines, *_conversions(name, columns), ""])


def _conversions(name: str, columns: dict[str, str]) -> list[str]:
    """Conversions of columns that are totals by their names; other possible ones as comments."""
    known = {column: names for (table, column), names in CONVERSIONS.items() if table == name}
    head = ["", f"[{name}.convert]  # a factor such as 0.01, or what the column holds instead of a price per unit"]
    return head * bool(known) + [
        f"{'# ' * (_plain(columns.get(column, '')) not in _TOTALS)}{column} = {_quoted(names[0])}  # "
        f"{' or '.join(map(_quoted, names))}"
        for column, names in known.items()
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(name: str) -> str:
    return re.sub(r"[^\w]|_", "", name.lower())


def _match(table: str, header: list[str]) -> dict[str, str]:
    """The file's column by canonical column: of the same, then a usual, then a similar name."""
    free = {_plain(own): own for own in reversed(header)}
    matched: dict[str, str] = {}
    wanted = list(SCHEMAS[table].columns)
    for find in (
        lambda column: _plain(column) if _plain(column) in free else None,
        lambda column: next((name for name in free if name in _NAMES.get(column, ())), None),
        lambda column: next(iter(difflib.get_close_matches(_plain(column), free, n=1, cutoff=0.8)), None),
    ):
        for column in wanted:
            name = find(column) if column not in matched else None
            if name is not None and not (_is_money(table, column) and _is_quantity(name)):
                matched[column] = free.pop(name)
    quantity = next(filter(_is_quantity, free), None)
    if quantity is not None and "units" in wanted and "units" not in matched:
        matched["units"] = free[quantity]
    return {column: matched[column] for column in wanted if column in matched}


def _is_quantity(name: str) -> bool:
    return bool(_QUANTITY.search(name)) and not _MONEY_WORDS.search(name)


def _is_money(table: str, column: str) -> bool:
    return (SCHEMAS[table].columns[column].metadata or {})["unit"] == "currency per unit"


def _whole_numbers(sample: pl.DataFrame, own: str, decimal: str) -> bool:
    """Whether all values of a column are whole numbers."""
    values = sample[own].drop_nulls()
    if values.dtype == pl.String:
        values = values.str.replace(decimal, ".", literal=True).cast(pl.Float64, strict=False).drop_nulls()
    return bool(len(values)) and values.dtype.is_numeric() and bool((values % 1 == 0).all())


def _layout(part: Part) -> TableMapping:
    """The encoding, by the bytes, and the separator, by the header."""
    if part.kind != "csv":
        return TableMapping()
    with part.stream() as file:
        start = file.read(_SAMPLE_BYTES)
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        # The sample may end within a character.
        start[: start.rfind(b"\n") + 1 or None].decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252" if encoding == "utf-8" else encoding
    header = next(iter(start.decode(encoding, errors="replace").splitlines()), "")
    separator = max((",", ";", "\t", "|"), key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))
    return TableMapping(encoding=encoding, separator=separator)


def _formats(layout: TableMapping, sample: pl.DataFrame, columns: dict[str, str], name: str) -> TableMapping:
    """Decimal sign, thousands separator, currency sign and date format, by the values of the matched columns."""
    texts: dict[str, list[str]] = {NUMBER: [], DAY: []}
    for column, own in columns.items():
        if sample.schema.get(own) == pl.String:
            texts.setdefault(str(SCHEMAS[name].columns[column].dtype), []).extend(sample[own].drop_nulls())
    numbers = texts[NUMBER]
    days = texts[DAY]
    signs = Counter(mark for value in numbers for mark in value if unicodedata.category(mark) == "Sc")
    currency = max(signs, key=signs.__getitem__, default="")
    numbers = [value.strip(f"{currency} \u00a0\u202f") for value in numbers]
    # If the values do not decide it, semicolons between fields suggest a decimal comma.
    comma = _splits_parts(numbers, ",") or (layout.separator == ";" and not _splits_parts(numbers, "."))
    decimal, other = (",", ".") if comma and any(re.search("[.,]", value) for value in numbers) else (".", ",")
    grouping = (("'", "'"), (" ", r"\d[ \u00a0\u202f]\d"), (other, re.escape(other)))
    thousands = next((mark for mark, pattern in grouping if any(re.search(pattern, value) for value in numbers)), "")
    formats = {"decimal": decimal, "thousands": thousands, "currency": currency}
    return replace(layout, **formats, date_format=_date_format(days))


def _splits_parts(numbers: list[str], mark: str) -> bool:
    """Whether digits other than a group of three follow the mark somewhere, at the end."""
    return any(re.search(rf"{re.escape(mark)}(?:\d{{1,2}}|\d{{4,}})$", value) for value in numbers)


def _date_format(days: list[str]) -> str:
    """The first of the formats that read most of the dates (a row of totals may have none)."""

    plain = pl.Series(days, dtype=pl.String).str.replace(TIME_OF_DAY, "")

    def reads(date_format: str) -> int:
        return plain.str.to_date(date_format, strict=False).count()

    best = max(_DATE_FORMATS, key=reads)
    return best if reads(best) > len(days) / 2 else _DATE_FORMATS[0]
