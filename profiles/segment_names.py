"""Names of segments, from the features in which they differ most from the average customer."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

_WORDS = {
    "recency_days": ("recent", "lapsed"),
    "frequency": ("occasional", "frequent"),
    "spend": ("low-spending", "high-spending"),
    "visit_units": ("small-basket", "large-basket"),
    "n_categories": ("narrow-range", "wide-range"),
    "discount_share": ("full-price", "deal-seeking"),
    "promotion_affinity": ("promotion-shy", "promotion-led"),
    "price_sensitivity": ("price-insensitive", "price-sensitive"),
    "view_rate": ("seldom-looking", "often-looking"),
    "cart_rate": ("seldom-choosing", "often-choosing"),
    "rating_rate": ("seldom-rating", "often-rating"),
    "rating": ("critical", "content"),
}
"""A feature's words for below and above the average."""


def segment_names(deviations: pd.DataFrame) -> list[str]:
    """Name each segment by the two features in which it differs most; no two names are equal.

    Args:
        deviations: segments x features, the distance of a segment's mean from that of all
            customers.
    """
    names: list[str] = []
    if len(deviations) == 1:
        return ["all customers"]
    for segment, row in deviations.iterrows():
        strongest = row.abs().sort_values(ascending=False, kind="stable").index
        pairs = (", ".join(_word(name, row[name]) for name in pair) for pair in combinations(strongest, 2))
        names.append(next((pair for pair in pairs if pair not in names), f"segment {segment}"))
    return names


def _word(feature: str, deviation: float) -> str:
    low, high = _WORDS.get(feature, (f"low {feature}", f"high {feature}"))
    return high if deviation > 0 else low
