"""The shop's own rules: what a file of them may hold, how it is read, and what it says in words."""

from .rules import PRICE_KEYS, ShopRules
from .tables import GapRule, GroupRules, IndexRule, PackRule, ProductRules, ShopWide
from .words import rules_in_words

__all__ = [
    "PRICE_KEYS",
    "GapRule",
    "GroupRules",
    "IndexRule",
    "PackRule",
    "ProductRules",
    "ShopRules",
    "ShopWide",
    "rules_in_words",
]
