"""Options that name a shop's tables, and reading what they name."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, TextColumn

from ._options import progress_bar

if TYPE_CHECKING:
    from ..data import ImportReport, Tables

FILE = click.Path(path_type=Path)
_KINDS = {
    "sales": "One row a sale line.",
    "products": "One row a product.",
    "customers": "One row a customer.",
    "behaviour": "One row a view, cart, rating or review.",
    "signals": "One row a competitor's price, a holiday or the value of an index.",
    "stock": "One row a count of a product's stock.",
    "promotions": "One row a promotion of a product.",
}

mapping_option = click.option("--mapping", type=FILE, help="TOML file that says how the files are laid out.")


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each table; the command gets those that were given as `paths`."""

    @functools.wraps(function)
    def with_paths(**options: Any) -> None:
        paths = {name: options.pop(name) for name in _KINDS}
        function(paths={name: path for name, path in paths.items() if path}, **options)

    for name in reversed(_KINDS):
        with_paths = click.option(f"--{name}", type=FILE, help=_KINDS[name])(with_paths)
    return with_paths


def given_tables(dataset: Path | None, paths: dict[str, Path], mapping: Path | None) -> tuple[Tables, int]:
    """The tables of an imported folder, or of files, and how many of their rows were rejected."""
    from ..data import DataError, load_tables

    if dataset and (paths or mapping):
        raise DataError(f"a folder or files must be given; got {dataset} and files; leave one out")
    if dataset:
        return load_tables(dataset), 0
    tables, report = import_files(paths, mapping, secrets.token_bytes(32))
    return tables, len(report.rejects)


def import_files(paths: dict[str, Path], mapping: Path | None, key: bytes) -> tuple[Tables, ImportReport]:
    """Import files, with a progress bar."""
    from ..data import import_tables, load_mapping

    layouts = load_mapping(mapping) if mapping else {}
    with _bar() as progress:
        return import_tables(paths, key=key, mapping=layouts, progress=progress)


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """A progress bar for each file on stderr, where it is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with progress_bar(*columns) as bar:
        tasks: dict[str, Any] = {}

        def update(name: str, share: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"reading {name}", total=1.0)
            bar.update(tasks[name], completed=share)

        yield update
