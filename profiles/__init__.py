"""Customers: their features, the segments they form, and what to recommend to them."""

from __future__ import annotations

from .affinity import segment_affinity, segment_candidates
from .blend import Blend
from .content import ContentBased
from .ease import Ease
from .factorisation import Als
from .features import FEATURES, customer_features
from .neighbours import ItemItem
from .popularity import OwnFrequency, Popularity
from .ranking import ndcg_at_k, rank_on_later_sales, recall_at_k
from .recommend import Recommender
from .segments import Segmentation

__all__ = [
    "FEATURES",
    "Als",
    "Blend",
    "ContentBased",
    "Ease",
    "ItemItem",
    "OwnFrequency",
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
