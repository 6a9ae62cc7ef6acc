"""Prices and their rules, policies and what they observe, and the choice model; it
needs numpy alone.

Allowed prices: `price_rules`. Policies: `protocol`, `policies` (rules), `rival_policies`,
`thompson`, `network_policy` with `features` and `action_layout`. Dates: `calendar`. Demand:
`choice_model` and `choice_formulas`. Explanation: `shapley`.
"""

from .action_layout import ActionLayout, ActionParts
from .catalogue import Calendar, Catalogue
from .choice_formulas import ChoiceShares, choice_shares, felt_price, logit_utility, matching_utility, own_elasticity
from .choice_model import ChoiceModel
from .features import (
    FEATURE_LIMIT,
    FIXED_FEATURES,
    MARKET_FEATURES,
    MOVING_FEATURES,
    SEGMENT_FEATURES,
    UNCERTAINTY_FEATURES,
    as_rows,
    feature_names,
    feature_rows,
    product_features,
    row_width,
)
from .network_policy import (
    NetworkPolicy,
    PolicyAtState,
    RecurrentPolicy,
    RecurrentState,
    action_from_parts,
    initial_recurrent_state,
    parts_from_action,
)
from .observed import QUANTITIES, MarketView, Quantity
from .policies import (
    BlendedPrice,
    CostPlus,
    EpsilonGreedy,
    FixedPrice,
    PricePath,
    RandomPrice,
    StockTable,
    ThompsonPrice,
    orders_up_to,
)
from .price_rules.grids import PriceEndings, PriceLadder
from .price_rules.guardrails import GAVE_WAY, OUTSIDE_CHARGED, ChargedRange, GuardedAction, Guardrails, TrailStep
from .price_rules.rule_formulas import DIRECTIONS, RULES
from .protocol import Action, Policy, checked_policy, is_deterministic
from .rival_policies import LearningPolicy, built_in_rule, competitor
from .shapley import INPUT_GROUPS, PriceContributions, ordinary_view, price_contributions

__all__ = [
    "DIRECTIONS",
    "FEATURE_LIMIT",
    "FIXED_FEATURES",
    "GAVE_WAY",
    "INPUT_GROUPS",
    "MARKET_FEATURES",
    "MOVING_FEATURES",
    "OUTSIDE_CHARGED",
    "QUANTITIES",
    "RULES",
    "SEGMENT_FEATURES",
    "UNCERTAINTY_FEATURES",
    "Action",
    "ActionLayout",
    "ActionParts",
    "BlendedPrice",
    "Calendar",
    "Catalogue",
    "ChargedRange",
    "ChoiceModel",
    "ChoiceShares",
    "CostPlus",
    "EpsilonGreedy",
    "FixedPrice",
    "GuardedAction",
    "Guardrails",
    "LearningPolicy",
    "MarketView",
    "NetworkPolicy",
    "Policy",
    "PolicyAtState",
    "PriceContributions",
    "PriceEndings",
    "PriceLadder",
    "PricePath",
    "Quantity",
    "RandomPrice",
    "RecurrentPolicy",
    "RecurrentState",
    "StockTable",
    "ThompsonPrice",
    "TrailStep",
    "action_from_parts",
    "as_rows",
    "built_in_rule",
    "checked_policy",
    "choice_shares",
    "competitor",
    "feature_names",
    "feature_rows",
    "felt_price",
    "initial_recurrent_state",
    "is_deterministic",
    "logit_utility",
    "matching_utility",
    "orders_up_to",
    "ordinary_view",
    "own_elasticity",
    "parts_from_action",
    "price_contributions",
    "product_features",
    "row_width",
]
