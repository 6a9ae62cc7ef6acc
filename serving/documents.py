"""Plain data checked against its declaration: a struct whose fields carry type, range and meaning.

One declaration gives the check (`read`), the first mistake in words (`mistake`), the JSON schema of
the HTTP interface (`schemas`) and the tables of the docs (`fields`). The structs are msgspec's,
whose check is compiled. Metadata of a field, in `Meta(extra=...)`: `allowed` and `fix` replace
these parts of its error message, `null` says what null stands for, and `printable` asks for text
that can be printed.
"""

from __future__ import annotations

import csv
import difflib
import functools
import itertools
import json
import math
import os
import reprlib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, inspect

T = TypeVar("T", bound=Struct)
FilePath = str | os.PathLike[str]
Name = Annotated[str, Meta(min_length=1, max_length=200, extra={"printable": True})]
"""A name that every database can hold."""
SCHEMA_REFERENCE = "#/components/schemas/{name}"
"""How an OpenAPI document refers to one of its schemas."""
_REFUSED = (msgspec.ValidationError, UnicodeEncodeError, ValueError, TypeError)
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class Document(Struct, frozen=True):
    """A struct with names among its fields, which must be printable text."""

    def __post_init__(self) -> None:
        for name in _printable_fields(type(self)):
            value = getattr(self, name)
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"{name} must be printable")


class Field(NamedTuple):
    """One declared field: its name, type, meaning, metadata, and whether a document must have it."""

    name: str
    hint: Any
    type: inspect.Type
    description: str
    extra: Mapping[str, Any]
    required: bool

    @property
    def allowed(self) -> str:
        """Which values it may have, in words."""
        if self.choices and "allowed" not in self.extra:
            return f"one of {', '.join(self.choices)}"
        return self.extra.get("allowed") or _allowed(self.type, self.extra.get("null"))

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are allowed, in the order of their declaration; none where any word is."""
        return get_args(_bare(self.hint)) if isinstance(self.type, inspect.LiteralType) else ()


class Checked(Struct, frozen=True):
    """A struct that checks its own fields when it is made: a wrong one is a ValueError of one line.

    Attributes:
        called: What the message calls it.
    """

    called: ClassVar[str]

    def __post_init__(self) -> None:
        problem = mistake(type(self), msgspec.structs.asdict(self), self.called)
        if problem is not None:
            raise ValueError(problem)


def read(kind: type[T], data: Any, name: str, error: type[ValueError]) -> T:
    """The struct that plain data holds.

    Args:
        data: Plain data: dictionaries, lists, text, numbers.
        name: What error messages call the document.
        error: The exception to raise, with one line.
    """
    try:
        return msgspec.convert(data, kind)
    except _REFUSED as refused:
        raise error(mistake(kind, data, name) or f"{name} cannot be read; got: {refused}; fix it") from None


def toml_table(path: Path, error: type[ValueError]) -> dict[str, Any]:
    """The plain data of a TOML file.

    Args:
        path: The file.
        error: The exception to raise, with one line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failed:
        raise error(f"{path} must be a TOML file; got: {failed.strerror}; write it or fix the path") from failed
    except ValueError as wrong:
        raise error(f"{path} must be a TOML file; got: {wrong}; fix it") from wrong


