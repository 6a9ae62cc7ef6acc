"""Customers: features, segments and recommendations.

A segment is made in `segmentation` (which features count, how much, how many segments, and their names);
`segment_affinity` has what it likes. Every recommender is a `Recommender`.
"""

from __future__ import annotations

from .customer_features import FEATURES, LEAST_CUSTOMERS, check_sizes, customer_features
from .protected_groups import protected_shares
from .recommenders import (
    ContentBased,
    Ease,
    OwnFrequency,
    Popularity,
    Recommender,
    ndcg_at_k,
    rank_on_later_sales,
    recall_at_k,
)
from .segment_affinity import segment_affinity, segment_candidates
from .segmentation import Segmentation

__all__ = [
    "FEATURES",
    "LEAST_CUSTOMERS",
    "ContentBased",
    "Ease",
    "OwnFrequency",
    "Popularity",
    "Recommender",
    "Segmentation",
    "check_sizes",
    "customer_features",
    "ndcg_at_k",
    "protected_shares",
    "rank_on_later_sales",
    "recall_at_k",
    "segment_affinity",
    "segment_candidates",
]
