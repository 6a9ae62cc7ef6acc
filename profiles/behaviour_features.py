"""Features from what customers did besides buying, and from who they are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .least_size import LEAST_CUSTOMERS

_RATES = {"view_rate": ("view",), "cart_rate": ("cart",), "rating_rate": ("rating", "review")}
TRAIT = "trait:"
"""Prefix of the columns that hold traits."""


def behaviour_features(
    behaviour: pd.DataFrame, customers: pd.Index, *, end: pd.Timestamp, weeks: float
) -> pd.DataFrame:
    """Count events per week, and average the ratings.

    Args:
        behaviour: `date`, `customer`, `event` and, where known, `value`.
        customers: the rows of the result.
        end: last day that counts.
        weeks: length of the span that counts, up to then.

    Returns:
        One row per customer. A kind of event that never happened has no column.

    Raises:
        ValueError: `behaviour` lacks one of `date`, `customer` and `event`.
    """
    missing = [name for name in ("date", "customer", "event") if name not in behaviour]
    if missing:
        raise ValueError(
            f"behaviour: column {missing[0]!r} is missing; got {', '.join(map(str, behaviour.columns))}; add it"
        )
    here = (behaviour["date"] <= end) & (behaviour["date"] > end - pd.Timedelta(days=round(7 * weeks)))
    events = behaviour[here & behaviour["customer"].isin(customers)]
    value = events["value"] if "value" in events else pd.Series(np.nan, events.index)
    # The value of a view or cart row is a number of events, that of a rating its stars.
    count = value.where(~events["event"].isin(_RATES["rating_rate"])).fillna(1.0)
    features = pd.DataFrame(index=customers)
    for name, kinds in _RATES.items():
        chosen = events["event"].isin(kinds)
        if chosen.any():
            counts = count[chosen].groupby(events["customer"]).sum()
            features[name] = counts.reindex(customers, fill_value=0.0) / weeks
    stars = value[events["event"].isin(_RATES["rating_rate"])].dropna()
    if len(stars):
        features["rating"] = stars.groupby(events["customer"]).mean().reindex(customers).fillna(stars.mean())
    return features


def trait_features(table: pd.DataFrame, customers: pd.Index) -> pd.DataFrame:
    """Return the traits of `customers` as numbers of 0 or more.

    An unknown number becomes the median; an unknown level is 0 in every column. A trait that is
    negative somewhere, or known of fewer than 50 customers, is left out.
    """
    known = table.set_index("customer").reindex(customers)
    columns = {}
    for name in known:
        trait = known[name]
        if trait.notna().sum() < LEAST_CUSTOMERS:
            continue
        if pd.api.types.is_numeric_dtype(trait) and not pd.api.types.is_bool_dtype(trait):
            if trait.min() >= 0 and trait.max() < np.inf:
                columns[f"{TRAIT}{name}"] = trait.astype(float).fillna(trait.median())
            continue
        # A level shared by fewer customers could identify someone.
        levels = trait.value_counts()
        for level in sorted(levels.index[levels >= LEAST_CUSTOMERS], key=str):
            columns[f"{TRAIT}{name}={level}"] = (trait == level).fillna(False).astype(float)
    return pd.DataFrame(columns, index=customers)
