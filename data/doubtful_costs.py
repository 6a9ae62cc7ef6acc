"""Unit costs that can hardly be those of one unit: no profit is worked out with them unless the shop insists."""

from __future__ import annotations

import polars as pl

from .doubtful_products import NAMED

_CASE = 2.0
"""A cost of so many times the usual price is that of several units, such as a case."""
_ABOVE_PRICE_SHARE = 0.5
"""A cost above the price in more than this share of a product's lines is hardly meant."""
_SLOPE = 0.6
"""Costs follow units where their logarithms rise with this slope at least."""
_FIT = 0.5
"""Costs follow units only where the line explains this share of their variance."""
_COST_LINES = 30
"""Whether costs follow units is asked of products with so many lines."""
_LEAST_VARIANCE = 0.02
"""Whether costs follow units is asked of products whose log units vary by so much."""


def doubtful_costs(sales: pl.LazyFrame, products: pl.LazyFrame | None = None, vat: float = 0.0) -> list[str]:
    """A sentence on each kind of unit costs that can hardly be meant: line totals, costs of cases, costs above the price.

    Costs are compared with prices without VAT.

    Args:
        sales: Canonical sale lines.
        products: Canonical products; their unit costs count where the lines give none.
        vat: Value added tax in the prices of products of which these give none.

    Example:
        >>> rows = {"product": ["milk"] * 3, "units": [1.0, 2.0, 1.0], "price_paid": 2.0, "unit_cost": 15.6}
        >>> doubtful_costs(pl.LazyFrame(rows))[0].split("; ")[0]
        'unit costs of 1 of 1 products are 7.8 times the price or more, as those of a case would be (milk: cost 15.6, price 2)'
    """
    lines = _costed(sales, products, vat)
    if lines is None:
        return []
    by_product = _figures(lines)
    if by_product.is_empty():
        return []
    totals = _line_totals(by_product)
    if totals:
        return [totals]
    ratio = pl.col("cost") / pl.col("price")
    cases = by_product.filter(ratio >= _CASE)
    above = by_product.filter((ratio < _CASE) & (pl.col("above") > _ABOVE_PRICE_SHARE))
    notes = []
    if len(cases):
        least = cases.select(ratio.min()).item()
        notes.append(
            f"unit costs of {len(cases)} of {len(by_product)} products are {least:.3g} times the price or more, as those of a "
            f"case would be ({_named(cases)}); give the cost of one unit, or a factor for unit_cost in a mapping file"
        )
    if len(above):
        notes.append(
            f"unit costs of {len(above)} of {len(by_product)} products are above the price in most lines ({_named(above)}); "
            "check whether they are costs of one unit, in the currency of the prices"
        )
    return notes


def missing_costs(sales: pl.LazyFrame, products: pl.LazyFrame | None = None) -> list[str]:
    """A sentence on the products whose unit cost is not known, where that of others is.

    Example:
        >>> rows = {"product": ["milk", "tea"], "units": 1.0, "price_paid": 2.0, "unit_cost": [1.2, None]}
        >>> missing_costs(pl.LazyFrame(rows))[0].split("; ")[0]
        'unit costs of 1 of 2 products are missing (tea)'
    """
    lines = _costed(sales, products)
    if lines is None:
        return []
    known = lines.group_by("product").agg(known=pl.col("unit_cost").is_not_null().any(), units=pl.col("units").sum())
    known = known.sort("units", "product", descending=[True, False]).collect(engine="streaming")
    without = known.filter(~pl.col("known"))["product"].to_list()
    if not without or len(without) == len(known):
        return []
    more = f" and {len(without) - NAMED:,} more" * (len(without) > NAMED)
    return [
        f"unit costs of {len(without):,} of {len(known):,} products are missing ({', '.join(without[:NAMED])}{more}); "
        "with one of them a fit maximises revenue, not profit: add them"
    ]


