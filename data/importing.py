"""Import a shop's tables: every row is kept, cleaned with a note, or rejected with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import polars as pl

from .casting import cast, convert
from .clean import clean, to_pandas
from .mapping import TableMapping, nearest
from .privacy.personal import personal_kind
from .pseudonyms import Pseudonyms
from .reading import TableFile
from .row_checks import COPY, RETURN, faults, misfits
from .schema import SCHEMAS, DataError
from .suspects.customers import flagged_customers
from .suspects.lines import suspects
from .tables import REJECT_COLUMNS, ImportReport, Tables

Progress = Callable[[str, float], None]
"""Called with the name of a table and the share of it that has been read, from 0 to 1."""


@dataclass(frozen=True)
class _Imported:
    """One clean table, and where its rows went."""

    table: pd.DataFrame
    read: int
    rejects: pd.DataFrame
    notes: list[str]
    returns: pl.DataFrame | None


def import_tables(
    paths: Mapping[str, Path],
    *,
    key: bytes,
    mapping: Mapping[str, TableMapping] | None = None,
    progress: Progress = lambda _name, _share: None,
) -> tuple[Tables, ImportReport]:
    """Read, check and clean a shop's tables.

    A faulty row goes to the report's rejects: a number or date that cannot be read, a value that
    breaks the rules of `SCHEMAS`, an exact copy of an earlier row, a duplicate id in products or
    customers, a product that is not in the product table (if there is one), a sale that is
    cancelled on its own receipt. Some faults are corrected with a note: rows out of date order are
    sorted, a regular price that is missing or below the price paid is set to the price paid,
    negative stock is set to 0. Customer ids become pseudonyms first of all.

    Only columns of `SCHEMAS` and of the mapping are carried; those of customers that the mapping
    names or allows are traits. A file with obvious personal data is refused, see
    `data.privacy.personal`, unless the mapping allows or drops its column.

    Args:
        paths: CSV or Parquet files by table: "sales" and, optionally, the others of `SCHEMAS`.
        key: Secret for the pseudonyms, at least 16 bytes; see `pseudonymise`.
        mapping: How the files are laid out, by table; see `load_mapping`. Canonical by default.
        progress: Called with the name of a table and the share of it that has been read.

    Returns:
        The tables, and a report of where each row went.

    Raises:
        DataError: A whole file is unusable: unknown table, missing file, unreadable file, no rows,
            a missing column, no good row, or a column with personal data.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "sales.csv"
        >>> text = "date,product,units,price_paid\\n2024-03-04,apple,1,0.5\\n2024-03-05,apple,two,0.5\\n"
        >>> _ = path.write_text(text)
        >>> tables, report = import_tables({"sales": path}, key=b"sixteen bytes or more")
        >>> report.lines()[:2]
        ['sales: 2 rows read, 1 kept', '  1 left out: units: is not a number']
    """
    if "sales" not in paths or not set(paths) <= set(SCHEMAS):
        raise DataError(
            f"paths must name sales, and may name {', '.join(list(SCHEMAS)[1:])}; got {', '.join(paths) or 'none'}"
        )
    layouts = dict(mapping or {})
    pseudonyms = Pseudonyms(key)
    # All headers are checked before any file is read, so that a wrong one is reported immediately.
    tables = {
        name: _Table(name, Path(paths[name]), layouts.get(name, TableMapping()), pseudonyms)
        for name in ("products", *(name for name in SCHEMAS if name != "products"))
        if name in paths
    }
    done: dict[str, _Imported] = {}
    for name, table in tables.items():
        known = pl.from_pandas(done["products"].table["product"]) if "products" in done else None
        table.read(lambda share, name=name: progress(name, share))
        done[name] = table.finish(known)
    imported_tables = Tables(**{name: imported.table for name, imported in done.items()})
    return imported_tables, _report({name: done[name] for name in SCHEMAS if name in done}, pseudonyms.key_id)


def import_table(name: str, path: Path, *, products: pd.Series | None = None) -> pd.DataFrame:
    """Read one table in canonical columns, of which every row must be good.

    Args:
        name: One of `SCHEMAS`.
        path: CSV or Parquet file.
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
    table = _Table(name, path, TableMapping(), Pseudonyms(b"no customers here"))
    table.read(lambda _share: None)
    found = table.finish(None if products is None else pl.from_pandas(products))
    if len(found.rejects):
        first = found.rejects.iloc[0]
        raise DataError(
            f"{path.name}: every row must be good; got {first['reason']} in row {first['row']} "
            f"({len(found.rejects)} faulty rows in all); fix them"
        )
    return found.table


