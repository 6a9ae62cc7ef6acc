"""Cast text to numbers, dates and ids, as a mapping file declares them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandera.pandas as pa
import polars as pl

from ..privacy.pseudonyms import as_text
from .mapping import TableMapping

NUMBER, DAY = "float64", "datetime64[ns]"
TIME_OF_DAY = r"[T ]\d{1,2}:\d{2}.*$"
_TIME_CODES = ("%H", "%I", "%T", "%R", "%X", "%c")
_BLANKS = "[\u00a0\u202f]"


def cast(column: pl.Series, spec: pa.Column, layout: TableMapping) -> pl.Series:
    """A column cast to the type of its canonical column; unreadable values become missing."""
    kind = str(spec.dtype)
    if kind == NUMBER:
        return _numbers(column, layout)
    return _days(column, layout.date_format) if kind == DAY else _texts(column, layout.values.get(str(spec.name), {}))


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
    mark, point = re.escape(layout.thousands), re.escape(layout.decimal)
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
