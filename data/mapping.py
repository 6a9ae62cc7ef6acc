"""Mapping files: TOML files that declare how a shop's export is laid out."""

from __future__ import annotations

import codecs
import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
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
    for key in section:
        _known(where, "key", key, sorted(item.name for item in fields(TableMapping)))
    mapping = TableMapping(**{key: _read(f"{where} {key}", name, key, value) for key, value in section.items()})
    for other in ("thousands", *["separator"] * ("decimal" in section)):
        if getattr(mapping, other) == mapping.decimal:
            raise DataError(f"{where} {other} must differ from decimal; got {mapping.decimal!r} for both; change one")
    return mapping


def _known(where: str, what: str, word: str, known: Iterable[str]) -> None:
    if word not in known:
        raise DataError(f"{where}: {what} must be known; got '{word}'; {nearest(word, known)}")


def _check(where: str, allowed: str, value: Any, fits: bool) -> None:
    if not fits:
        raise DataError(f"{where} must be {allowed}; got {value!r}; change it")


def _read(where: str, table: str, key: str, value: Any) -> Any:
    """The value of a key, checked."""
    if key in _SECTIONS:
        return _SECTIONS[key](where, table, value)
    allowed, fits = _VALUES[key]
    _check(where, allowed, value, fits(value))
    if isinstance(value, list):
        return tuple(value)
    return codecs.lookup(value).name if key == "encoding" else value


def _columns(where: str, table: str, value: Any) -> dict[str, str]:
    fits = isinstance(value, dict) and all(isinstance(own, str) and own.strip() for own in value.values())
    _check(where, 'canonical column = "the file\'s column", one pair per line', value, fits)
    for column in value:
        # Further columns of customers are traits under any name.
        if table != "customers":
            _known(where, "column", column, SCHEMAS[table].columns)
    return {column: name.strip() for column, name in value.items()}


def _replaced_values(where: str, table: str, value: Any) -> dict[str, dict[str, str]]:
    fits = isinstance(value, dict) and all(isinstance(pairs, dict) for pairs in value.values())
    _check(where, f"a section for each column: [{table}.values.COLUMN]", value, fits)
    texts = [column for column, spec in SCHEMAS[table].columns.items() if (spec.metadata or {})["unit"] == "text"]
    for column, pairs in value.items():
        _known(where, "column", column, texts)
        fits = all(isinstance(own, str) for own in pairs.values())
        _check(f"{where}.{column}", 'canonical value = "the file\'s value", one pair per line', pairs, fits)
    return value


def _conversions(where: str, table: str, value: Any) -> dict[str, tuple[str | float, ...]]:
    _check(where, "column = a factor or a conversion, one pair per line", value, isinstance(value, dict))
    numbers = [column for column, spec in SCHEMAS[table].columns.items() if str(spec.dtype) == "float64"]
    converted = {}
    for column, steps in value.items():
        _known(where, "column", column, numbers)
        names = CONVERSIONS.get((table, column), ())
        converted[column] = tuple(steps) if isinstance(steps, list) else (steps,)
        allowed = " or ".join(["a factor above 0", *(f'"{name}"' for name in names)])
        for step in converted[column]:
            factor = isinstance(step, int | float) and not isinstance(step, bool) and 0 < step < float("inf")
            _check(f"{where}.{column}", allowed, step, factor or step in names)
        by_name = sum(isinstance(step, str) for step in converted[column])
        _check(f"{where}.{column}", "at most one conversion by name beside a factor", steps, by_name <= 1)
    return converted


def _is_encoding(value: Any) -> bool:
    try:
        # Codecs such as base64 do not encode text, and raise an error here.
        return isinstance("".encode(value), bytes)
    except (LookupError, TypeError):
        return False


def _is_date_format(value: Any) -> bool:
    try:
        return datetime.strptime(_SAMPLE_DAY.strftime(value), value).date() == _SAMPLE_DAY.date()
    except (ValueError, TypeError):
        return False


def _is_sign(value: Any) -> bool:
    return isinstance(value, str) and value == value.strip() and not any(mark.isdigit() for mark in value)


def _are_columns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _one_of(*words: str) -> tuple[str, Callable[[Any], bool]]:
    return "one of " + ", ".join(f'"{word}"' for word in words), words.__contains__


_SECTIONS = {"columns": _columns, "values": _replaced_values, "convert": _conversions}
_COLUMN_LIST = 'a list of the file\'s columns such as ["Mail"]', _are_columns
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "duplicates": _one_of("reject", "keep"),
    "separator": _one_of(",", ";", "\t", "|"),
    "decimal": _one_of(".", ","),
    "thousands": _one_of("", ".", ",", " ", "'"),
    "encoding": ('a known encoding such as "utf-8", "latin-1" or "utf-16"', _is_encoding),
    "currency": ('a sign without digits such as "€"', _is_sign),
    "skip_lines": ("a whole number, 0 or more", lambda value: type(value) is int and value >= 0),
    "date_format": ('strftime codes of day, month and year such as "%d.%m.%Y"', _is_date_format),
    "allow": _COLUMN_LIST,
    "drop": _COLUMN_LIST,
}
