"""Customers: features, segments and recommendations.

A segment is made in `segment_features` (which features count, how much), `cluster_selection` (how
many, of which kind) and `segmentation`; `segment_names` names it and `segment_affinity` says what
it likes. Every recommender is a `Recommender`.
"""

from __future__ import annotations

from .content_based import ContentBased
from .customer_features import FEATURES, customer_features
from .ease import Ease
from .item_item import ItemItem
from .least_size import LEAST_CUSTOMERS, check_sizes
from .popularity import OwnFrequency, Popularity
from .ranking import ndcg_at_k, rank_on_later_sales, recall_at_k
from .recommender import Recommender
from .segment_affinity import segment_affinity, segment_candidates
from .segmentation import Segmentation

__all__ = [
    "FEATURES",
    "LEAST_CUSTOMERS",
    "ContentBased",
    "Ease",
    "ItemItem",
    "OwnFrequency",
    "Popularity",
    "Recommender",
    "Segmentation",
    "check_sizes",
    "customer_features",
    "ndcg_at_k",
    "rank_on_later_sales",
    "recall_at_k",
    "segment_affinity",
    "segment_candidates",
]
