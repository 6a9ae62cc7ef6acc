"""Rows of an import: text cast to numbers, dates and ids, and checks of each by the rules of `SCHEMAS` and against others."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd
import pandera.pandas as pa
import polars as pl

from ..privacy.pseudonyms import as_text
from .mapping import TableMapping
from .schema import COMPETITOR_PRICE, HOLIDAY, SCHEMAS

_PLAN_COLUMNS = ["price", "regular_price", "promotion", "delivery"]
COPY = "row: an exact copy of an earlier one"
_SHORTENED = r"^\d(?:[.,]\d+)?E\+\d+$"
RETURN = ["basket", "product", "price_paid", "units"]
"""Columns in which a sale and its cancellation agree, except for the sign of the units."""

LINE = pl.struct(pl.col(RETURN[:2]).cast(pl.String), *RETURN[2:]).hash()
"""One number for these; two of ten million lines have the same one with a probability of 3e-6."""
NUMBER = "float64"
DAY = "datetime64[ns]"
TIME_OF_DAY = r"[T ]\d{1,2}:\d{2}.*$"
_TIME_CODES = ("%H", "%I", "%T", "%R", "%X", "%c")
_BLANKS = "[\u00a0\u202f]"


_POLARS_TYPES = {NUMBER: pl.Float64, DAY: pl.Datetime("us")}
_SIGNAL = pl.col("name").cast(pl.String)
_OWN_SIGNALS = [COMPETITOR_PRICE, HOLIDAY]
_IS_PRICE = _SIGNAL == COMPETITOR_PRICE
_PRODUCT = pl.col("product")
_VALUE = pl.col("value")
# Else, "Holiday" would be an index whose value holds for ever.
_MISSPELT_SIGNAL = _SIGNAL.str.to_lowercase().str.replace_all("[ -]", "_").is_in(_OWN_SIGNALS) & ~_SIGNAL.is_in(
    _OWN_SIGNALS
)
_MISFITS: dict[str, dict[str, pl.Expr]] = {
    "sales": {"units: 0, without a price": (pl.col("units") == 0) & (pl.col("price_paid").fill_null(0.0) == 0)},
    "products": {"product: occurs twice": ~_PRODUCT.is_first_distinct()},
    "customers": {"customer: occurs twice": ~pl.col("customer").is_first_distinct()},
    "signals": {
        f"name: must be written as {' or '.join(_OWN_SIGNALS)}": _MISSPELT_SIGNAL,
        f"product: is missing, a {COMPETITOR_PRICE} is for one product": _IS_PRICE & _PRODUCT.is_null(),
        f"product: is given, only a {COMPETITOR_PRICE} is for one product": ~_IS_PRICE & _PRODUCT.is_not_null(),
        "value: is missing": _VALUE.is_null() & (_SIGNAL != HOLIDAY),
        f"value: a {COMPETITOR_PRICE} must be above 0": _IS_PRICE & (_VALUE <= 0),
    },
    "promotions": {"end_date: is before start_date": pl.col("end_date") < pl.col("start_date")},
    "plan": {
        f"{_PLAN_COLUMNS[0]}: is missing, and so are {', '.join(_PLAN_COLUMNS[1:])}": pl.all_horizontal(
            pl.col(_PLAN_COLUMNS).is_null()
        )
    },
}
"""What is wrong with a row that is good by itself, by table."""


# Checks of rows: each by itself, by the rules of `SCHEMAS`, and against other rows and tables.


def faults(
    raw: pl.DataFrame, read: pl.DataFrame, values: pl.DataFrame, schema: pa.DataFrameSchema, layout: TableMapping
) -> pl.DataFrame:
    """Faults of each row by itself: one boolean column per reason.

    Args:
        raw: The rows as in the file, in canonical columns.
        read: The same, cast.
        values: The same, converted as `layout` declares.
        layout: How the file is laid out.
    """
    faulty: dict[str, pl.Series] = {}
    for column, spec in schema.columns.items():
        if column not in raw:
            continue
        given = raw[column].is_not_null()
        reason = not_readable(spec, layout)
        if reason:
            faulty[f"{column}: {reason}"] = read[column].is_null() & given
        elif (spec.metadata or {})["unit"] == "id":
            shortened = read[column].str.contains(_SHORTENED).fill_null(False)
            faulty[f"{column}: was shortened by a spreadsheet; export it as text"] = shortened
        if not spec.nullable:
            faulty[f"{column}: is missing"] = ~given
        for check in spec.checks:
            faulty[f"{column}: {check.error}"] = _breaks(values[column], check)
    return pl.DataFrame(faulty)


def _breaks(values: pl.Series, check: pa.Check) -> pl.Series:
    """Whether a value is given and breaks the rule."""
    # Texts repeat: each distinct one is checked once.
    texts = values.dtype == pl.String
    known = values.drop_nulls().unique() if texts else values.drop_nulls()
    broken = ~check(pd.Series(known.to_numpy())).check_output.to_numpy(dtype=bool)
    if texts:
        return values.is_in(known.filter(pl.Series(broken)).implode()).fill_null(False)
    whole = values.is_not_null().to_numpy().copy()
    whole[whole] = broken
    return pl.Series(whole)


def misfits(
    rows: pl.DataFrame, name: str, *, known: pl.Series | None, taken_back: pl.DataFrame | None
) -> dict[str, pl.Series]:
    """Good rows that contradict other rows or tables: one boolean column per reason.

    Args:
        rows: Good rows of the table `name`, in the order of the file.
        known: Ids of the product table, if there is one.
        taken_back: `_part` and `_row` of the sale lines that their own receipt cancels, if receipts
            are known.
    """
    columns = SCHEMAS[name].columns
    lacking = {
        column: pl.lit(None, _POLARS_TYPES.get(str(columns[column].dtype), pl.String))
        for column in {*columns} - {*rows.columns}
    }
    product = pl.col("product").cast(pl.String)
    checks = dict(_MISFITS.get(name, {}))
    if known is not None and name != "products" and "product" in rows:
        unknown = ~product.is_in(known.implode())
        bare = known.str.strip_chars_start("0").implode()
        but_for_zeros = product.str.strip_chars_start("0").is_in(bare)
        checks = {
            "product: not in the product table": unknown & ~but_for_zeros,
            "product: not in the product table, except for leading zeros": unknown & but_for_zeros,
        } | checks
    if taken_back is not None:
        keys = ["_part", "_row"]
        rows = rows.join(taken_back.with_columns(_back=True), on=keys, how="left", maintain_order="left")
        checks["units: cancelled on the same receipt"] = pl.col("_back")
    found = rows.with_columns(**lacking).select(**{reason: wrong.fill_null(False) for reason, wrong in checks.items()})
    return found.to_dict()


def cancelled(rows: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    """Sale lines that another line of the same receipt cancels; each such line cancels one.

    Args:
        rows: Good sale lines in their order: `_part`, `_row` and their `LINE` as `key`.
        returns: Sale lines with negative units, with the columns of `RETURN`.

    Returns:
        `_part` and `_row` of the lines that are cancelled.
    """
    back = returns.drop_nulls("basket").with_columns(pl.col("units").abs())
    times = back.select(key=LINE).group_by("key").len("times")
    matching = rows.join(times, on="key", maintain_order="left")
    return matching.filter(pl.int_range(pl.len()).over("key") < pl.col("times")).select("_part", "_row")


# Cast text to numbers, dates and ids, as a mapping file declares them.


def cast(column: pl.Series, spec: pa.Column, layout: TableMapping) -> pl.Series:
    """A column cast to the type of its canonical column; unreadable values become missing."""
    kind = str(spec.dtype)
    if kind == NUMBER:
        return _numbers(column, layout)
    return _days(column, layout.date_format) if kind == DAY else _texts(column, layout.values.get(str(spec.name), {}))  # noqa: PD011


def not_readable(spec: pa.Column, layout: TableMapping) -> str | None:
    """Why a value of this column could not be cast; None if every text can be."""
    if str(spec.dtype) == DAY:
        default = TableMapping.date_format
        return f"is not a date ({'YYYY-MM-DD' if layout.date_format == default else layout.date_format})"
    if str(spec.dtype) == NUMBER:
        marks = [f"decimal '{layout.decimal}'"] * (layout.decimal != ".")
        marks += [f"{name} '{mark}'" for name in ("thousands", "currency") if (mark := getattr(layout, name))]
        return f"is not a number ({', '.join(marks)})" if marks else "is not a number"
    return None


def convert(values: pl.DataFrame, layout: TableMapping) -> pl.DataFrame:
    """Apply the declared conversions: factors, line totals, discounts."""
    for column, steps in layout.convert.items():
        if column not in values:
            continue
        converted = pl.col(column)
        for step in steps:
            if not isinstance(step, str):
                converted = converted * step
        if any(step in ("line-total", "line-discount") for step in steps):
            # Without units there is no price; the row is rejected for its units.
            converted = pl.when(pl.col("units") != 0).then(converted / pl.col("units"))
        values = values.with_columns(converted.alias(column))
    regular = layout.convert.get("regular_price", ())
    if "regular_price" in values and {"discount", "line-discount"} & set(regular):
        # Exports give discounts with either sign.
        values = values.with_columns(regular_price=pl.col("price_paid") + pl.col("regular_price").abs())
    return values


def _numbers(column: pl.Series, layout: TableMapping) -> pl.Series:
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    if column.dtype != pl.String:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    if layout.currency:
        sign = re.escape(layout.currency)
        column = column.str.replace(rf"^([+-]?){sign}\s*|\s*{sign}$", "$1")
    if layout.thousands or layout.decimal == ",":
        column = _plain_numbers(column, layout)
    # "NaN" in unusual spellings is missing, too.
    return column.cast(pl.Float64, strict=False).fill_nan(None)


def _plain_numbers(column: pl.Series, layout: TableMapping) -> pl.Series:
    """Numbers with a decimal point; undeclared or misplaced separators make them missing."""
    mark = re.escape(layout.thousands)
    point = re.escape(layout.decimal)
    if layout.thousands == " ":
        column = column.str.replace_all(_BLANKS, " ")
    grouped = rf"\d{{1,3}}(?:{mark}\d{{3}})+|" if mark else ""
    as_declared = rf"^[+-]?(?:{grouped}\d+)?(?:{point}\d*)?(?:[eE][+-]?\d+)?$"
    plain = pl.first()
    if layout.thousands:
        plain = plain.str.replace_all(layout.thousands, "", literal=True)
    if layout.decimal != ".":
        plain = plain.str.replace(layout.decimal, ".", literal=True)
    declared = pl.when(pl.first().str.contains(as_declared)).then(plain)
    return column.to_frame().select(declared).to_series()


def _days(column: pl.Series, date_format: str) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        # Keep the local time of a column with a time zone.
        dates = column.dt.replace_time_zone(None).cast(pl.Date)
    elif column.dtype == pl.Date:
        dates = column
    else:
        text = column if column.dtype == pl.String else column.cast(pl.Int64, strict=False).cast(pl.String)
        if not any(code in date_format for code in _TIME_CODES):
            dates = text.str.replace(TIME_OF_DAY, "").str.to_date(date_format, strict=False)
        else:
            dates = text.str.to_datetime(date_format, strict=False, time_unit="us").cast(pl.Date)
    # Nanoseconds end in 2262: a mistyped later year must not wrap around to a plausible one.
    return dates.cast(pl.Datetime("us"))


def _texts(column: pl.Series, values: Mapping[str, str]) -> pl.Series:
    column = as_text(column)
    return column.replace({own: canonical for canonical, own in values.items()}) if values else column
