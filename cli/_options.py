"""What the commands share: options, output and progress bars."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct, structs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..atomic import plain, without_nan
from ..privacy.access import ROLE, Reader, reading_as
from ..privacy.encryption import KEY_FROM
from ..serving.documents import Field, field_mistake, fields, typed
from . import environment


class _Out(click.Path):
    """A file or folder to write; what is in its way is reported before the work is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        if there != path and not (there.is_dir() and os.access(there, os.W_OK)):
            wrong = "is closed to you" if there.is_dir() else "is a file"
            raise ValueError(
                f"{param and param.opts[0]} must lie in a folder that can be written to; got {path}, but {there} {wrong}; name "
                "another path"
            )
        return path


class Number(click.FloatRange):
    """A number in a range, of which click takes `nan` for a part."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return found


OUT = _Out(path_type=Path)
"""The type of options that name a result."""
FILE = click.Path(path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal to ask on.")


def count_option(option: str, default: int, text: str, *, least: int = 1) -> Callable[[Any], Any]:
    """An option that counts something, from the least number on."""
    return click.option(option, type=click.IntRange(min=least), default=default, show_default=True, help=text)


seed_option = count_option("--seed", 0, "Seed of all random draws.", least=0)
episodes_option = count_option("--episodes", 1000, "Test markets, one episode each.")
public_key_option = click.option(
    "--public-key", type=FILE, help="PEM file of the key that must have signed the bundle."
)
risk_option = click.option(
    "--risk",
    default="mean",
    show_default=True,
    metavar="mean|cvar:SHARE",
    help="What recommended prices are chosen by: the mean gain over the draws, or its mean in the worst share of them.",
)
draws_option = click.option(
    "--draws", type=click.IntRange(min=1), help="Posterior draws to compare over.  [default: 200, or all of fewer]"
)
set_option = click.option(
    "--set", "values", multiple=True, metavar="KEY=VALUE", help="Override a value of the preset; repeatable."
)
zone_option = click.option(
    "--zone", help="Name of the stores that the market stands for.  [default: its price zone, else all stores]"
)
place_option = click.option(
    "--on",
    default="local",
    show_default=True,
    metavar="local|ray|ray://HOST:PORT",
    help="Where it runs: on this machine's cores, on the Ray cluster that is running or that RAY_ADDRESS names, or on the "
    "one at an address.",
)


def _environment_option(
    name: str, variable: str, text: str, then: Callable[[click.Context, bool], None] = lambda _context, _given: None
) -> Callable[[Any], Any]:
    """An option that sets an environment variable while the command and its workers run."""

    def put(context: click.Context, _option: click.Parameter, value: str | None) -> None:
        if value is not None:
            # Of the whole call: a command whose other options are wrong never closes its own context.
            context.find_root().with_resource(environment(variable, value))
        then(context, value is not None)

    return click.option(name, callback=put, expose_value=False, is_eager=True, help=f"{text}  [env: {variable}]")


def _read_as(context: click.Context, given: bool) -> None:
    """Let the command read tables as the role in the environment, which must be declared where it was given."""
    reader = Reader(os.environ.get(ROLE), context.command_path, role_required=given)
    context.find_root().with_resource(reading_as(reader))


key_option = _environment_option(
    "--key-from", KEY_FROM, "Key of encrypted tables and bundles: env:NAME, file:PATH or command:WORDS."
)
_as_role = _environment_option("--as", ROLE, "Role that reads the tables, of TABLES.roles.toml.", _read_as)


def tables_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that reads a folder of tables: its key and the role."""
    return key_option(_as_role(function))


def setting(text: str, option: str = "--set", example: str = "learning_rate=1e-3") -> tuple[str, Any]:
    """KEY=VALUE with a JSON value; anything that is not JSON is a string."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{option} takes KEY=VALUE; got '{text}'; write, for example, {example}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


class _Declared(click.ParamType):
    """A value that a declared field allows."""

    name = "value"

    def __init__(self, kind: type[Struct], field: Field) -> None:
        self._kind = kind
        self._field = field

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, as a file would have it."""
        name = self._field.name
        found = typed(self._kind, {name: value})[name] if isinstance(value, str) else value
        problem = field_mistake(self._kind, name, found, "")
        if problem is not None:
            raise ValueError(f"{param and param.opts[0]} {problem.partition(f'{name} ')[2]}")
        return found


