"""The canonical tables: one declaration of every column, for checks, imports and documentation."""

from __future__ import annotations

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


def _column(dtype: str, description: str, unit: str, *checks: pa.Check, needed: bool = False) -> pa.Column:
    about = {"description": description, "metadata": {"unit": unit}}
    return pa.Column(dtype, list(checks), required=needed, nullable=not needed, **about)


def _id(description: str, **needed: bool) -> pa.Column:
    return _column("str", description, "id", **needed)


def _text(description: str, *checks: pa.Check, **needed: bool) -> pa.Column:
    return _column("str", description, "text", *checks, **needed)


def _day(description: str, **needed: bool) -> pa.Column:
    return _column("datetime64[ns]", description, "day", _PLAUSIBLE, **needed)


def _number(description: str, unit: str, *checks: pa.Check, **needed: bool) -> pa.Column:
    return _column("float64", description, unit, *checks, _FINITE, **needed)


def _money(description: str, *checks: pa.Check, **needed: bool) -> pa.Column:
    return _number(description, "currency per unit", *(checks or (_NOT_NEGATIVE,)), **needed)


def _share(description: str) -> pa.Column:
    return _column("float64", description, "share", _SHARE)


def _table(description: str, **columns: pa.Column) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, description=description, coerce=True)


_FINITE = pa.Check.lt(np.inf, error="must be finite")
_POSITIVE = pa.Check.gt(0, error="must be above 0")
_NOT_NEGATIVE = pa.Check.ge(0, error="must be 0 or more")
# A mistyped year would extend the weekly panel over centuries.
_PLAUSIBLE = pa.Check.in_range("1990-01-01", "2099-12-31", error="must lie between 1990 and 2099")
_SHARE = pa.Check.in_range(0, 1, error="must lie between 0 and 1")
_RATE = pa.Check.in_range(0, 1, include_max=False, error="must be 0 or more and below 1: write 19% as 0.19")

EVENTS = ("view", "cart", "rating", "review")
HOLIDAY = "holiday"
"""Name of the market signal that marks holidays."""
COMPETITOR_PRICE = "competitor_price"
"""Name of the signal that holds a rival's price; any name but these two is an external index."""
PRICE_REDUCTIONS = (
    *("deal", "price", "price cut", "price reduction", "temporary price reduction", "tpr", "discount", "reduction"),
    *("markdown", "sale", "special price", "rabatt", "preisaktion", "aktionspreis"),
)
"""Kinds of promotion, in lower case, that are the reduction of the price itself: it is in the price, and no display."""

