"""The canonical tables: one description of every column, for checking, importing and documenting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandera.pandas as pa


class DataError(ValueError):
    """A table that cannot be used at all: one line says what, what is allowed, what came and what to do."""


def _column(dtype: str, description: str, unit: str, *checks: pa.Check, **options: Any) -> pa.Column:
    return pa.Column(dtype, list(checks), description=description, metadata={"unit": unit}, **options)


def _id(description: str, **options: bool) -> pa.Column:
    return _column("str", description, "id", **options)


_FINITE = pa.Check.lt(np.inf, error="must be finite")
_NOT_NEGATIVE = pa.Check.ge(0, error="must be 0 or more")
# A year that was mistyped would stretch the weekly panel over centuries.
_PLAUSIBLE = pa.Check.in_range("1990-01-01", "2099-12-31", error="must lie between 1990 and 2099")
_OPTIONAL = {"required": False, "nullable": True}

SCHEMAS: dict[str, pa.DataFrameSchema] = {
    "sales": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the sale, on the shop's own clock.", "day", _PLAUSIBLE),
            "product": _id("What was sold."),
            "units": _column(
                "float64",
                "How much was sold.",
                "units",
                pa.Check.gt(0, error="must be above 0"),
                _FINITE,
            ),
            "price_paid": _column(
                "float64", "What the customer paid for one unit.", "currency per unit", _NOT_NEGATIVE, _FINITE
            ),
            "regular_price": _column(
                "float64",
                "What one unit costs before any reduction; price_paid where it is not given.",
                "currency per unit",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
            "customer": _id("Who bought, as a pseudonym once imported.", **_OPTIONAL),
            "store": _id("Where it was sold.", **_OPTIONAL),
            "basket": _id("The receipt that the line belongs to.", **_OPTIONAL),
        },
        description="One row a sale line.",
        coerce=True,
    ),
    "products": pa.DataFrameSchema(
        {
            "product": _id("The product; unique."),
            "category": _column("str", "Group of products that replace each other.", "text"),
            "name": _column("str", "What a person calls it.", "text", **_OPTIONAL),
            "unit_cost": _column(
                "float64",
                "What one unit costs the shop.",
                "currency per unit",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
        },
        description="One row a product.",
        coerce=True,
    ),
    "customers": pa.DataFrameSchema(
        {"customer": _id("The customer, as a pseudonym once imported; unique.")},
        description="One row a customer; every further column is kept as a trait (age, income, ...).",
        coerce=True,
    ),
}


def data_dictionary() -> str:
    """Describe every column of every canonical table in Markdown, for docs/data.md."""
    return "\n\n".join(_table_section(name, schema) for name, schema in SCHEMAS.items())


_KINDS = {"float64": "number", "datetime64[ns]": "date"}


def _table_section(name: str, schema: pa.DataFrameSchema) -> str:
    rows = [
        f"| `{column}` | {_KINDS.get(str(spec.dtype), 'text')} | {(spec.metadata or {})['unit']} "
        f"| {'yes' if spec.required else 'no'} | {'; '.join(str(check.error) for check in spec.checks) or '-'} "
        f"| {spec.description} |"
        for column, spec in schema.columns.items()
    ]
    head = [
        f"### {name}",
        "",
        str(schema.description),
        "",
        "| column | type | unit | required | rule | meaning |",
    ]
    return "\n".join([*head, "|---|---|---|---|---|---|", *rows])
