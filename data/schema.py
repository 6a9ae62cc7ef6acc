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
_SHARE = pa.Check.in_range(0, 1, error="must lie between 0 and 1")
_OPTIONAL = {"required": False, "nullable": True}

EVENTS = ("view", "cart", "rating", "review")
HOLIDAY, COMPETITOR_PRICE = "holiday", "competitor_price"
"""Names of market signals with a meaning of their own; any other name is an outside index."""

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
    "behaviour": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the event, on the shop's own clock.", "day", _PLAUSIBLE),
            "product": _id("What the event is about."),
            "event": _column(
                "str",
                "What the customer did.",
                "text",
                pa.Check.isin(EVENTS, error=f"must be one of {', '.join(EVENTS)}"),
            ),
            "value": _column(
                "float64",
                "A rating or review: its stars. A view or cart: how many the row stands for, 1 where missing.",
                "stars or count",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
            "customer": _id("Who did it, as a pseudonym once imported.", **_OPTIONAL),
        },
        description="One row an event of a customer in the shop or on its site; purchases are sales.",
        coerce=True,
    ),
    "signals": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day from which the value is known, or the holiday.", "day", _PLAUSIBLE),
            "name": _column(
                "str",
                f"`{COMPETITOR_PRICE}`, `{HOLIDAY}`, or the name of an outside index (weather, news, ...).",
                "text",
            ),
            "value": _column(
                "float64",
                f"The signal: currency per unit for `{COMPETITOR_PRICE}`; 1, 0 or missing (meaning 1) for `{HOLIDAY}`.",
                "as named",
                _FINITE,
                **_OPTIONAL,
            ),
            "product": _id(
                f"The product that a `{COMPETITOR_PRICE}` is for; missing in any other signal.", **_OPTIONAL
            ),
        },
        description="One row a market signal from outside the shop.",
        coerce=True,
    ),
    "stock": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the count.", "day", _PLAUSIBLE),
            "product": _id("What was counted."),
            "on_hand": _column(
                "float64", "Stock that could be sold; 0 is a stock-out.", "units", _NOT_NEGATIVE, _FINITE
            ),
            "store": _id("Where it was counted.", **_OPTIONAL),
            "received": _column("float64", "Delivered that day.", "units", _NOT_NEGATIVE, _FINITE, **_OPTIONAL),
        },
        description="One row a count of a product's stock (in a store).",
        coerce=True,
    ),
    "promotions": pa.DataFrameSchema(
        {
            "start_date": _column(
                "datetime64[ns]", "First day (of a weekly promotion: of the week).", "day", _PLAUSIBLE
            ),
            "end_date": _column(
                "datetime64[ns]", "Last day; where missing, the promotion runs 7 days.", "day", _PLAUSIBLE, **_OPTIONAL
            ),
            "product": _id("What was promoted."),
            "store": _id("Where; where missing, the whole shop, or `store_share` of it.", **_OPTIONAL),
            "kind": _column("str", "How: display, mailer, coupon, ...", "text", **_OPTIONAL),
            "discount": _column("float64", "The part of the regular price taken off.", "share", _SHARE, **_OPTIONAL),
            "store_share": _column(
                "float64",
                "Share of the shop's stores, in a row that names no store; 1 where missing.",
                "share",
                _SHARE,
                **_OPTIONAL,
            ),
        },
        description="One row a promotion of a product, in a store or the whole shop. It is planned, so known ahead.",
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