def _costed(sales: pl.LazyFrame, products: pl.LazyFrame | None, vat: float = 0.0) -> pl.LazyFrame | None:
    """Sold lines with `price`, without VAT, and `unit_cost`: their own, else that of the product table; None where neither
    gives any.
    """
    text = pl.col("product").cast(pl.String)
    lines = sales.filter(pl.col("units") > 0).with_columns(text)
    own = "unit_cost" in lines.collect_schema()
    listed = set[str]() if products is None else {"unit_cost", "vat"} & {*products.collect_schema()}
    if not own and "unit_cost" not in listed:
        return None
    unknown = pl.lit(None, pl.Float64)
    cost = pl.col("unit_cost").cast(pl.Float64)
    lines = lines.select("product", "units", "price_paid", unit_cost=cost if own else unknown)
    if products is None:
        lines = lines.with_columns(cost_listed=unknown, rate=unknown)
    else:
        by_product = {
            "cost_listed": cost if "unit_cost" in listed else unknown,
            "rate": pl.col("vat").cast(pl.Float64) if "vat" in listed else unknown,
        }
        lines = lines.join(products.select(text, **by_product).unique("product"), on="product", how="left")
    rate = pl.col("rate").fill_null(vat)
    return lines.select(
        "product",
        "units",
        rate,
        price=pl.when(rate > 0).then(pl.col("price_paid") / (1 + rate)).otherwise(pl.col("price_paid")),
        unit_cost=pl.coalesce("unit_cost", "cost_listed"),
    )


def _figures(lines: pl.LazyFrame) -> pl.DataFrame:
    """One row a product, from its lines with a known cost and price.

    The usual `cost` and `price`; the `rate` of VAT; the share of lines whose cost is `above` the price; and the sums
    that a regression of log costs y on log units x needs: `n`, `x`, `y`, `xx`, `xy`, `yy`.
    """
    cost = pl.col("unit_cost")
    price = pl.col("price")
    x = pl.col("units").log()
    y = cost.log()
    known = lines.filter((cost > 0) & (price > 0))
    sums = {"n": pl.len(), "x": x.sum(), "y": y.sum(), "xx": (x * x).sum(), "xy": (x * y).sum(), "yy": (y * y).sum()}
    usual = {"cost": cost.median(), "price": price.median(), "rate": pl.col("rate").first()}
    found = known.group_by("product").agg(above=(cost > price).mean(), **usual, **sums)
    return found.collect(engine="streaming").sort("product")


def _line_totals(by_product: pl.DataFrame) -> str | None:
    """A sentence where costs grow with the units of their line, as totals do."""
    n = pl.col("n")
    within = by_product.select(
        n=n.sum(),
        xx=(pl.col("xx") - pl.col("x") ** 2 / n).sum(),
        xy=(pl.col("xy") - pl.col("x") * pl.col("y") / n).sum(),
        yy=(pl.col("yy") - pl.col("y") ** 2 / n).sum(),
    ).row(0, named=True)
    if within["n"] < _COST_LINES or within["xx"] < _LEAST_VARIANCE * within["n"] or within["yy"] <= 0:
        return None
    slope = within["xy"] / within["xx"]
    if slope < _SLOPE or slope * within["xy"] < _FIT * within["yy"]:
        return None
    return (
        f"unit costs grow with the units of their line, as totals do: twice the units have {2**slope:.3g} times the cost; if "
        'they are line totals, set unit_cost = "line-total" under [sales.convert] of a mapping file'
    )


def _named(products: pl.DataFrame) -> str:
    """The first products with their cost and price."""
    rows = products.head(NAMED).select("product", "cost", "price", "rate").iter_rows()
    named = ", ".join(
        f"{product}: cost {cost:.4g}, price {price:.4g}{' without VAT' * (rate > 0)}"
        for product, cost, price, rate in rows
    )
    return named + (f" and {len(products) - NAMED} more" if len(products) > NAMED else "")