def declared_option(kind: type[Struct], name: str, option: str | None = None, **more: Any) -> Callable[[Any], Any]:
    """The option for a field of a struct, with its type, meaning and default."""
    field = fields(kind)[name]
    default = next(one.default for one in structs.fields(kind) if one.name == name)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", field.description.replace("`", "")).rstrip(".")
    option = option or f"--{name.replace('_', '-')}"
    more["help"] = f"{text[:1].upper()}{text[1:]}."
    if isinstance(default, bool):
        return click.option(option, name, is_flag=True, **more)
    kinds = click.Choice(field.choices) if field.choices else _Declared(kind, field)
    more = {"type": kinds, "default": default, "show_default": default is not None} | more
    if isinstance(more["type"], _Declared):
        more["metavar"] = f"<{field.allowed.replace(', or null', '')}>"
    return click.option(option, name, **more)


def declared_options(kind: type[Struct], name: str, **own: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each field of a struct; the command gets the struct as one argument.

    Args:
        kind: The struct.
        name: Name of the argument.
        own: The options of some fields, where they are written otherwise.
    """

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(**options: Any) -> Any:
            return command(**{name: kind(**{field: options.pop(field) for field in fields(kind)})}, **options)

        for field in reversed(fields(kind)):
            wrapped = own.get(field, declared_option(kind, field))(wrapped)
        return wrapped

    return with_options


def gone_option(option: str, instead: str, *, refused: bool = False, **more: Any) -> Callable[[Any], Any]:
    """A hidden option of an earlier version, which says what takes its place.

    Args:
        refused: Whether the command ends there; else it goes on without it.
    """

    def tell(_context: click.Context, _option: click.Parameter, given: Any) -> None:
        line = f"{option} is no longer there; {instead}"
        if given and refused:
            raise ValueError(line)
        if given:
            say_aside(line)

    return click.option(option, callback=tell, expose_value=False, hidden=True, **more)


def say(text: str) -> None:
    """Print a line as it is; names may contain brackets, which Rich would take for markup."""
    click.echo(text)


def say_aside(text: str) -> None:
    """Print a line to stderr, beside the results."""
    click.echo(text, err=True)


def show(table: Table) -> None:
    """Print a table, as wide as the terminal; 160 characters without one. Long ids are folded, never cut."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(table)


def emit(document: Any) -> None:
    """Print the one JSON document of a command."""
    json.dump(without_nan(document), sys.stdout, indent=2, default=plain)
    sys.stdout.write("\n")


def output(as_json: bool, document: Any, *parts: str | Table | None) -> None:
    """Print the result of a command: one JSON document, or its lines and tables."""
    if as_json:
        emit(document)
        return
    for part in filter(None, parts):
        show(part) if isinstance(part, Table) else say(part)


def confirm(question: str, yes: bool) -> None:
    """Ask before what cannot be taken back.

    Args:
        question: What is about to happen, for ever.
        yes: Whether `--yes` has answered it.

    Raises:
        ValueError: There is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ValueError(f"{question} This must be confirmed; got no terminal to ask on; pass --yes")
    click.confirm(question, abort=True, err=True)


def check_there(name: str, path: Path) -> None:
    """Check that there is a file, or a pipe, to read."""
    if not path.exists() or path.is_dir():
        raise ValueError(f"{name} must be a file; got {path}, where there is none; check the path")


def check_table_path(option: str, path: Path) -> None:
    """Check the ending of a table's file before the work is done."""
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{option} must end in .csv or .parquet; got '{path}'; rename it")


def figures_table(named: Iterable[str], figures: Iterable[str], **more: Any) -> Table:
    """A table whose first columns name a row and whose others are figures, aligned to the right."""
    table = Table(*named, **more)
    for heading in figures:
        table.add_column(heading, justify="right")
    return table


def comparison_table(document: dict[str, Any], currency: str) -> Table:
    """A comparison as a table for the terminal."""
    from ..evaluation.comparison import caption, columns, title

    cells = columns(document)
    first, *figures = cells
    table = figures_table([first], figures, title=escape(title(document, currency)), caption=caption(document))
    for row in document["policies"]:
        table.add_row(*(escape(cell(row)) for cell in cells.values()))
    return table
