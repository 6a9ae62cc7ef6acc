"""Prices with and without value added tax in one table, and products of which the rate is missing: they are named, and kept."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .doubtful_products import NAMED

_SAME_WITHOUT_VAT = 0.003
"""Prices that differ by this share at most are taken for the same."""
_NET_PRODUCTS_SHARE = 0.8
"""Share of a store's products whose price is that of the other stores without VAT."""
_LEAST_NET_PRODUCTS = 3
"""Their least number."""
_NET_LINES = 0.6
"""Share of the lines whose price paid is the regular price without VAT."""


def doubtful_vat(sales: pl.LazyFrame, products: pl.LazyFrame | None = None) -> list[str]:
    """A sentence on products without a rate, on stores whose prices are without VAT, and on prices paid that are.

    Args:
        sales: Canonical sale lines.
        products: Canonical products; without the column `vat`, nothing tells which prices hold it.

    Example:
        >>> rows = {"product": ["milk"] * 3, "units": 1.0, "price_paid": [1.0, 1.0, 0.9], "regular_price": 1.19}
        >>> doubtful_vat(pl.LazyFrame(rows), pl.LazyFrame({"product": ["milk"], "vat": [0.19]}))[0].split("; ")[0]
        'price_paid is the regular price without VAT in 67% of the lines, as net prices beside gross ones are'
    """
    if products is None or "vat" not in products.collect_schema():
        return []
    text = pl.col("product").cast(pl.String)
    rates = products.select(text, rate=pl.col("vat").cast(pl.Float64)).unique("product")
    sold = sales.filter((pl.col("units") > 0) & (pl.col("price_paid") > 0)).with_columns(text)
    taxed = sold.join(rates.filter(pl.col("rate") > 0), on="product")
    return [*_missing(sold, rates), *_net_stores(taxed), *_net_paid(taxed)]


def _missing(sold: pl.LazyFrame, rates: pl.LazyFrame) -> Iterator[str]:
    """A sentence on the products sold without a rate, where others have one."""
    rows = rates.join(sold.select("product").unique(), on="product").sort("product").collect(engine="streaming")
    without = rows.filter(pl.col("rate").is_null())["product"].to_list()
    if 0 < len(without) < len(rows):
        yield f"vat of {len(without):,} of {len(rows):,} products is missing ({_listed(without)}); add it, 0 where prices hold none"


def _net_stores(taxed: pl.LazyFrame) -> Iterator[str]:
    """A sentence on the stores where most products cost what they cost elsewhere without VAT."""
    if "store" not in taxed.collect_schema():
        return
    usual = taxed.drop_nulls("store").group_by("store", "product", "rate").agg(price=pl.col("price_paid").median())
    elsewhere = pl.col("price").median().over("product")
    net = (pl.col("price") * (1 + pl.col("rate")) / elsewhere - 1).abs() <= _SAME_WITHOUT_VAT
    found = usual.with_columns(net=net).group_by("store").agg(share=pl.col("net").mean(), products=pl.len())
    rows = found.filter((pl.col("share") >= _NET_PRODUCTS_SHARE) & (pl.col("products") >= _LEAST_NET_PRODUCTS))
    stores = rows.collect(engine="streaming")["store"].cast(pl.String).sort().to_list()
    if stores:
        yield (
            f"stores whose prices are those of the others without VAT: {_listed(stores)}; multiply them by 1 + vat, so that all "
            "prices hold it"
        )


def _net_paid(taxed: pl.LazyFrame) -> Iterator[str]:
    """A sentence where prices paid are without VAT beside regular prices with it."""
    if "regular_price" not in taxed.collect_schema():
        return
    net = (pl.col("price_paid") * (1 + pl.col("rate")) / pl.col("regular_price") - 1).abs() <= _SAME_WITHOUT_VAT
    share = taxed.select(net.mean()).collect(engine="streaming").item()
    if share is not None and share >= _NET_LINES:
        yield (
            f"price_paid is the regular price without VAT in {share:.0%} of the lines, as net prices beside gross ones are; give "
            "both with VAT"
        )


def _listed(named: list[str]) -> str:
    return ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
