"""The files of a shop: which tables there may be, how they are laid out, and their import with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .progress import progress_bar

if TYPE_CHECKING:
    from ..data import ImportReport, TableMapping
    from ..data.sources import Source

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
class FileLayout:
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
        from ..data.sources import TableFile, parts_of

        found = load_mapping(self.path) if self.path else {}
        seen = set[str]()
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


def import_files(
    paths: Mapping[str, Source],
    mapping: FileLayout | None,
    key: bytes,
    folder: Path,
    *,
    update: bool = False,
    without_flagged: bool = False,
    vat: float | None = None,
    hidden: bytes | None = None,
) -> ImportReport:
    """Import files to a folder, with a progress bar; `hidden` is the key to encrypt it with, in memory, and `vat` the rate of
    all products.
    """
    from .. import data

    layouts = mapping.mappings(paths) if mapping else {}
    with _bar() as progress:
        how: dict[str, Any] = {"key": key, "mapping": layouts, "vat": vat, "progress": progress}
        if hidden is None:
            return data.import_folder(paths, folder, update=update, without_flagged=without_flagged, **how)
        tables, report = data.import_tables(paths, **how)
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
