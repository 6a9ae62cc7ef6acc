"""Customers: their features, the segments they form, and what to recommend to them."""

from __future__ import annotations

from .features import FEATURES, customer_features
from .ranking import ndcg_at_k, rank_on_later_sales, recall_at_k
from .recommend import ItemItem, Popularity, Recommender, segment_affinity, segment_candidates
from .segments import Segmentation

__all__ = [
    "FEATURES",
    "ItemItem",
    "Popularity",
    "Recommender",
    "Segmentation",
    "customer_features",
    "ndcg_at_k",
    "rank_on_later_sales",
    "recall_at_k",
    "segment_affinity",
    "segment_candidates",
]