def _report(done: dict[str, _Imported], key_id: str) -> ImportReport:
    rejects = [imported.rejects.assign(table=name) for name, imported in done.items()]
    return ImportReport(
        read={name: imported.read for name, imported in done.items()},
        kept={name: len(imported.table) for name, imported in done.items()},
        dropped={
            name: {str(reason): int(n) for reason, n in imported.rejects["reason"].value_counts().items()}
            for name, imported in done.items()
        },
        rejects=pd.concat(rejects, ignore_index=True)[REJECT_COLUMNS],
        notes=tuple(f"{name}: {note}" for name, imported in done.items() for note in imported.notes),
        pseudonym_key=key_id,
        flagged=flagged_customers(
            done["sales"].table,
            done["behaviour"].table if "behaviour" in done else None,
            done["sales"].returns,
        ),
    )


@dataclass
class _Table:
    """A table while it is imported in batches, of which clean columns and faulty rows are kept."""

    name: str
    path: Path
    layout: TableMapping
    pseudonyms: Pseudonyms
    good: list[pl.DataFrame] = field(default_factory=list)
    bad: list[pl.DataFrame] = field(default_factory=list)
    returns: list[pl.DataFrame] = field(default_factory=list)
    rows: list[pl.DataFrame] = field(default_factory=list)
    below_zero: int = 0

    def __post_init__(self) -> None:
        self.schema = SCHEMAS[self.name]
        self.file = TableFile(self.path, self.layout)
        self.columns = _find_columns(self.file, self.name, self.schema)

    def read(self, progress: Callable[[float], None]) -> None:
        """Read the file and check every row by itself."""
        for batch in self.file.batches(progress):
            self._refuse_persons(batch)
            start = self.file.read - len(batch)
            batch = batch.with_row_index("_position", offset=start)
            self._take(batch.filter(pl.any_horizontal(pl.exclude("_position").is_not_null())))
        if not (sum(map(len, self.rows)) or self.file.broken):
            raise DataError(f"{self.file.name}: a table must hold rows; got none; check how it was exported")

    def _refuse_persons(self, batch: pl.DataFrame) -> None:
        """Raise DataError where a column obviously holds personal data."""
        known = {*self.layout.allow, *self.layout.drop, self.columns.get("customer")}
        for column in batch.columns:
            kind = None if column in known else personal_kind(self.name, column, batch[column])
            if kind is not None:
                raise DataError(
                    f"{self.file.name}: column '{column}' must hold no personal data; got {kind}; leave it out "
                    f"(--drop-column '{column}'), or take it as it is (--allow-column '{column}')"
                )

    def _take(self, batch: pl.DataFrame) -> None:
        position = batch["_position"]
        # Two of ten million rows have the same hash with a probability of 3e-6.
        self.rows.append(pl.DataFrame({"_position": position, "_hash": batch.drop("_position").hash_rows(seed=0)}))
        raw = batch.select(pl.col(own).alias(column) for column, own in self.columns.items())
        if "customer" in raw:
            raw = raw.with_columns(self.pseudonyms.replace(raw["customer"]))
        specs = {column: spec for column, spec in self.schema.columns.items() if column in raw}
        read = raw.with_columns(cast(raw[column], spec, self.layout) for column, spec in specs.items())
        values = convert(read, self.layout)
        if self.name == "stock":
            self.below_zero += int((values["on_hand"] < 0).sum())
            values = values.with_columns(pl.col("on_hand").clip(lower_bound=0))
        wrong = faults(raw, read, values, self.schema, self.layout)
        is_bad = wrong.select(pl.any_horizontal(pl.all())).to_series()
        texts = [column for column in values.columns if values.schema[column] == pl.String]
        # Texts repeat: as categories they take four bytes per row.
        values = values.with_columns(position, pl.col(texts).cast(pl.Categorical))
        self.good.append(values.filter(~is_bad))
        if not is_bad.any():
            return
        reasons = pl.concat_str(
            [pl.when(column).then(pl.lit(column)) for column in wrong.columns], separator="; ", ignore_nulls=True
        )
        self.bad.append(
            pl.DataFrame(
                {
                    "_position": position.filter(is_bad),
                    "reason": wrong.filter(is_bad).select(reasons).to_series(),
                    "text": _shown(raw.filter(is_bad), list(specs)),
                }
            )
        )
        if self.name == "sales":
            self.returns.append(
                values.filter(pl.col("units") < 0).select(
                    pl.col(column) for column in (*RETURN, "customer") if column in values
                )
            )

    def finish(self, known: pl.Series | None) -> _Imported:
        """Check the good rows against each other, clean them, and make the table."""
        good, bad = self._without_copies(_joined(self.good), _joined(self.bad, _NO_REJECTS))
        self.good.clear()
        returns = _joined(self.returns) if self.returns else None
        receipts = returns if returns is not None and "basket" in returns else None
        good, more = _set_apart(good, misfits(good, self.name, known=known, returns=receipts), self._specs())
        bad = pl.concat([bad, more])
        rejects = self._rejects(bad)
        if good.is_empty():
            reason, rows = next(iter(rejects["reason"].value_counts().items()))
            raise DataError(
                f"{self.file.name}: at least one row must be good; got {len(rejects)} faulty ones, {rows} with "
                f"'{reason}'; fix the file, or declare how it is laid out in a mapping file"
            )
        notes = self._notes(rejects, returns)
        if self.name == "sales":
            notes += suspects(good)
        read = sum(map(len, self.rows)) + len(self.file.broken)
        columns = clean(good.drop("_position"), self.name, notes).get_columns()
        # No other reference may keep the rows in memory while they become a pandas table.
        del good
        table = to_pandas(columns)
        return _Imported(self.schema.validate(table, lazy=True, inplace=True), read, rejects, notes, returns)

    def _specs(self) -> list[str]:
        return [column for column in self.schema.columns if column in self.columns]

    def _without_copies(self, good: pl.DataFrame, bad: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        keep = self.layout.duplicates or ("keep" if self.name == "behaviour" else "reject")
        rows = _joined(self.rows, {"_position": pl.UInt32, "_hash": pl.UInt64})
        copies = (
            rows.filter(~rows["_hash"].is_first_distinct())["_position"]
            if keep == "reject"
            else rows["_position"].head(0)
        )
        if copies.is_empty():
            return good, bad
        also = pl.when(pl.col("_position").is_in(copies.implode())).then(pl.lit(f"{COPY}; ")).otherwise(pl.lit(""))
        bad = bad.with_columns(reason=also + pl.col("reason"))
        good, more = _set_apart(good, {COPY: good["_position"].is_in(copies.implode())}, self._specs())
        return good, pl.concat([bad, more])

    def _rejects(self, bad: pl.DataFrame) -> pd.DataFrame:
        numbered = bad.select(
            pl.Series("row", self.file.row_numbers(bad["_position"].to_numpy().astype("int64"))), "reason", "text"
        )
        broken = {"row": list(self.file.broken), "reason": list(self.file.broken.values())}
        unread = pl.DataFrame(broken, schema={"row": pl.Int64, "reason": pl.String}).with_columns(text=pl.lit(""))
        return pl.concat([numbered, unread]).sort("row").to_pandas()

    def _notes(self, rejects: pd.DataFrame, returns: pl.DataFrame | None) -> list[str]:
        notes = []
        unused = [name for name in self.file.columns if name not in self.columns.values()]
        if unused:
            traits = "; --allow-column NAME keeps one as a trait" if self.name == "customers" else ""
            notes.append(f"columns not used: {', '.join(unused)}{traits}")
        copies = rejects["reason"].str.startswith(COPY).sum()
        if copies:
            notes.append(
                f"rows that copy an earlier one: {copies:,} ({copies / sum(map(len, self.rows)):.1%}); if the same line "
                'can occur twice, set duplicates = "keep" in a mapping file'
            )
        if returns is not None and len(returns):
            notes.append(
                f"returns (negative units), left out: {len(returns):,} lines, {-returns['units'].sum():,.0f} units"
            )
        if self.below_zero:
            notes.append(f"rows with on_hand below 0, set to 0: {self.below_zero:,}")
        return notes


_NO_REJECTS: dict[str, Any] = {"_position": pl.UInt32, "reason": pl.String, "text": pl.String}


def _joined(parts: list[pl.DataFrame], empty: dict[str, Any] | None = None) -> pl.DataFrame:
    return pl.concat(parts) if parts else pl.DataFrame(schema=empty or {})


def _set_apart(good: pl.DataFrame, wrong: dict[str, pl.Series], shown: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows into those without a fault and those with one, the latter with reason and text."""
    wrong = {reason: rows for reason, rows in wrong.items() if rows.any()}
    if not wrong:
        return good, pl.DataFrame(schema=_NO_REJECTS)
    flags = pl.DataFrame(wrong)
    is_bad = flags.select(pl.any_horizontal(pl.all())).to_series()
    reasons = pl.concat_str(
        [pl.when(name).then(pl.lit(name)) for name in flags.columns], separator="; ", ignore_nulls=True
    )
    bad = good.filter(is_bad)
    rejects = bad.select("_position").with_columns(
        reason=flags.filter(is_bad).select(reasons).to_series(), text=_shown(bad, shown)
    )
    return good.filter(~is_bad), rejects


def _shown(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    """The canonical columns of faulty rows as text; other columns may hold personal data."""
    parts = []
    for column in columns:
        kind = rows.schema[column]
        text = pl.col(column).dt.to_string("%Y-%m-%d") if kind.is_temporal() else pl.col(column).cast(pl.String)
        text = text.str.strip_suffix(".0") if kind.is_float() else text
        parts.append(pl.lit(f"{column}=") + text)
    return rows.select(pl.concat_str(parts, separator=", ", ignore_nulls=True).alias("text")).to_series()


def _find_columns(file: TableFile, name: str, schema: pa.DataFrameSchema) -> dict[str, str]:
    """The file's column by canonical column; further columns of customers that are allowed are traits."""
    mapped, layout = file.layout.columns, file.layout
    for own in {*layout.allow, *layout.drop} - {*file.columns}:
        raise DataError(
            f"{file.name}: column '{own}', to allow or to drop, is missing; got {', '.join(file.columns)}; "
            f"{nearest(own, file.columns)}"
        )
    for column, own in mapped.items():
        if own not in file.columns:
            raise DataError(
                f"{file.name}: column '{own}', mapped to {column}, is missing; got {', '.join(file.columns)}; "
                f"{nearest(own, file.columns)}"
            )
    found = [c for c in schema.columns if c not in mapped and c in file.columns and c not in layout.drop]
    columns = dict(mapped) | {c: c for c in found}
    if name == "customers":
        traits = [own for own in layout.allow if own not in columns.values() and own not in columns]
        columns |= {own: own for own in traits}
    doubled = next((own for column, own in columns.items() if own in file.doubled and column not in mapped), None)
    if doubled:
        raise DataError(
            f"{file.name}: column names must differ; got '{doubled}' twice in {', '.join(file.columns)}; rename one, or "
            f"name '{doubled}' (the first) or '{doubled} (2)' in a mapping file"
        )
    _check_needed(file, columns, schema)
    return columns


def _check_needed(file: TableFile, columns: dict[str, str], schema: pa.DataFrameSchema) -> None:
    needed = [column for column, spec in schema.columns.items() if spec.required]
    missing = [column for column in needed if column not in columns]
    if not missing:
        return
    free = [own for own in file.columns if own not in columns.values()]
    near = nearest(missing[0], free) if free else ""
    advice = f"rename '{near.split(chr(39))[1]}' to '{missing[0]}'" if near.startswith("did") else "rename or add it"
    other = next((mark for mark in (";", "\t", "|") if len(file.columns) == 1 and mark in file.columns[0]), None)
    if other:
        advice = f'fields are separated by {other!r}: set separator = "{other}" in a mapping file'
    raise DataError(
        f"{file.name}: column '{missing[0]}' is missing; needed are {', '.join(needed)}; "
        f"got {', '.join(file.columns)}; {advice}, or name it in a mapping file (`repricer data mapping`)"
    )
