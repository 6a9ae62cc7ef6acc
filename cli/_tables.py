"""Options for a shop's tables, and reading the files that they name."""

from __future__ import annotations

import functools
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.shop_files import TABLES, FileLayout, import_files
from ._options import FILE, check_there

if TYPE_CHECKING:
    import pandas as pd

    from ..data import StoredTables
    from ..data.sources import Source


class _Source(click.ParamType):
    """A path, or a URL."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if isinstance(value, Path) or "://" in value else Path(value)


def mapping_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a `FileLayout`; the command receives it as `mapping`, None where none is given."""

    @functools.wraps(function)
    def with_layout(
        mapping: Path | None, allow_column: tuple[str, ...], drop_column: tuple[str, ...], **options: Any
    ) -> None:
        given = mapping or allow_column or drop_column
        function(mapping=FileLayout(mapping, allow_column, drop_column) if given else None, **options)

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


def given_tables(
    dataset: Path | None, paths: Mapping[str, Source], mapping: FileLayout | None
) -> tuple[StoredTables, int]:
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


def read_frame(option: str, path: Path) -> pd.DataFrame:
    """A table of any columns: CSV and XLSX, all as text, or Parquet."""
    import pandas as pd

    check_there(option, path)
    try:
        match path.suffix.lower():
            case ".csv":
                return pd.read_csv(path, dtype=str, encoding="utf-8-sig")
            case ".xlsx":
                return pd.read_excel(path, dtype=str, engine="calamine")
            case ".parquet":
                return pd.read_parquet(path)
    except (ValueError, zipfile.BadZipFile, OSError) as error:
        raise ValueError(
            f"{option} must be a table that can be read; got {path.name}: {error}; save it again"
        ) from error
    raise ValueError(f"{option} must end in .csv, .xlsx or .parquet; got '{path}'; save it as one of them")
