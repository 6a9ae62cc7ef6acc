"""Options for a shop's tables, and reading the files that they name."""

from __future__ import annotations

import functools
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import FILE, progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from ..data import ImportReport, StoredTables, TableMapping
    from ..data.sources.parts import Source


class _Source(click.ParamType):
    """A path, or a URL."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if isinstance(value, Path) or "://" in value else Path(value)


TABLES = {
    "sales": "one row per sale line",
    "products": "one row per product",
    "customers": "one row per customer",
    "behaviour": "one row per view, cart, rating or review",
    "signals": "one row per competitor price, holiday or value of an external index",
    "stock": "one row per stock count of a product",
    "promotions": "one row per promotion of a product",
    "plan": "one row per product and week to come: planned prices, promotions and deliveries",
}
"""The shop's tables that a command may be given as files, and what a row of each is."""


@dataclass(frozen=True)
class Layout:
    """How files are laid out.

    Attributes:
        path: A mapping file.
        allow: Columns of any of the files to read, although they look like personal data or are no
            column of the table.
        drop: Columns of any of them not to look at.
    """

    path: Path | None
    allow: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def mappings(self, paths: Mapping[str, Source]) -> dict[str, TableMapping]:
        """The mapping of each file. Raises DataError where no file has a column."""
        from ..data import DataError, TableMapping, load_mapping
        from ..data.sources.parts import parts_of
        from ..data.sources.reading import TableFile

        found, seen = load_mapping(self.path) if self.path else {}, set[str]()
        if not (self.allow or self.drop):
            return found
        for name, path in paths.items():
            layout = found.get(name, TableMapping())
            columns = TableFile(parts_of(path)[0], layout).columns
            allow, drop = (tuple(one for one in given if one in columns) for given in (self.allow, self.drop))
            found[name] = replace(layout, allow=layout.allow + allow, drop=layout.drop + drop)
            seen |= {*allow, *drop}
        for one in {*self.allow, *self.drop} - seen:
            raise DataError(f"a column to allow or to drop must be in a file; got '{one}', which is in none; fix it")
        return found


def mapping_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a `Layout`; the command receives it as `mapping`, None where none is given."""

    @functools.wraps(function)
    def with_layout(
        mapping: Path | None, allow_column: tuple[str, ...], drop_column: tuple[str, ...], **options: Any
    ) -> None:
        given = mapping or allow_column or drop_column
        function(mapping=Layout(mapping, allow_column, drop_column) if given else None, **options)

    for name, text in {
        "--drop-column": "Column that is not looked at, such as one with personal data; may be repeated.",
        "--allow-column": "Column to read although it looks like personal data, or, of customers, as a trait.",
    }.items():
        with_layout = click.option(name, multiple=True, metavar="NAME", help=text)(with_layout)
    return click.option("--mapping", type=FILE, help="TOML file that declares how the files are laid out.")(with_layout)


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option per table; the command receives the given ones as `paths`."""

    @functools.wraps(function)
    def with_paths(**options: Any) -> None:
        paths = {name: options.pop(name) for name in TABLES}
        function(paths={name: path for name, path in paths.items() if path}, **options)

    for name in reversed(TABLES):
        with_paths = click.option(f"--{name}", type=_Source(), help=f"File, folder or URL with {TABLES[name]}.")(
            with_paths
        )
    return with_paths


def given_tables(dataset: Path | None, paths: Mapping[str, Source], mapping: Layout | None) -> tuple[StoredTables, int]:
    """The tables of an imported folder or of files, read as they are needed, and the number of rejected rows."""
    from ..data import DataError, scan_tables

    if dataset and (paths or mapping):
        raise DataError(f"a folder or files must be given; got {dataset} and files; leave one out")
    if dataset:
        return scan_tables(dataset), 0
    folder = scratch_folder()
    report = import_files(paths, mapping, secrets.token_bytes(32), folder)
    return scan_tables(folder), sum(sum(rows.values()) for rows in report.dropped.values())


def scratch_folder() -> Path:
    """A folder, not yet there, that is gone when the command ends."""
    return Path(click.get_current_context().with_resource(tempfile.TemporaryDirectory())) / "tables"


def read_frame(path: Path) -> pd.DataFrame:
    """A table of any columns, CSV (all as text) or Parquet."""
    import pandas as pd

    from ..data import DataError

    try:
        return pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must be a table that can be read; got: {error}; check how it was exported") from error


def import_files(
    paths: Mapping[str, Source],
    mapping: Layout | None,
    key: bytes,
    folder: Path,
    *,
    update: bool = False,
    without_flagged: bool = False,
    hidden: bytes | None = None,
) -> ImportReport:
    """Import files to a folder, with a progress bar; `hidden` is the key to encrypt it with, in memory."""
    from .. import data

    layouts = mapping.mappings(paths) if mapping else {}
    with _bar() as progress:
        if hidden is None:
            return data.import_folder(
                paths,
                folder,
                key=key,
                mapping=layouts,
                progress=progress,
                update=update,
                without_flagged=without_flagged,
            )
        tables, report = data.import_tables(paths, key=key, mapping=layouts, progress=progress)
    tables, report = data.without_flagged(tables, report) if without_flagged else (tables, report)
    data.save_tables(tables, report, folder, key=hidden)
    return report


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """One progress bar per file, on stderr if that is a terminal."""
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def update(name: str, share: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"reading {name}", total=1.0)
            bar.update(tasks[name], completed=share)

        yield update
