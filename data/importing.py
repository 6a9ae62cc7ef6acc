"""Import a shop's tables: every row is kept, cleaned with a note, or rejected with its reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import polars as pl
from filelock import FileLock, Timeout

from ..atomic import whole_folder
from ..privacy.pseudonyms import Pseudonyms
from .doubtful_costs import doubtful_costs, missing_costs
from .doubtful_products import doubtful_products
from .doubtful_vat import doubtful_vat
from .incoming import IncomingTable, to_pandas
from .mapping import TableMapping
from .panel.promotion_kinds import kinds_in_words
from .schema import SCHEMAS, DataError
from .sources import Source, Stage
from .storage import FolderWriter, check_new, parts_beside
from .suspects import strange_stores, unusual_customers
from .tables import REJECT_COLUMNS, ImportReport, Tables
from .weeks import to_polars

Progress = Callable[[str, float], None]
"""Called with what is read, such as the name of a table, and the share that has been read, from 0 to 1."""
Take = Callable[[str, Iterator[pl.DataFrame]], pl.LazyFrame]
"""Keeps the clean rows of a table, and gives them back."""
_CHECKED_COLUMNS = [
    *(
        "date",
        "product",
        "units",
        "price_paid",
        "regular_price",
        "unit_cost",
        "vat",
        "category",
        "name",
        "customer",
        "store",
        "event",
        "value",
        "kind",
    )
]
"""Columns that are looked at once more, when the tables are finished."""
_IN_MEMORY = 64 * 2**20
"""Bytes of CSV up to which the rows of an import stay in memory; Parquet and XLSX take a quarter of them."""


def import_tables(
    paths: Mapping[str, Source],
    *,
    key: bytes,
    mapping: Mapping[str, TableMapping] | None = None,
    vat: float | None = None,
    progress: Progress = lambda _name, _share: None,
) -> tuple[Tables, ImportReport]:
    """Read, check and clean a shop's tables.

    A faulty row goes to the report's rejects: a number or date that cannot be read, a value that
    breaks the rules of `SCHEMAS`, an exact copy of an earlier row, a duplicate id in products or
    customers, a product that is not in the product table (if there is one), a sale that is
    cancelled on its own receipt. Some faults are corrected with a note: rows out of date order are
    sorted, a regular price that is missing or below the price paid is set to the price paid,
    negative stock is set to 0, a unit cost of 0 in the sales is unknown. Customer ids become pseudonyms first of all.

    Only columns of `SCHEMAS` and of the mapping are carried; those of customers that the mapping
    names or allows are traits. A file with obvious personal data is refused, see
    `privacy.personal`, unless the mapping allows or drops its column.

    Args:
        paths: Where the rows are, by table: "sales" and, optionally, the others of `SCHEMAS`. CSV, XLSX
            or Parquet files, folders of them, or URLs; see `data.sources.parts.parts_of`.
        key: Secret for the pseudonyms, at least 16 bytes; see `pseudonymise`.
        mapping: How the files are laid out, by table; see `load_mapping`. Canonical by default.
        vat: Value added tax in all prices, a share of the price without it, for the column `vat` of the products.
        progress: Called with the name of a table and the share of it that has been read.

    Returns:
        The tables, and a report of where each row went.

    Raises:
        DataError: A whole file is unusable: unknown table, missing file, unreadable file, no rows,
            a missing column, no good row, or a column with personal data; or the products say another `vat`, or there
            are none to say it of.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "sales.csv"
        >>> text = "date,product,units,price_paid\\n2024-03-04,apple,1,0.5\\n2024-03-05,apple,two,0.5\\n"
        >>> _ = path.write_text(text)
        >>> tables, report = import_tables({"sales": path}, key=b"sixteen bytes or more")
        >>> report.lines()[:2]
        ['sales: 2 rows read, 1 kept', '  1 left out: units: is not a number']
    """
    done: dict[str, pd.DataFrame] = {}

    def take(name: str, frames: Iterator[pl.DataFrame]) -> pl.LazyFrame:
        # No other reference may keep the rows in memory while they become a pandas table.
        columns = pl.concat(list(frames), how="vertical_relaxed").get_columns()
        done[name] = SCHEMAS[name].validate(to_pandas(columns), lazy=True, inplace=True)
        return to_polars(done[name], _CHECKED_COLUMNS).lazy()

    report = _import(_incoming(paths, mapping, key), take, progress, vat)
    return Tables(**done), report


def import_folder(
    paths: Mapping[str, Source],
    folder: Path,
    *,
    key: bytes,
    mapping: Mapping[str, TableMapping] | None = None,
    vat: float | None = None,
    progress: Progress = lambda _name, _share: None,
    update: bool = False,
    without_flagged: bool = False,
) -> ImportReport:
    """Import a shop's tables to a folder, however many rows they have: `import_tables` without the memory.

    What has been read waits in FOLDER.parts, week by week, if it is too much for the memory. An
    import that was interrupted goes on from there.

    Args:
        paths: Where the rows are, by table, as for `import_tables`.
        folder: The folder to write; a new one, unless `update` is set.
        key: Secret for the pseudonyms, as for `import_tables`.
        mapping: How the files are laid out, by table.
        vat: Value added tax in all prices, as for `import_tables`.
        progress: Called with the name of a table and the share of it that has been read.
        update: Whether to keep FOLDER.parts, and to read only files that are new or have changed
            since the last import into `folder`, which is replaced.
        without_flagged: Whether to leave out the rows of flagged customers.

    Returns:
        A report of where each row went.

    Raises:
        DataError: As `import_tables`, or `folder` exists.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> _ = (home / "sales.csv").write_text("date,product,units,price_paid\\n2024-03-04,apple,1,0.5\\n")
        >>> import_folder({"sales": home / "sales.csv"}, home / "shop", key=b"sixteen bytes or more").kept
        {'sales': 1}
    """
    if not update:
        check_new(folder)
    parts = parts_beside(folder)
    tables = _incoming(paths, mapping, key)

    def write(unfinished: Path) -> ImportReport:
        writer = FolderWriter(unfinished)
        report = _import(tables, writer.table, progress, vat)
        if without_flagged and report.flagged:
            report = writer.leave_out(report)
        writer.account(report)
        if not update:
            check_new(folder)
        return report

    if not (update or parts.exists() or sum(map(_weight, tables.values())) > _IN_MEMORY):
        with whole_folder(folder, mode=0o700) as unfinished:
            return write(unfinished)
    stage = Stage(parts, [Pseudonyms(key).key_id, dict(mapping or {})])
    for table in tables.values():
        table.stage = stage
    try:
        lock = FileLock(parts / "lock", timeout=0)
        with lock, whole_folder(folder, mode=0o700, at=parts / "unfinished") as unfinished:
            report = write(unfinished)
            stage.tidy()
    except Timeout as error:
        raise DataError(
            f"{folder} must be written by one import at a time; got another at work; wait for it"
        ) from error
    if not update:
        shutil.rmtree(parts)
    return report


def import_table(name: str, path: Path, *, products: pd.Series | None = None) -> pd.DataFrame:
    """Read one table in canonical columns, of which every row must be good.

    Args:
        name: One of `SCHEMAS`.
        path: CSV, XLSX or Parquet file.
        products: Ids of the product table, if there is one.

    Raises:
        DataError: The file is unusable or a row is faulty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "plan.csv"
        >>> _ = path.write_text("date,product,price\\n2024-03-04,apple,0.5\\n")
        >>> import_table("plan", path)["price"].tolist()
        [0.5]
    """
    table = IncomingTable(name, path, TableMapping(), Pseudonyms(b"no customers here"))
    table.read(lambda _share: None)
    rows = pl.concat(table.finish(None if products is None else pl.from_pandas(products)))
    rejects = table.rejects
    if len(rejects):
        first = rejects.iloc[0]
        raise DataError(
            f"{path.name}: every row must be good; got {first['reason']} in row {first['row']} "
            f"({len(rejects)} faulty rows in all); fix them"
        )
    return SCHEMAS[name].validate(to_pandas(rows.get_columns()), lazy=True, inplace=True)


def _incoming(
    paths: Mapping[str, Source], mapping: Mapping[str, TableMapping] | None, key: bytes
) -> dict[str, IncomingTable]:
    """The tables to import, products first. All headers are read, so that a wrong one is reported immediately."""
    if "sales" not in paths or not set(paths) <= set(SCHEMAS):
        raise DataError(
            f"paths must name sales, and may name {', '.join(list(SCHEMAS)[1:])}; got {', '.join(paths) or 'none'}"
        )
    pseudonyms = Pseudonyms(key)
    return {
        name: IncomingTable(name, paths[name], (mapping or {}).get(name, TableMapping()), pseudonyms)
        for name in ("products", *(name for name in SCHEMAS if name != "products"))
        if name in paths
    }


def _weight(table: IncomingTable) -> float:
    """Bytes of CSV that a table would take; how many a table of a database takes is not known."""
    of = {"csv": 1.0, "parquet": 4.0, "xlsx": 4.0}
    return sum(part.size * of[part.kind] if part.kind in of else float("inf") for part in table.parts)


def _import(tables: dict[str, IncomingTable], take: Take, progress: Progress, vat: float | None) -> ImportReport:
    """Read the tables, and give the clean rows of each to `take`, in order, some at a time."""
    if vat is not None:
        take = _taxed(take, vat)
    lines = dict[str, pl.LazyFrame]()
    for name, table in tables.items():
        table.read(lambda share, name=name: progress(name, share))
        known = lines["products"].select("product").collect().to_series() if "products" in lines else None
        again = table.finish(known, lambda share, name=name: progress(f"{name} again, by day", share))
        lines[name] = take(name, again)
    made = _product_table(tables, take, lines)
    if vat is not None and "products" not in lines:
        raise DataError(
            f"vat is kept in the product table; got {vat:g} and no products; give the table, or the rate to repricer fit"
        )
    ordered = {name: tables[name] for name in SCHEMAS if name in tables}
    rejects = {name: table.rejects for name, table in ordered.items()}
    every_reject = pd.concat([rows.assign(table=name) for name, rows in rejects.items()], ignore_index=True)
    table_notes = [f"{name}: {note}" for name, table in ordered.items() for note in table.notes(lines[name])]
    return ImportReport(
        read={name: table.read_rows for name, table in ordered.items()},
        kept={name: table.kept for name, table in ordered.items()},
        dropped={
            name: {str(reason): int(n) for reason, n in rows["reason"].value_counts().items()}
            for name, rows in rejects.items()
        },
        rejects=every_reject[REJECT_COLUMNS],
        notes=(*table_notes, *made, *strange_stores(lines), *_doubts(lines)),
        pseudonym_key=tables["sales"].pseudonyms.key_id,
        flagged=unusual_customers(lines, tables["sales"].returns),
    )


def _taxed(take: Take, vat: float) -> Take:
    """Keeps the rows of a table, those of the products with a rate of VAT."""

    def with_vat(rows: pl.DataFrame) -> pl.DataFrame:
        if "vat" in rows and len(other := rows.filter(pl.col("vat") != vat)):
            product, rate = other.select("product", "vat").row(0)
            must = f"vat must be the same for the import and in the product table; got {vat:g} and {rate:g} for '{product}'"
            raise DataError(f"{must}; remove one of them")
        return rows.with_columns(vat=pl.lit(vat, pl.Float64))

    def taxed(name: str, frames: Iterator[pl.DataFrame]) -> pl.LazyFrame:
        return take(name, map(with_vat, frames) if name == "products" else frames)

    return taxed


def _doubts(lines: dict[str, pl.LazyFrame]) -> Iterator[str]:
    """What can hardly be meant of costs, stores and products, and how kinds of promotions count, now that all rows are there."""
    for find in (doubtful_costs, missing_costs, doubtful_vat, doubtful_products):
        yield from (f"sales: {note}" for note in find(lines["sales"], lines.get("products")))
    if (kinds := kinds_in_words(lines.get("promotions"))) is not None:
        yield f"promotions: {kinds}"


def _product_table(tables: dict[str, IncomingTable], take: Take, lines: dict[str, pl.LazyFrame]) -> list[str]:
    """Make the product table of the categories in the sales where no file gives it, and say so."""
    found = tables["sales"].products()
    if found is None or found.is_empty():
        return []
    if "products" in tables:
        return ["sales: the column category is not used beside a product table"]
    lines["products"] = take("products", iter([found.drop("categories")]))
    several = int((found["categories"] > 1).sum())
    more = f"; {several:,} of them have several categories, of which the commonest counts" if several else ""
    return [f"products: {len(found):,} products, made of the column category of the sales{more}"]