def csv_rows(
    path: Path, known: Collection[str], required: Collection[str], error: type[ValueError]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each row of a CSV file (the header is row 1), and its cells by column without those that are empty.

    Args:
        path: The file.
        known: The columns that there may be.
        required: Those that there must be.
        error: The exception to raise, with one line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            # Where the decimal mark is a comma, spreadsheets separate cells by semicolons.
            delimiter = ";" if ";" in header and "," not in header else ","
            lines = csv.reader(itertools.chain([header], file), delimiter=delimiter)
            names = [name.strip() for name in next(lines, [])]
            if problem := columns_mistake(names, known, required):
                raise error(f"{path}, row 1: must have {problem}")
            for number, line in enumerate(lines, start=2):
                if len(line) != len(names) and any(line):
                    raise error(f"{path}, row {number}: must have {len(names)} cells; got {len(line)}; fix the row")
                if any(line):
                    yield number, {name: cell.strip() for name, cell in zip(names, line, strict=True) if cell.strip()}
    except OSError as failed:
        raise error(f"{path} must be a CSV file; got: {failed.strerror}; write it or fix the path") from failed
    except (csv.Error, UnicodeDecodeError) as wrong:
        raise error(f"{path} must be a CSV file in UTF-8; got: {wrong}; save it as CSV") from wrong


def columns_mistake(names: list[str], known: Collection[str], required: Collection[str]) -> str | None:
    """What the columns of a table must have, and what is wrong with them; None where nothing is."""
    for name in names:
        if name not in known:
            return f"known columns; got {shown(name)}; {nearest(name, known)}"
        if names.count(name) > 1:
            return f"the column {name} once; got it again; remove one"
    lacking = next((name for name in required if name not in names), None)
    return lacking and f"the columns {', '.join(required)}; got no {lacking}; add it"


def typed(kind: type[Struct], cells: Mapping[str, str]) -> dict[str, Any]:
    """Texts as the types that the fields of a struct have; what is no such value stays text, to be refused.

    Args:
        kind: The struct.
        cells: Texts by field; of a list, with spaces between its items.
    """
    declared = fields(kind)
    return {name: _typed(declared[name].type, text) for name, text in cells.items()}


def _typed(kind: inspect.Type, text: str) -> Any:
    match kind:
        case inspect.Metadata():
            return _typed(kind.type, text)
        case inspect.UnionType():
            return _typed(next(part for part in kind.types if not isinstance(part, inspect.NoneType)), text)
        case inspect.ListType():
            return [_typed(kind.item_type, part) for part in text.split()]
        case inspect.BoolType():
            return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
        case inspect.IntType() | inspect.FloatType():
            return as_number(text)
    return text


def as_number(text: str) -> Any:
    """A finite number, whole where it is; other text stays as it is."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number


def mistake(kind: type[Struct], data: Any, name: str, where: str | None = None) -> str | None:
    """The first mistake in plain data that should be such a struct, in one line; None where there
    is none.

    Args:
        name: What the message calls the document.
        where: What it calls this part of the document, where that is another name.
    """
    declared = fields(kind)
    required = [field.name for field in declared.values() if field.required]
    if problem := keys_mistake(data, declared, required, where or name):
        return problem
    own, *_ = declared.values()
    known = own.required and own.name in data and _accepts(own, data[own.name])
    of = f" of {shown(data[own.name])}" if known and where else ""
    place = f" ({where.rpartition(', ')[2]})" if where and not of else ""
    given = (field for field in declared.values() if field.name in data)
    return _first(_field_mistake(field, data[field.name], name, of, place) for field in given)


def _first(problems: Iterable[str | None]) -> str | None:
    return next(filter(None, problems), None)


def keys_mistake(data: Any, known: Collection[str], required: Collection[str], where: str) -> str | None:
    """What is wrong with the keys of an object, in one line; None where nothing is."""
    if not isinstance(data, Mapping):
        return f"{where} must be an object with {', '.join(known)}; got {shown(data)}; fix it"
    for key in data:
        if key not in known:
            return f"{where} must have known keys; got {shown(key)}; {nearest(key, known)}"
    for key in required:
        if key not in data:
            return f"{where} must have {', '.join(required)}; got no {key}; add it"
    return None


def field_mistake(kind: type[Struct], key: str, value: Any, name: str) -> str | None:
    """What is wrong with the value of one field, in one line; None where nothing is."""
    return _field_mistake(fields(kind)[key], value, name, "", "")


def _field_mistake(field: Field, value: Any, name: str, of: str, place: str) -> str | None:
    if _accepts(field, value):
        return None
    if isinstance(field.type, inspect.StructType):
        return mistake(field.type.cls, value, f"{name} [{field.name}]")
    if isinstance(field.type, inspect.DictType):
        return _dict_mistake(field, value, name)
    listed = isinstance(field.type, inspect.ListType) and isinstance(value, Sequence)
    if listed and not isinstance(value, str | bytes) and (problem := _item_mistake(field, value, name, of)):
        return problem
    fix = field.extra.get("fix", "fix it")
    if field.choices and not field.extra.get("fix"):
        fix = nearest(value, field.choices)
    return f"{name}: {field.name}{of} must be {field.allowed}; got {shown(value)}{place}; {fix}"


def _item_mistake(field: Field, value: Sequence[Any], name: str, of: str) -> str | None:
    """The first mistake among the items of a list, which are all objects or all plain values."""
    (item,) = get_args(_bare(field.hint))
    numbered = enumerate(value, start=1)
    if isinstance(inspect.type_info(item), inspect.StructType):
        return _first(mistake(item, one, name, f"{name}: {field.name}, item {number}") for number, one in numbered)
    inner = _field(field.name, item, required=True)
    return _first(_field_mistake(inner, one, name, of, f" (item {number})") for number, one in numbered)


def _dict_mistake(field: Field, value: Any, name: str) -> str | None:
    keys, values = get_args(_bare(field.hint))
    known = get_args(keys)
    if problem := keys_mistake(value, known or value, (), f"{name}: {field.name}"):
        return problem
    inner = _field(field.name, values, required=True)
    return _first(_field_mistake(inner, one, name, f" of {shown(key)}", "") for key, one in value.items())


def _accepts(field: Field, value: Any) -> bool:
    try:
        msgspec.convert(value, field.hint)
    except _REFUSED:
        return False
    return not field.extra.get("printable") or value is None or value.isprintable()


@functools.lru_cache(maxsize=64)
def fields(kind: type[Struct]) -> dict[str, Field]:
    """The declared fields of a struct, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {item.name: _field(item.name, hints[item.name], item.required) for item in msgspec.structs.fields(kind)}


def _field(name: str, hint: Any, required: bool) -> Field:
    description = ""
    extra = {}
    found = inspect.type_info(hint)
    while isinstance(found, inspect.Metadata):
        description = (found.extra_json_schema or {}).get("description", description)
        extra = {**(found.extra or {}), **extra}
        found = found.type
    if isinstance(found, inspect.UnionType):
        for part in found.types:
            if isinstance(part, inspect.Metadata):
                extra = {**(part.extra or {}), **extra}
    return Field(name, hint, found, description, extra, required)


@functools.lru_cache(maxsize=64)
def _printable_fields(kind: type[Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind).values() if field.extra.get("printable"))


def _bare(hint: Any) -> Any:
    """A type without its annotations."""
    return _bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def _allowed(kind: inspect.Type, null: str | None = None) -> str:
    match kind:
        case inspect.Metadata():
            return _allowed(kind.type)
        case inspect.UnionType():
            others = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
            nothing = ", or null" if any(isinstance(part, inspect.NoneType) for part in kind.types) else ""
            return " or ".join(map(_allowed, others)) + nothing + (f" {null}" if nothing and null else "")
        case inspect.IntType() | inspect.FloatType():
            whole = isinstance(kind, inspect.IntType) or kind.multiple_of == 1
            return f"a {'whole ' * whole}number{_bounds(kind)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text" if kind.max_length is None else f"{kind.min_length} to {kind.max_length} printable characters"
        case inspect.LiteralType():
            return " or ".join(map(str, kind.values))
        case inspect.DateType():
            return "YYYY-MM-DD"
        case inspect.DictType():
            return f"an object; each value {_allowed(kind.value_type)}"
        case inspect.ListType(item_type=inspect.StructType()):
            return "a list of objects"
        case inspect.ListType():
            count = f" of {kind.min_length}" if kind.min_length and kind.min_length == kind.max_length else ""
            return f"a list{count}, each {_allowed(kind.item_type)}"
    raise TypeError(f"no words for the type {kind}")


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    low = "" if kind.ge is None else f" from {kind.ge:g}"
    low = low if kind.gt is None else f" above {kind.gt:g}"
    high = "" if kind.le is None else f" to {kind.le:g}"
    return low + (high if kind.lt is None else f" to below {kind.lt:g}")


def from_json(text: str | bytes) -> Any:
    """The plain data of a JSON document, in which no object may name a key twice.

    Raises:
        ValueError: The text is not JSON, or a key is not unique.

    Example:
        >>> from_json('{"market": "Oslo", "market": "Rome"}')
        Traceback (most recent call last):
        ValueError: keys of an object must be unique; got 'market' again; remove one
    """
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        left = list(found)
        again = next(key for key, _ in pairs if key not in left or left.remove(key))
        raise ValueError(f"keys of an object must be unique; got {shown(again)} again; remove one")
    return found


def nearest(word: Any, known: Collection[str]) -> str:
    """The known word that was probably meant, or the first of them, as the last part of an error message."""
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    first = ", ".join(list(known)[:6])
    return f"known are {first}{', …' if len(known) > 6 else ''}"


def some_of(names: Sequence[Any], most: int = 1) -> str:
    """The first names of a list and how many more there are, as messages name them.

    Example:
        >>> some_of(["tea", "milk", "rye"], most=2)
        'tea, milk and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def shown(value: Any) -> str:
    """A value, shortened, as error messages quote it."""
    return _short.repr(value)


def schemas(kinds: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The JSON schemas of types, and those of the structs and data classes that they hold by name, which are components
    of an OpenAPI document.

    Example:
        >>> schemas([list[int]])
        ([{'type': 'array', 'items': {'type': 'integer'}}], {})
    """
    own, named = msgspec.json.schema_components(kinds, ref_template=SCHEMA_REFERENCE)
    for schema in named.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    return list(own), named
