"""Protected groups of customers: their shares of each segment, which are all that a market knows of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .customer_features import LEAST_CUSTOMERS

MOST_GROUPS = 12
"""A column with more groups is no attribute but a measurement, whose values must be put into bands."""
OTHER = "other"
"""The groups that are too small to be described, together."""


def protected_shares(customers: pd.DataFrame | None, segment: pd.Series, columns: Sequence[str]) -> pd.DataFrame:
    """The share of each protected group among the customers of each segment.

    Groups of fewer than `LEAST_CUSTOMERS` customers count as one, and are left out where even together they are fewer.
    Customers of unknown group are left out; a segment of which none is known has the shares of all.

    Args:
        customers: Canonical customers, with the protected columns among their traits.
        segment: Segment of each customer, who is its index.
        columns: The protected columns.

    Returns:
        (K, F) shares: a row per segment, a column per attribute and group, which sum to one by attribute.

    Raises:
        ValueError: There is no such column, or its groups are fewer than two or more than `MOST_GROUPS`.

    Example:
        >>> table = pd.DataFrame({"customer": [f"c{n}" for n in range(200)], "age": ["young", "old"] * 100})
        >>> segment = pd.Series([0, 1, 1, 1] * 50, index=table["customer"])
        >>> protected_shares(table, segment, ["age"]).round(2).to_numpy().tolist()
        [[0.0, 1.0], [0.67, 0.33]]
    """
    shares = {}
    for column in columns:
        known = [] if customers is None else [str(name) for name in customers.columns if name != "customer"]
        if customers is None or column not in known:
            raise ValueError(
                f"protected must name columns of the customers table; got '{column}'; it has {', '.join(known) or 'none'}: "
                "import it as a trait (--allow-column)"
            )
        group = customers.set_index("customer")[column].reindex(segment.index).dropna().map(_name)
        sizes = group.value_counts()
        small = sizes.index[sizes < LEAST_CUSTOMERS]
        group = group.mask(group.isin(small), OTHER)
        if (group == OTHER).sum() < LEAST_CUSTOMERS:
            group = group[group != OTHER]
        names = group.unique()
        if not 2 <= len(names) <= MOST_GROUPS:
            raise ValueError(
                f"protected column '{column}' must hold 2 to {MOST_GROUPS} groups of at least {LEAST_CUSTOMERS} customers; "
                f"got {len(names)}; put its values into bands"
            )
        counts = pd.crosstab(segment[group.index], group).reindex(sorted(segment.unique()), fill_value=0)
        everyone = counts.sum() / counts.to_numpy().sum()
        by_segment = counts.div(counts.sum(axis=1), axis=0).fillna(everyone)
        shares |= {(column, name): by_segment[name] for name in sorted(names)}
    return pd.DataFrame(shares)


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
