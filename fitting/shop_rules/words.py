"""The shop's rules in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...data.schema import COMPETITOR_PRICE
from ...pricing import PriceEndings, PriceLadder
from .rules import ShopRules


def rules_in_words(rules: ShopRules, products: pd.DataFrame) -> tuple[str, ...]:
    """The rules in words, and those that have no effect because their product, or its competing
    price, is not known.

    Args:
        rules: The shop's rules.
        products: The products of the market: `product`, `category` and, where known,
            `name` and `competitor_price`.

    Example:
        >>> rules = ShopRules.of({"shop": {"band": 0.2}})
        >>> rules_in_words(rules, pd.DataFrame({"product": ["1"], "category": "food"}))
        ("By the shop's rules for all products: band 0.2.",)
    """
    named = [("all products", rules.shop, dict(rules.prices))]
    named += [(f"category '{name}'", part, {}) for name, part in rules.category.items()]
    named += [(f"'{name}'", part, {}) for name, part in (*rules.group.items(), *rules.product.items())]
    words = [
        f"By the shop's rules for {where}: {', '.join(given)}."
        for where, part, more in named
        if (given := [f"{_plain(key)} {_value(set_)}" for key, set_ in {**vars(part), **more}.items() if _is_set(set_)])
    ]
    gaps = [f"'{gap.product}' costs at most {gap.share:g} times what '{gap.other}' costs." for gap in rules.gap]
    packs = [f"{', '.join(pack.products)}: a larger pack is never dearer per unit." for pack in rules.pack]
    words += [f"By the shop's rules, {one}" for one in (*gaps, *packs)]
    bounds = [f"{_plain(key)} {bound:g}" for key, bound in vars(rules.index).items() if bound is not None]
    words += [f"By the shop's rules for the basket index: {', '.join(bounds)}."] if bounds else []
    ranks = [f"{_plain(rule)} {rank}" for rule, rank in rules.priority.items()]
    words += [f"By the shop's priorities: {', '.join(ranks)}."] if ranks else []
    if law := [f"{_plain(key)} {_value(set_)}" for key, set_ in rules.law.items() if _is_set(set_)]:
        words.append(f"By the shop's rules on the law: {', '.join(law)}.")
    here = {*products["product"], *products.get("name", ()), *products["category"]}
    idle = [f"'{name}'" for name, part in rules.product.items() if name not in here and not part.excluded]
    idle += [f"'{name}'" for group in rules.group.values() for name in group.products if name not in here]
    idle += [f"category '{name}'" for name in (*rules.category, *rules.shop.categories) if name not in here]
    idle += [
        " and ".join(f"'{name}'" for name in link) + " together"
        for link in rules.links_by_name
        if len(here.intersection(link)) < 2
    ]
    if idle:
        words.append(
            f"Without effect are the shop's rules for {', '.join(dict.fromkeys(idle))}: not among what is priced."
        )
    return (*words, *_competing(rules, products))


def _competing(rules: ShopRules, products: pd.DataFrame) -> list[str]:
    """Which competing prices the rules on them use, and which of these rules lack one; nothing without such rules."""
    limits = [rules.values(key, products, np.nan) for key in ("rival_at_least", "rival_at_most")]
    has_rule = np.isfinite(limits).any(axis=0)
    if not has_rule.any():
        return []
    known = products[COMPETITOR_PRICE].notna().to_numpy() if COMPETITOR_PRICE in products else np.zeros_like(has_rule)
    words = "Competing prices are the last ones known, also in all that is to come: refresh the market as they change."
    idle = has_rule & ~known
    if idle.any():
        names = products.get("name", products["product"]).to_numpy()[idle]
        words += f" Without effect, as the tables give no competing price, are the rules on it for {', '.join(names)}."
    return [words]


def _is_set(current: Any) -> bool:
    return current is not None and not (isinstance(current, tuple) and not current)


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _value(current: Any) -> str:
    if isinstance(current, PriceEndings | PriceLadder):
        current = tuple(current.fractions if isinstance(current, PriceEndings) else current.steps)
    if isinstance(current, np.ndarray):
        return " to ".join(f"{number:g}" for number in dict.fromkeys(current.tolist()))
    if isinstance(current, tuple | list):
        single = str | float | int
        return ", ".join(_value(item) if isinstance(item, single) else f"({_value(item)})" for item in current)
    if isinstance(current, bool):
        return "yes" if current else "no"
    return f"{current:g}" if isinstance(current, float) else str(current)
