"""Mapping files: TOML files that declare how a shop's export is laid out."""

from __future__ import annotations

import codecs
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from .schema import SCHEMAS, DataError

CONVERSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("sales", "price_paid"): ("line-total",),
    ("sales", "regular_price"): ("line-total", "discount", "line-discount"),
    ("sales", "unit_cost"): ("line-total",),
}
"""Named conversions by table and column; a factor is always allowed."""

_DUPLICATES = ("reject", "keep")
_SAMPLE_DAY = datetime(2024, 12, 31)


@dataclass(frozen=True)
class TableMapping:
    """How one file is laid out.

    Args:
        columns: The file's column by canonical column; columns that are not listed have their
            canonical names.
        values: For each canonical column, the file's value by canonical value.
        convert: For each canonical column, a factor and names from `CONVERSIONS`.
        duplicates: Whether to "reject" or "keep" exact copies of an earlier row; None keeps them in
            behaviour only.
        encoding: Encoding of a CSV file.
        separator: Separator between the fields of a CSV file.
        decimal: Decimal separator of a CSV file.
        thousands: Thousands separator of a CSV file; empty for none.
        currency: Sign before or behind the numbers of a CSV file that is no part of them; empty for none.
        skip_lines: Lines above the header of a CSV file.
        date_format: Date format in strftime codes; a time of day behind it is ignored.
        allow: Columns of the file that are read although they look like personal data; those of
            customers become traits.
        drop: Columns of the file that are not looked at.

    Example:
        >>> TableMapping(columns={"units": "Menge"}, separator=";", decimal=",").date_format
        '%Y-%m-%d'
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    convert: Mapping[str, tuple[str | float, ...]] = field(default_factory=dict)
    duplicates: str | None = None
    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    currency: str = ""
    skip_lines: int = 0
    date_format: str = "%Y-%m-%d"
    allow: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def load_mapping(path: Path) -> dict[str, TableMapping]:
    """Read a mapping file, which has one section per table; docs/data.md describes the keys.

    Args:
        path: The TOML file.

    Returns:
        The mapping of each table in the file.

    Raises:
        DataError: The file is missing or not TOML, or a key or value is not allowed; the nearest
            known key is named.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mapping.toml"
        >>> _ = path.write_text('[sales]\\nseparator = ";"\\n[sales.columns]\\nunits = "Menge"\\n')
        >>> load_mapping(path)["sales"].columns
        {'units': 'Menge'}
    """
    if not path.is_file():
        raise DataError(f"{path.name}: a mapping must be a file; got {path}, where there is none; check the path")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: a mapping must be TOML in UTF-8; got: {error}; fix that line") from error
    return {name: _table(path.name, name, section) for name, section in document.items()}


def nearest(word: str, known: Iterable[str]) -> str:
    """Advice for an unknown word: the nearest known one, or all of them."""
    by_lower = {name.lower(): name for name in known}
    if not by_lower:
        return "leave it out, there is none to use"
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"did you mean '{by_lower[near[0]]}'?" if near else f"use one of {', '.join(by_lower.values())}"


def _table(file: str, name: str, section: Any) -> TableMapping:
    _known(file, "table", name, SCHEMAS)
    where = f"{file}: [{name}]"
    if not isinstance(section, dict):
        raise DataError(f"{where} must be a section; got {section!r}; write [{name}] and its keys below it")
    known = {item.name for item in fields(TableMapping)}
    for key in section:
        _known(where, "key", key, sorted(known))
    given = {key: _CHECKS[key](f"{where} {key}", name, value) for key, value in section.items()}
    mapping = TableMapping(**given)
    if mapping.thousands == mapping.decimal:
        raise DataError(f"{where} thousands must differ from decimal; got {mapping.decimal!r} for both; change one")
    if mapping.separator == mapping.decimal and "decimal" in section:
        raise DataError(f"{where} separator must differ from decimal; got {mapping.separator!r} for both; change one")
    return mapping


def _known(where: str, what: str, word: str, known: Iterable[str]) -> None:
    if word not in known:
        raise DataError(f"{where}: {what} must be known; got '{word}'; {nearest(word, known)}")


def _refuse(where: str, allowed: str, value: Any) -> DataError:
    return DataError(f"{where} must be {allowed}; got {value!r}; change it")


def _columns(where: str, table: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, str) and name.strip() for name in value.values()):
        raise _refuse(where, 'canonical column = "the file\'s column", one pair per line', value)
    for column in value:
        # Further columns of customers are traits under any name.
        if table != "customers":
            _known(where, "column", column, SCHEMAS[table].columns)
    return {column: name.strip() for column, name in value.items()}


def _values(where: str, table: str, value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict) or not all(isinstance(pairs, dict) for pairs in value.values()):
        raise _refuse(where, f"a section for each column: [{table}.values.COLUMN]", value)
    texts = [column for column, spec in SCHEMAS[table].columns.items() if (spec.metadata or {})["unit"] == "text"]
    for column, pairs in value.items():
        _known(where, "column", column, texts)
        if not all(isinstance(own, str) for own in pairs.values()):
            raise _refuse(f"{where}.{column}", 'canonical value = "the file\'s value", one pair per line', pairs)
    return value


def _convert(where: str, table: str, value: Any) -> dict[str, tuple[str | float, ...]]:
    if not isinstance(value, dict):
        raise _refuse(where, "column = a factor or a conversion, one pair per line", value)
    numbers = [column for column, spec in SCHEMAS[table].columns.items() if str(spec.dtype) == "float64"]
    return {column: _steps(where, table, column, steps, numbers) for column, steps in value.items()}


def _steps(where: str, table: str, column: str, steps: Any, numbers: list[str]) -> tuple[str | float, ...]:
    _known(where, "column", column, numbers)
    names = CONVERSIONS.get((table, column), ())
    listed = tuple(steps) if isinstance(steps, list) else (steps,)
    for step in listed:
        factor = isinstance(step, int | float) and not isinstance(step, bool) and 0 < step < float("inf")
        if not factor and step not in names:
            allowed = " or ".join(["a factor above 0", *(f'"{name}"' for name in names)])
            raise _refuse(f"{where}.{column}", allowed, step)
    if sum(isinstance(step, str) for step in listed) > 1:
        raise _refuse(f"{where}.{column}", "at most one conversion by name beside a factor", steps)
    return listed


def _one_of(*allowed: str) -> Any:
    def read(where: str, table: str, value: Any) -> str:
        if value not in allowed:
            raise _refuse(where, "one of " + ", ".join(f'"{word}"' for word in allowed), value)
        return value

    return read


def _encoding(where: str, table: str, value: Any) -> str:
    try:
        # Codecs such as base64 do not encode text, and raise an error here.
        "".encode(value)
        return codecs.lookup(value).name
    except (LookupError, TypeError) as error:
        raise _refuse(where, 'a known encoding such as "utf-8", "latin-1" or "utf-16"', value) from error


def _currency(where: str, table: str, value: Any) -> str:
    if not isinstance(value, str) or value != value.strip() or any(mark.isdigit() for mark in value):
        raise _refuse(where, 'a sign without digits such as "€"', value)
    return value


def _skip_lines(where: str, table: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _refuse(where, "a whole number, 0 or more", value)
    return value


def _names(where: str, table: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _refuse(where, 'a list of the file\'s columns such as ["Mail"]', value)
    return tuple(value)


def _date_format(where: str, table: str, value: Any) -> str:
    try:
        whole = datetime.strptime(_SAMPLE_DAY.strftime(value), value).date() == _SAMPLE_DAY.date()
    except (ValueError, TypeError):
        whole = False
    if not whole:
        raise _refuse(where, 'strftime codes of day, month and year such as "%d.%m.%Y"', value)
    return value


_CHECKS = {
    "columns": _columns,
    "values": _values,
    "convert": _convert,
    "duplicates": _one_of(*_DUPLICATES),
    "encoding": _encoding,
    "separator": _one_of(",", ";", "\t", "|"),
    "decimal": _one_of(".", ","),
    "thousands": _one_of("", ".", ",", " ", "'"),
    "currency": _currency,
    "skip_lines": _skip_lines,
    "date_format": _date_format,
    "allow": _names,
    "drop": _names,
}
