"""What a price may be, who sets it, and what they may know: numpy only."""

from .catalogue import Catalogue, MarketView
from .features import FEATURE_LIMIT, FEATURES, SEGMENT_FEATURES, feature_names, product_features
from .guardrails import RULES, GuardedAction, Guardrails, TrailStep
from .ladder import PriceLadder
from .layout import ActionLayout
from .network import NetworkPolicy, action_from_parts
from .policy import Action, Policy
from .rules import CostPlus, FixedPrice, PricePath, RandomPrice, StockTimePrice

__all__ = [
    "FEATURES",
    "FEATURE_LIMIT",
    "RULES",
    "SEGMENT_FEATURES",
    "Action",
    "ActionLayout",
    "Catalogue",
    "CostPlus",
    "FixedPrice",
    "GuardedAction",
    "Guardrails",
    "MarketView",
    "NetworkPolicy",
    "Policy",
    "PriceLadder",
    "PricePath",
    "RandomPrice",
    "StockTimePrice",
    "TrailStep",
    "action_from_parts",
    "feature_names",
    "product_features",
]
