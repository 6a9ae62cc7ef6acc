"""Import a shop's own tables: every row is kept, mended with a note, or rejected with its reason."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from .pseudonyms import pseudonymise
from .reading import read_table
from .schema import SCHEMAS, DataError
from .tables import REJECT_COLUMNS, ImportReport, Tables

_NOT_READABLE = {"float64": "is not a number", "datetime64[ns]": "is not a date (YYYY-MM-DD)"}
_DAY = r"^(\d{4}-\d{2}-\d{2})(?:[T ].*)?$"


@dataclass(frozen=True)
class _Imported:
    """One clean table with the account of its rows."""

    table: pd.DataFrame
    read: int
    rejects: pd.DataFrame
    notes: list[str]


def import_tables(paths: Mapping[str, Path], *, key: bytes) -> tuple[Tables, ImportReport]:
    """Read, check and clean a shop's tables.

    A fault of a row sends that row to the report's rejects: a number or date that cannot be read, a value
    against the rules in `SCHEMAS`, an exact copy of an earlier row, an id that occurs twice in products or
    customers, or a sale of a product that is not in the product table (where there is one). Mended with a
    note: rows out of date order (sorted), a regular price that is missing or below the price paid (set to
    the price paid). Customer ids become pseudonyms before anything else happens.

    Args:
        paths: files (CSV or Parquet) by table: "sales", optionally "products" and "customers".
        key: secret for the pseudonyms, see `pseudonymise`.

    Returns:
        The tables, and where each row went.

    Raises:
        DataError: a file cannot be used as a whole: unknown table, no such file, not readable, no rows, a
            column missing, or not one good row.
    """
    if "sales" not in paths or not set(paths) <= set(SCHEMAS):
        raise DataError(f"paths must name sales, and may name products, customers; got {', '.join(paths) or 'none'}")
    done: dict[str, _Imported] = {}
    for name in ("products", "customers", "sales"):
        if name in paths:
            known = done["products"].table["product"] if name == "sales" and "products" in done else None
            done[name] = _import_table(Path(paths[name]), name, key, known)
    tables = Tables(**{name: imported.table for name, imported in done.items()})
    return tables, _report({name: done[name] for name in SCHEMAS if name in done})


def _report(done: dict[str, _Imported]) -> ImportReport:
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
    )


def _import_table(path: Path, name: str, key: bytes, known: pd.Series | None) -> _Imported:
    raw, broken = read_table(path)
    schema = SCHEMAS[name]
    _check_columns(path.name, raw.columns, schema)
    if "customer" in raw:
        raw = raw.assign(customer=pseudonymise(raw["customer"], key))
    values = raw.assign(
        **{column: _cast(raw[column], spec) for column, spec in schema.columns.items() if column in raw}
    )
    faults = _faults(raw, values, schema)
    good = values.drop(faults.index)
    faults = pd.concat([broken, faults, _misfits(good, name, known)]).sort_index()
    table = values.drop(faults.index, errors="ignore")
    if table.empty:
        reason, rows = next(iter(faults.value_counts().items()))
        raise DataError(
            f"{path.name}: at least one row must be good; got {len(faults)} faulty ones, {rows} with "
            f"'{reason}'; mend the file"
        )
    notes: list[str] = []
    table = table.apply(_as_numbers) if name == "customers" else _canonical_columns(table, schema, notes)
    if name == "sales":
        table = _mend_sales(table, notes)
    return _Imported(
        table=schema.validate(table.reset_index(drop=True), lazy=True),
        read=len(raw) + len(broken),
        rejects=_rejects(raw, faults, schema),
        notes=notes,
    )


def _check_columns(file: str, columns: pd.Index, schema: pa.DataFrameSchema) -> None:
    needed = [column for column, spec in schema.columns.items() if spec.required]
    missing = [column for column in needed if column not in columns]
    if not missing:
        return
    by_lower = {column.lower(): column for column in columns}
    near = difflib.get_close_matches(missing[0], by_lower, n=1)
    advice = f"rename '{by_lower[near[0]]}' to '{missing[0]}'" if near else "rename or add it"
    raise DataError(
        f"{file}: column '{missing[0]}' is missing; needed are {', '.join(needed)}; got {', '.join(columns)}; {advice}"
    )


def _cast(text: pd.Series, spec: pa.Column) -> pd.Series:
    """Read text as numbers or days; what cannot be read is missing."""
    if str(spec.dtype) == "float64":
        return pd.to_numeric(text, errors="coerce")
    if str(spec.dtype) == "datetime64[ns]":
        return pd.to_datetime(text.str.extract(_DAY, expand=False), format="%Y-%m-%d", errors="coerce")
    return text


def _faults(raw: pd.DataFrame, values: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.Series:
    """Name what is wrong with each faulty row taken alone, by row number."""
    faulty = {"row: an exact copy of an earlier one": raw.duplicated()}
    for column, spec in schema.columns.items():
        if column not in raw:
            continue
        value = values[column]
        if str(spec.dtype) in _NOT_READABLE:
            faulty[f"{column}: {_NOT_READABLE[str(spec.dtype)]}"] = value.isna() & raw[column].notna()
        if not spec.nullable:
            faulty[f"{column}: is missing"] = raw[column].isna()
        for check in spec.checks:
            faulty[f"{column}: {check.error}"] = ~check(value.dropna()).check_output
    return _reasons({reason: rows[rows].index for reason, rows in faulty.items()})


def _misfits(good: pd.DataFrame, name: str, known: pd.Series | None) -> pd.Series:
    """Name what is wrong with a row, good in itself, beside the other rows and tables."""
    if name == "sales":
        unknown = ~good["product"].isin(known) if known is not None else pd.Series(False, index=good.index)
        return _reasons({"product: not in the product table": good.index[unknown]})
    id_column = name.removesuffix("s")
    return _reasons({f"{id_column}: occurs twice": good.index[good[id_column].duplicated()]})


def _reasons(rows: dict[str, pd.Index]) -> pd.Series:
    """Turn row numbers by reason into reasons by row number; a row with several faults lists them all."""
    reasons = pd.concat([pd.Series(reason, index=index, dtype="object") for reason, index in rows.items()])
    return reasons.groupby(level=0).agg("; ".join)


def _mend_sales(sales: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Sort by date and complete the regular price; say so in `notes`."""
    late = (sales["date"] < sales["date"].cummax()).sum()
    if late:
        notes.append(f"rows out of date order, sorted: {late:,}")
    if "regular_price" not in sales:
        notes.append("no column regular_price, price_paid stands in for it")
        sales = sales.assign(regular_price=sales["price_paid"])
    for what, rows in {
        "missing": sales["regular_price"].isna(),
        "below price_paid": sales["regular_price"] < sales["price_paid"],
    }.items():
        if rows.any():
            notes.append(f"rows with regular_price {what}, set to price_paid: {rows.sum():,}")
    regular = sales[["price_paid", "regular_price"]].max(axis=1)
    return sales.assign(regular_price=regular).sort_values("date", kind="stable")


def _canonical_columns(table: pd.DataFrame, schema: pa.DataFrameSchema, notes: list[str]) -> pd.DataFrame:
    unused = [column for column in table.columns if column not in schema.columns]
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    return table.drop(columns=unused)


def _as_numbers(trait: pd.Series) -> pd.Series:
    """Read a customer trait as numbers where all of it is numbers."""
    numbers = pd.to_numeric(trait, errors="coerce")
    return numbers if numbers.notna().equals(trait.notna()) else trait


def _rejects(raw: pd.DataFrame, faults: pd.Series, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """List the faulty rows with their canonical columns only: others may hold what nobody should see."""
    shown = raw.reindex(faults.index)[[column for column in schema.columns if column in raw]]
    shown = shown.astype("object").where(shown.notna(), "")
    text = [", ".join(f"{name}={value}" for name, value in row.items() if value) for row in shown.to_dict("records")]
    return pd.DataFrame({"row": faults.index, "reason": faults.to_numpy(), "text": text})
