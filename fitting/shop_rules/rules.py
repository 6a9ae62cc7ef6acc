"""The shop's own rules, by product, by category and for all: one TOML file, and options of
the same names.

What the most specific table says holds: `[product.ID]` (or its name) before `[group.NAME]`, a list
of products, before `[category.NAME]` before `[shop]`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.schema import COMPETITOR_PRICE
from ...pricing.price_rules.rule_formulas import in_order
from ...scenarios.fields import ScenarioError, check_words, nearest, shown, validated
from ...scenarios.loading import section_from_table
from ...scenarios.price_section import LawSection, Prices
from .tables import GapRule, GroupRules, IndexRule, PackRule, ProductRules, ShopWide

_ENDS = {"L": 2}
# Keys of [shop] that go into the market's price rules as they are.
PRICE_KEYS = ("tick", "price_endings", "price_ladder", "minimum_margin", "direction", "max_changes")
PRICE_KEYS += ("change_window_periods", "max_segment_spread", "max_group_spread", "prior_price_periods")


_RULE_TABLES = {"category": ProductRules, "product": ProductRules, "group": GroupRules}
_LISTS = {"gap": GapRule, "pack": PackRule}


@dataclass(frozen=True)
class ShopRules:
    """The rules of one shop.

    Args:
        shop: What holds for all products.
        prices: Keys of `[shop]` that are price rules of the scenario, such as `price_endings`.
        category: Rules by category.
        product: Rules by product, which is named by its id or its name.
        group: Rules by list of products.
        gap: Price gaps between two products.
        pack: Packs of one article.
        index: Largest indices of the basket.
        priority: Priorities of rules, by name.
        law: Keys of `[law]`, those of the scenario's section, with products by id or name.

    Example:
        >>> rules = ShopRules.of({"shop": {"band": 0.2}, "product": {"milk": {"band": 0.03}}})
        >>> rules.values("band", pd.DataFrame({"product": ["1", "2"], "name": ["milk", "tea"], "category": "food"}), 9.0)
        array([0.03, 0.2 ])
    """

    shop: ShopWide = field(default_factory=ShopWide)
    prices: Mapping[str, Any] = field(default_factory=dict)
    category: Mapping[str, ProductRules] = field(default_factory=dict)
    product: Mapping[str, ProductRules] = field(default_factory=dict)
    group: Mapping[str, GroupRules] = field(default_factory=dict)
    gap: tuple[GapRule, ...] = ()
    pack: tuple[PackRule, ...] = ()
    index: IndexRule = field(default_factory=IndexRule)
    priority: Mapping[str, str | int] = field(default_factory=dict)
    law: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None, changes: Mapping[str, Any] | None = None) -> ShopRules:
        """Read a TOML file.

        Args:
            path: The file; None for the changes alone.
            changes: Nested tables as in the file, which win over it.

        Raises:
            ScenarioError: The file is missing or no TOML, or a key or a value is not allowed.
        """
        name = "rules" if path is None else f"rules {path}"
        try:
            table = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ScenarioError(f"{name} must be a TOML file; got no such file; check the path") from None
        except ValueError as error:
            raise ScenarioError(f"{name} must be TOML in UTF-8; got: {error}; fix that line") from error
        try:
            return cls.of(_merged(table, changes or {}))
        except ScenarioError as error:
            raise ScenarioError(f"{name}: {error}") from error

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> ShopRules:
        """Rules from nested tables, as the file has them; see `load`."""
        _known(table, ("shop", *_RULE_TABLES, *_LISTS, "index", "priority", "law"), "")
        shop = _table(table.get("shop", {}), "shop")
        _known(shop, (*_names(ShopWide), *PRICE_KEYS), "shop.")
        prices = {key: shop.pop(key) for key in PRICE_KEYS if key in shop}
        checked = validated(section_from_table(Prices, prices, "shop"), "shop", {"N": 1, "G": 0, "P": 0, "I": 0})
        prices = {key: getattr(checked, key) for key in prices}
        parts: dict[str, Any] = {}
        for kind, section in _RULE_TABLES.items():
            named = _table(table.get(kind, {}), kind)
            parts[kind] = {name: _rules(section, content, f"{kind}.{name}") for name, content in named.items()}
        for key, section in _LISTS.items():
            listed = table.get(key, [])
            if not isinstance(listed, list):
                raise ScenarioError(f"{key} must be tables [[{key}]]; got {shown(listed)}; write each under [[{key}]]")
            parts[key] = tuple(_rules(section, content, f"{key} {i}") for i, content in enumerate(listed, start=1))
        for i, pack in enumerate(parts["pack"], start=1):
            sizes = pack.sizes
            if not (len(pack.products) == len({*pack.products}) == len(sizes) > 1 and (np.diff(sizes) > 0).all()):
                got = f"{shown(list(pack.products))} and {shown(sizes.tolist())}"
                raise ScenarioError(f"pack {i} must list two products or more with rising sizes; got {got}; fix it")
        shares = [(f"gap {i}", gap.share) for i, gap in enumerate(parts["gap"], start=1)]
        shares += [(f"pack {i}", share) for i, pack in enumerate(parts["pack"], start=1) for *_, share in pack.pairs]
        for where, share in shares:
            if not 1e-3 <= share <= 1e3:
                raise ScenarioError(
                    f"{where} must compare sizes at most 1000 times each other; got {share:g}; fix the sizes"
                )
        priority = _table(table.get("priority", {}), "priority")
        try:
            in_order(priority)
        except ValueError as error:
            raise ScenarioError(str(error)) from None
        parts |= {"index": _rules(IndexRule, table.get("index", {}), "index"), "priority": priority}
        wide = _rules(ShopWide, shop, "shop")
        if prices.get("max_group_spread", 1.0) < 1 and not wide.protected:
            raise ScenarioError("shop.max_group_spread needs shop.protected; got none; name the columns of the groups")
        for line in wide.lines:
            if len({*line}) < max(2, len(line)):
                must = "shop.lines must list two products or more, each once"
                raise ScenarioError(f"{must}; got {shown(list(line))}; leave it out")
        return cls(wide, prices, **parts, law=_law(table.get("law", {})))

    def values(self, key: str, products: pd.DataFrame, default: Any) -> NDArray[Any]:
        """(N, …) what holds for each product under a key.

        Args:
            key: A field of `ProductRules`.
            products: One row per product: `product`, `category` and, where known, `name`.
            default: Value where no rule gives one.
        """
        if not (self.product or self.group or self.category):
            value = getattr(self.shop, key)
            return np.array([default if value is None else value] * len(products))
        found = [
            next((value for part in self._parts(row) if (value := getattr(part, key)) is not None), default)
            for row in products.to_dict("records")
        ]
        return np.array(found)

    def _parts(self, row: Mapping[Any, Any]) -> Iterable[ProductRules]:
        """The tables that speak of a product, the most specific first."""
        named = (row["product"], row.get("name", ""))
        yield from (self.product[key] for key in named if key in self.product)
        yield from (group for group in self.group.values() if not set(named).isdisjoint(group.products))
        if row["category"] in self.category:
            yield self.category[row["category"]]
        yield self.shop

    @property
    def links_by_name(self) -> list[tuple[str, ...]]:
        """The product lines, the pairs of the price gaps and the packs, as the rules name their products."""
        pairs = [(gap.product, gap.other) for gap in self.gap]
        return [*self.shop.lines, *pairs, *(pack.products for pack in self.pack)]

    def check(self, products: pd.DataFrame) -> None:
        """Check that what the rules name exists.

        Args:
            products: All products of the shop: `product`, `category` and, where known, `name`.

        Raises:
            ScenarioError: A rule names a product or a category that the shop does not have, or a
                name that several products have.
        """
        categories = products["category"].dropna().unique().tolist()
        for name in (*self.category, *self.shop.categories):
            _one_of(name, categories, "category")
        ids = products["product"].tolist()
        names = products.get("name", products["product"]).tolist()
        groups = [group.products for group in self.group.values()]
        listed = [*self.links_by_name, self.law.get("perishable", ()), *groups]
        for name in (*self.product, *(name for names in listed for name in names)):
            if name in ids:
                continue
            _one_of(name, [*map(str, names), *ids], "product")
            if names.count(name) > 1:
                several = ", ".join(i for i, other in zip(ids, names, strict=True) if other == name)
                must = f"rules: '{name}' must be one product"
                raise ScenarioError(f"{must}; got the name of several: {several}; use the id")

    def chosen_from(self, products: pd.DataFrame) -> pd.DataFrame:
        """The products that may be priced: those of the named categories that are not excluded.

        Args:
            products: One row per product: `product`, `category` and, where known, `name`.

        Raises:
            ScenarioError: Nothing is left.
        """
        kept = ~self.values("excluded", products, False).astype(bool)
        if self.shop.categories:
            kept &= products["category"].isin(self.shop.categories).to_numpy()
        if not kept.any():
            raise ScenarioError("rules must leave products to price; got none that is left; exclude fewer")
        return products[kept]

    def law_section(self, products: pd.DataFrame, names: Sequence[str]) -> LawSection | None:
        """The section `[law]` of a market; None where the shop names no jurisdiction.

        Args:
            products: One row per product: `product` and, where known, `name` and `competitor_price`.
            names: Their names in the market.
        """
        if not self.law.get("jurisdictions"):
            return None
        listed = set(self.law.get("perishable", ()))
        table = self.law.get("competitor_table", "")
        called = zip(products["product"], products.get("name", products["product"]), names, strict=True)
        own: dict[str, Any] = {"perishable": tuple(name for *given, name in called if listed.intersection(given))}
        if COMPETITOR_PRICE in products and products[COMPETITOR_PRICE].notna().any():
            own["competitor_table"] = table or "signals"
        return LawSection(**{**self.law, **own})

    def links(self, products: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
        """The product lines, price gaps and packs among the products of a market, as its price
        rules have them.

        Args:
            products: One row per product: `product` and, where known, `name`.
            names: Their names in the market.
        """
        known = dict(zip(products.get("name", products["product"]), names, strict=True))
        known |= dict(zip(products["product"], names, strict=True))
        lines = [tuple(known[name] for name in line if name in known) for line in self.shop.lines]
        gaps = [gap for gap in self.gap if {gap.product, gap.other} <= set(known)]
        packs = [pair for pack in self.pack for pair in pack.pairs if {*pair[:2]} <= set(known)]
        return {
            "packs": tuple((known[large], known[small]) for large, small, _ in packs),
            "pack_shares": np.array([share for *_, share in packs]),
            "line_order": tuple(line for line in lines if len(line) > 1),
            "price_gaps": tuple((known[gap.product], known[gap.other]) for gap in gaps),
            "gap_shares": np.array([gap.share for gap in gaps]),
        }


def _names(section: type) -> tuple[str, ...]:
    return tuple(item.name for item in fields(section))


def _table(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ScenarioError(f"{where} must be a table [{where}]; got {shown(content)}; put its keys under [{where}]")
    return dict(content)


def _known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key in known:
            continue
        if key in (*_names(ShopWide), *PRICE_KEYS):
            raise ScenarioError(f"{where}{key} holds for all products; got it elsewhere; put it under [shop]")
        raise ScenarioError(f"{where}{key} is no known key; {nearest(key, known, where)}")


def _rules(section: type, content: Any, where: str) -> Any:
    given = _table(content, where)
    _known(given, _names(section), f"{where}.")
    for item in fields(section):
        if item.default is MISSING and not given.get(item.name):
            raise ScenarioError(f"{where}.{item.name} is missing; it is the {item.metadata['doc']}; add it")
    for key in ("frozen", "excluded"):
        if not isinstance(given.get(key, False), bool):
            raise ScenarioError(f"{where}.{key} must be true or false; got {shown(given[key])}; choose one of them")
    part = section(**given)
    check_words(part, f"{where}.")
    return validated(part, where, _ENDS | {"Q": len(given.get("products", ()))})


def _law(content: Any) -> dict[str, Any]:
    given = _table(content, "law")
    if given and not given.get("jurisdictions"):
        raise ScenarioError("law.jurisdictions is missing; it is whose law holds: EU, NY, MD, CA; add it")
    part = section_from_table(LawSection, {"jurisdictions": (), **given}, "law")
    check_words(part, "law.")
    part = validated(part, "law", {})
    return {key: getattr(part, key) for key in given}


def _one_of(name: str, known: list[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        raise ScenarioError(f"rules: {what} must be one of the tables; got {shown(name)}; did you mean '{near[0]}'?")


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with those of `changes` over them."""
    both = {key: _merged(table[key], new) for key, new in changes.items() if _tables(new, table.get(key))}
    return {**table, **changes, **both}


def _tables(*contents: Any) -> bool:
    return all(isinstance(content, Mapping) for content in contents)
