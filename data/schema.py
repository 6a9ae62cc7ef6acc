"""The canonical tables: one declaration of every column, for checks, imports and documentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandera.pandas as pa


class DataError(ValueError):
    """A table or file cannot be used; the message says in one line what is wrong and how to fix it.

    Example:
        >>> from pathlib import Path
        >>> from repricer.data import load_tables
        >>> try:
        ...     load_tables(Path("no such folder"))
        ... except DataError as error:
        ...     print(error)
        an imported data set must hold sales.parquet; got no such folder; make one with `repricer data import`
    """


def _column(dtype: str, description: str, unit: str, *checks: pa.Check, **options: Any) -> pa.Column:
    return pa.Column(dtype, list(checks), description=description, metadata={"unit": unit}, **options)


def _id(description: str, **options: bool) -> pa.Column:
    return _column("str", description, "id", **options)


_FINITE = pa.Check.lt(np.inf, error="must be finite")
_NOT_NEGATIVE = pa.Check.ge(0, error="must be 0 or more")
# A mistyped year would extend the weekly panel over centuries.
_PLAUSIBLE = pa.Check.in_range("1990-01-01", "2099-12-31", error="must lie between 1990 and 2099")
_SHARE = pa.Check.in_range(0, 1, error="must lie between 0 and 1")
_OPTIONAL = {"required": False, "nullable": True}

EVENTS = ("view", "cart", "rating", "review")
HOLIDAY, COMPETITOR_PRICE = "holiday", "competitor_price"
"""Names of market signals with a special meaning; any other name is an external index."""

SCHEMAS: dict[str, pa.DataFrameSchema] = {
    "sales": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the sale, in the shop's local time.", "day", _PLAUSIBLE),
            "product": _id("Product sold."),
            "units": _column(
                "float64",
                "Units sold.",
                "units",
                pa.Check.gt(0, error="must be above 0"),
                _FINITE,
            ),
            "price_paid": _column(
                "float64", "Price that the customer paid for one unit.", "currency per unit", _NOT_NEGATIVE, _FINITE
            ),
            "regular_price": _column(
                "float64",
                "Price of one unit before any discount; price_paid if it is not given. Where it is above price_paid "
                "in no row, a fit takes the commonest price of the weeks around for it.",
                "currency per unit",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
            "unit_cost": _column(
                "float64",
                "Cost of one unit to the shop at that time.",
                "currency per unit",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
            "customer": _id("Customer; a pseudonym once imported.", **_OPTIONAL),
            "store": _id("Store of the sale.", **_OPTIONAL),
            "basket": _id("Receipt that the line belongs to.", **_OPTIONAL),
            "arm": _column(
                "str",
                "Arm of an experiment: `fallback` in a holdout store, as `repricer log export` writes it.",
                "text",
                **_OPTIONAL,
            ),
        },
        description="One row per sale line.",
        coerce=True,
    ),
    "products": pa.DataFrameSchema(
        {
            "product": _id("Product; unique."),
            "category": _column("str", "Group of products that are substitutes.", "text"),
            "name": _column("str", "Name for display.", "text", **_OPTIONAL),
            "text": _column("str", "Description; its words may tell of demand for new products.", "text", **_OPTIONAL),
            "unit_cost": _column(
                "float64",
                "Cost of one unit to the shop.",
                "currency per unit",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
        },
        description="One row per product.",
        coerce=True,
    ),
    "customers": pa.DataFrameSchema(
        {"customer": _id("Customer; a pseudonym once imported; unique.")},
        description="One row per customer; further columns that are allowed are kept as traits (age, income, ...).",
        coerce=True,
    ),
    "behaviour": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the event, in the shop's local time.", "day", _PLAUSIBLE),
            "product": _id("Product concerned."),
            "event": _column(
                "str",
                "Kind of event.",
                "text",
                pa.Check.isin(EVENTS, error=f"must be one of {', '.join(EVENTS)}"),
            ),
            "value": _column(
                "float64",
                "Stars of a rating or review; number of views or carts that the row stands for, 1 if missing.",
                "stars or count",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
            "customer": _id("Customer; a pseudonym once imported.", **_OPTIONAL),
        },
        description="One row per event of a customer in the shop or on its site; purchases are sales.",
        coerce=True,
    ),
    "signals": pa.DataFrameSchema(
        {
            "date": _column(
                "datetime64[ns]", "Day from which the value is known, or the holiday itself.", "day", _PLAUSIBLE
            ),
            "name": _column(
                "str",
                f"`{COMPETITOR_PRICE}`, `{HOLIDAY}`, or the name of an external index (weather, news, ...).",
                "text",
            ),
            "value": _column(
                "float64",
                f"Value: currency per unit for `{COMPETITOR_PRICE}`; 1, 0 or missing (meaning 1) for `{HOLIDAY}`.",
                "as named",
                _FINITE,
                **_OPTIONAL,
            ),
            "product": _id(f"Product of a `{COMPETITOR_PRICE}`; missing for any other signal.", **_OPTIONAL),
        },
        description="One row per market signal from outside the shop.",
        coerce=True,
    ),
    "stock": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "Day of the count.", "day", _PLAUSIBLE),
            "product": _id("Product counted."),
            "on_hand": _column(
                "float64", "Stock available for sale; 0 is a stockout.", "units", _NOT_NEGATIVE, _FINITE
            ),
            "store": _id("Store of the count.", **_OPTIONAL),
            "received": _column("float64", "Units delivered that day.", "units", _NOT_NEGATIVE, _FINITE, **_OPTIONAL),
        },
        description="One row per count of a product's stock (in a store).",
        coerce=True,
    ),
    "promotions": pa.DataFrameSchema(
        {
            "start_date": _column(
                "datetime64[ns]", "First day; for a weekly promotion, the first day of the week.", "day", _PLAUSIBLE
            ),
            "end_date": _column(
                "datetime64[ns]", "Last day; if missing, the promotion runs 7 days.", "day", _PLAUSIBLE, **_OPTIONAL
            ),
            "product": _id("Product promoted."),
            "store": _id("Store; if missing, the whole shop, or `store_share` of its stores.", **_OPTIONAL),
            "kind": _column("str", "Kind of promotion: display, mailer, coupon, ...", "text", **_OPTIONAL),
            "discount": _column("float64", "Discount as a share of the regular price.", "share", _SHARE, **_OPTIONAL),
            "store_share": _column(
                "float64",
                "Share of the shop's stores, in a row that names no store; 1 if missing.",
                "share",
                _SHARE,
                **_OPTIONAL,
            ),
        },
        description="One row per promotion of a product, in a store or the whole shop; promotions are planned, so known in advance.",
        coerce=True,
    ),
    "plan": pa.DataFrameSchema(
        {
            "date": _column("datetime64[ns]", "A day of the week that the row is for.", "day", _PLAUSIBLE),
            "product": _id("Product planned."),
            "price": _column(
                "float64",
                "Price that the shop would charge by itself.",
                "currency per unit",
                pa.Check.gt(0, error="must be above 0"),
                _FINITE,
                **_OPTIONAL,
            ),
            "regular_price": _column(
                "float64",
                "Regular price in that week; the current one if missing, but at least the price.",
                "currency per unit",
                pa.Check.gt(0, error="must be above 0"),
                _FINITE,
                **_OPTIONAL,
            ),
            "promotion": _column(
                "float64",
                "Share of the shop's stores with a display or mailer.",
                "share",
                _SHARE,
                **_OPTIONAL,
            ),
            "delivery": _column(
                "float64",
                "Units that will be delivered in that week.",
                "units",
                _NOT_NEGATIVE,
                _FINITE,
                **_OPTIONAL,
            ),
        },
        description="One row per product and week after the sales that the shop has planned already.",
        coerce=True,
    ),
}
"""Schema of each canonical table, by name: types, units, rules and meanings of the columns."""


def data_dictionary() -> str:
    """A description of every column of every canonical table, in Markdown.

    Example:
        >>> data_dictionary().splitlines()[0]
        '### sales'
    """
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
