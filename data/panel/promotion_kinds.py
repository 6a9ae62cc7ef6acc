"""The kinds of promotions in the tables: which are the price reduction itself, and the columns that hold the others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import pandas as pd
import polars as pl

from ..schema import PRICE_REDUCTIONS

PROMOTION = "promotion"
"""The column of a panel with the share of stores in which a product is promoted, in whatever kind."""
_KIND = f"{PROMOTION}: "
UNNAMED = "unnamed"
"""The kind of a promotion whose row names none."""


def kind_of() -> pl.Expr:
    """The kind of a promotion in lower case, without spaces around it; one that only says that it is a promotion names none.

    Example:
        >>> pl.DataFrame({"kind": [" Display", None, "promotion"]}).select(kind_of()).to_series().to_list()
        ['display', 'unnamed', 'unnamed']
    """
    kind = pl.col("kind").cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.when(kind.is_in(["", PROMOTION])).then(None).otherwise(kind).fill_null(UNNAMED)


def of_price_alone() -> pl.Expr:
    """Whether the `kind` of a promotion is the price reduction itself.

    Example:
        >>> pl.DataFrame({"kind": ["Deal ", "display", None]}).select(of_price_alone()).to_series().to_list()
        [True, False, False]
    """
    return kind_of().is_in(list(PRICE_REDUCTIONS))


def column_of(kind: str) -> str:
    """The column of a panel with the share of stores in which a product is promoted in a kind.

    Args:
        kind: The kind, or `PROMOTION` for whatever kind.

    Example:
        >>> column_of("display"), column_of(PROMOTION)
        ('promotion: display', 'promotion')
    """
    return kind if kind == PROMOTION else _KIND + kind


def kinds_in(columns: Iterable[Hashable]) -> list[str]:
    """The kinds whose columns are among those of a panel, in their order.

    Args:
        columns: Names of columns.

    Example:
        >>> kinds_in(["units", "promotion", "promotion: display"])
        ['display']
    """
    return [str(name).removeprefix(_KIND) for name in columns if str(name).startswith(_KIND)]


def shown_kinds(promotions: pd.DataFrame | None) -> tuple[str, ...]:
    """The kinds of a table of promotions that have a column each, in alphabetical order; none where there is but one.

    Args:
        promotions: The canonical table, of the whole shop.

    Example:
        >>> shown_kinds(pd.DataFrame({"kind": ["deal", "display", "Mailer", "display"]}))
        ('display', 'mailer')
    """
    if promotions is None or "kind" not in promotions:
        return ()
    named = [None if pd.isna(kind) else str(kind) for kind in promotions["kind"].unique()]
    rows = pl.DataFrame({"kind": named}, schema={"kind": pl.String})
    kinds = rows.filter(~of_price_alone()).select(kind_of().unique().sort()).to_series().to_list()
    return tuple(kinds) if len(kinds) > 1 else ()


def kinds_in_words(promotions: pl.LazyFrame | None) -> str | None:
    """Which kinds of promotions count as no display, and which have an effect each; None where there is nothing to say.

    Args:
        promotions: The canonical table, of the whole shop.

    Example:
        >>> kinds_in_words(pl.LazyFrame({"kind": ["deal", "coupon", "feature"]})).split("; ")[0]
        'coupon and feature are kinds with an effect each, as far as their product-weeks tell them apart'
    """
    if promotions is None or "kind" not in promotions.collect_schema():
        return None
    rows = promotions.select(pl.col("kind").cast(pl.String))
    known = rows.with_columns(reduction=of_price_alone(), kind=kind_of()).unique().sort("kind").collect()
    shown = known.filter(~pl.col("reduction"))["kind"].to_list()
    reductions = known.filter("reduction")["kind"].to_list()
    parts = []
    if len(shown) > 1:
        named = f"{', '.join(shown[:-1])} and {shown[-1]}"
        parts.append(f"{named} are kinds with an effect each, as far as their product-weeks tell them apart")
    if reductions:
        parts.append(f"{', '.join(reductions)} is the reduction that the prices hold already, and counts as no display")
    return "; ".join(parts) or None