SCHEMAS: dict[str, pa.DataFrameSchema] = {
    "sales": _table(
        "One row per sale line.",
        date=_day("Day of the sale, in the shop's local time.", needed=True),
        product=_id("Product sold.", needed=True),
        units=_number(
            "Units sold; a row with 0 says which price was on the shelf where nothing was sold.",
            "units",
            _NOT_NEGATIVE,
            needed=True,
        ),
        price_paid=_money("Price that the customer paid for one unit.", needed=True),
        regular_price=_money(
            "Price of one unit before any discount; price_paid if it is not given. Where it is above price_paid "
            "in no row, a fit takes the highest price of the weeks around for it, and lower ones as reductions."
        ),
        unit_cost=_money("Cost of one unit to the shop at that time, without VAT."),
        category=_text("Group of products that are substitutes: makes the product table where no file gives one."),
        customer=_id("Customer; a pseudonym once imported."),
        store=_id("Store of the sale."),
        basket=_id("Receipt that the line belongs to."),
        arm=_text("Arm of an experiment: `fallback` in a holdout store, as `repricer log export` writes it."),
    ),
    "products": _table(
        "One row per product.",
        product=_id("Product; unique.", needed=True),
        category=_text("Group of products that are substitutes.", needed=True),
        name=_text("Name for display."),
        text=_text("Description; its words may tell of demand for new products."),
        unit_cost=_money("Cost of one unit to the shop, without VAT."),
        vat=_column(
            "float64",
            "Value added tax that the prices of all tables hold, of the price without it: 0.19 for 19%. Costs and funding are "
            "without it, and so are all figures of money.",
            "share",
            _RATE,
        ),
    ),
    "customers": _table(
        "One row per customer; further columns that are allowed are kept as traits (age, income, ...).",
        customer=_id("Customer; a pseudonym once imported; unique.", needed=True),
    ),
    "behaviour": _table(
        "One row per event of a customer in the shop or on its site; purchases are sales.",
        date=_day("Day of the event, in the shop's local time.", needed=True),
        product=_id("Product concerned.", needed=True),
        event=_text("Kind of event.", pa.Check.isin(EVENTS, error=f"must be one of {', '.join(EVENTS)}"), needed=True),
        value=_number(
            "Stars of a rating or review; number of views or carts that the row stands for, 1 if missing.",
            "stars or count",
            _NOT_NEGATIVE,
        ),
        customer=_id("Customer; a pseudonym once imported."),
    ),
    "signals": _table(
        "One row per market signal from outside the shop.",
        date=_day("Day from which the value is known, or the holiday itself.", needed=True),
        name=_text(
            f"`{COMPETITOR_PRICE}`, `{HOLIDAY}`, or the name of an external index (weather, news, ...).", needed=True
        ),
        value=_number(
            f"Value: currency per unit for `{COMPETITOR_PRICE}`; 1, 0 or missing (meaning 1) for `{HOLIDAY}`.",
            "as named",
        ),
        product=_id(f"Product of a `{COMPETITOR_PRICE}`; missing for any other signal."),
    ),
    "stock": _table(
        "One row per count of a product's stock (in a store).",
        date=_day("Day of the count.", needed=True),
        product=_id("Product counted.", needed=True),
        on_hand=_number("Stock available for sale; 0 is a stockout.", "units", _NOT_NEGATIVE, needed=True),
        store=_id("Store of the count."),
        received=_number("Units delivered that day; kept, but no fit reads it.", "units", _NOT_NEGATIVE),
    ),
    "promotions": _table(
        "One row per promotion of a product, in a store or the whole shop; promotions are planned, so known in advance.",
        start_date=_day("First day; for a weekly promotion, the first day of the week.", needed=True),
        end_date=_day("Last day; if missing, the promotion runs 7 days."),
        product=_id("Product promoted.", needed=True),
        store=_id("Store; if missing, the whole shop, or `store_share` of its stores."),
        kind=_text(
            "Kind of promotion: display, mailer, coupon, ...; each has an effect of its own, but for those that are the price "
            "reduction itself (deal, discount, tpr, ...), which is in the price and counts as no display."
        ),
        discount=_share("Discount as a share of the regular price; in weeks to come the planned one."),
        store_share=_share("Share of the shop's stores, in a row that names no store; 1 if missing."),
        funding=_money("What the supplier pays for each unit sold in the promotion, without VAT.", _NOT_NEGATIVE),
    ),
    "plan": _table(
        "One row per product and week after the sales that the shop has planned already.",
        date=_day("A day of the week that the row is for.", needed=True),
        product=_id("Product planned.", needed=True),
        price=_money("Price that the shop would charge by itself.", _POSITIVE),
        regular_price=_money(
            "Regular price in that week; the current one if missing, but at least the price.", _POSITIVE
        ),
        promotion=_share("Share of the shop's stores with a display or mailer."),
        delivery=_number("Units that will be delivered in that week.", "units", _NOT_NEGATIVE),
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


_KIND_NAMES = {"float64": "number", "datetime64[ns]": "date"}


def _table_section(name: str, schema: pa.DataFrameSchema) -> str:
    rows = [
        f"| `{column}` | {_KIND_NAMES.get(str(spec.dtype), 'text')} | {(spec.metadata or {})['unit']} "
        f"| {'yes' if spec.required else 'no'} | {'; '.join(str(check.error) for check in spec.checks) or '-'} "
        f"| {spec.description} |"
        for column, spec in schema.columns.items()
    ]
    head = [f"### {name}", "", str(schema.description), "", "| column | type | unit | required | rule | meaning |"]
    return "\n".join([*head, "|---|---|---|---|---|---|", *rows])
