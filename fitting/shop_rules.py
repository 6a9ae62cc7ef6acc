"""The shop's own rules, by product, by category and for all: one TOML file, and options of the same names.

What the most specific table says holds: `[product.ID]` (or its name) before `[group.NAME]`, a list of products, before
`[category.NAME]` before `[shop]`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..pricing import PriceEndings, PriceLadder
from ..scenarios.errors import ScenarioError
from ..scenarios.fields import array, check_words, scalar, shown, validated, value
from ..scenarios.loading import section_from_table
from ..scenarios.price_section import Prices

_ENDS = {"L": 2}
# Keys of [shop] that go into the market's price rules as they are.
PRICE_KEYS = (
    "tick",
    "price_endings",
    "price_ladder",
    "minimum_margin",
    "max_changes",
    "change_window_periods",
    "max_segment_spread",
    "prior_price_periods",
)


@dataclass(frozen=True)
class ProductRules:
    """Rules for a product, the products of a category, or all: None where nothing is said."""

    unit_cost_share: NDArray[np.float64] | None = array(
        "L",
        "unit cost over the regular price where the tables give none: a share, or its lowest and highest value",
        low=0,
        high=1,
        optional=True,
        default=None,
    )
    widening: float | None = scalar(
        "fraction by which prices may leave the range that was charged", low=0, high=10, optional=True, default=None
    )
    lowest_price: float | None = scalar(
        "price floor over the regular price", low=0.01, high=1, optional=True, default=None
    )
    highest_price: float | None = scalar(
        "price ceiling over the regular price", low=1, high=10, optional=True, default=None
    )
    band: float | None = scalar(
        "fraction by which the price may leave the regular price: tight for key-value items",
        low=0,
        high=10,
        optional=True,
        default=None,
    )
    max_change: float | None = scalar(
        "largest relative price change per period", low=0, high=1e3, optional=True, default=None
    )
    floor: float | None = scalar("lowest price, currency per unit", low=1e-9, high=1e9, optional=True, default=None)
    ceiling: float | None = scalar("highest price, currency per unit", low=1e-9, high=1e9, optional=True, default=None)
    minimum_advertised_price: float | None = scalar(
        "lowest list price, currency per unit, which personal discounts may undercut",
        low=0,
        high=1e9,
        optional=True,
        default=None,
    )
    frozen: bool | None = value("whether the price must not change", default=None)
    excluded: bool | None = value("whether it is left out of the market", default=None)


@dataclass(frozen=True)
class GroupRules(ProductRules):
    """Rules for a list of products, such as the key-value items."""

    products: tuple[str, ...] = value("ids or names of its products", default=())


@dataclass(frozen=True)
class ShopWide(ProductRules):
    """Rules that hold for the shop as a whole, beside those of any product."""

    categories: tuple[str, ...] = value("the only categories to price; by default the best sellers'", default=())
    objective: str | None = value("revenue or profit", default=None)
    max_discount: float | None = scalar(
        "largest personal discount, a fraction", low=0, high=0.95, optional=True, default=None
    )
    lines: tuple[tuple[str, ...], ...] = value(
        "lists of products, small to large, along which prices must not fall", default=()
    )


@dataclass(frozen=True)
class GapRule:
    """A price gap: per unit of size, a product costs at most a share of what another one costs."""

    product: str = value("id or name of the product")
    other: str = value("id or name of the other product, which is raised where the first would cost too much")
    at_most: float = scalar("that share; 0.9 is 10% below", low=0.01, high=100, default=1.0)
    product_size: float = scalar("size of the product, in any unit", low=1e-6, high=1e6, default=1.0)
    other_size: float = scalar("size of the other product, in the same unit", low=1e-6, high=1e6, default=1.0)

    @property
    def share(self) -> float:
        """The product's price over the other one's, at most."""
        return self.at_most * self.product_size / self.other_size


_TABLES = {"category": ProductRules, "product": ProductRules, "group": GroupRules}


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
        _known(table, ("shop", *_TABLES, "gap"), "")
        shop = _table(table.get("shop", {}), "shop")
        _known(shop, (*_names(ShopWide), *PRICE_KEYS), "shop.")
        prices = {key: shop.pop(key) for key in PRICE_KEYS if key in shop}
        checked = validated(section_from_table(Prices, prices, "shop"), "shop", {"N": 1, "G": 0})
        prices = {key: getattr(checked, key) for key in prices}
        parts = {
            kind: {
                name: _rules(section, _table(content, f"{kind}.{name}"), f"{kind}.{name}")
                for name, content in _table(table.get(kind, {}), kind).items()
            }
            for kind, section in _TABLES.items()
        }
        gaps = tuple(_gap(content, i) for i, content in enumerate(_list(table.get("gap", []))))
        return cls(_rules(ShopWide, shop, "shop"), prices, **parts, gap=gaps)

    def values(self, key: str, products: pd.DataFrame, default: Any) -> NDArray[Any]:
        """(N, …) what holds for each product under a key.

        Args:
            key: A field of `ProductRules`.
            products: One row per product: `product`, `category` and, where known, `name`.
            default: Value where nothing is said.
        """
        found = [
            next((said for part in self._parts(row) if (said := getattr(part, key)) is not None), default)
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

    def _links(self) -> list[tuple[str, ...]]:
        """The product lines, and the pairs of the price gaps."""
        return [*self.shop.lines, *((gap.product, gap.other) for gap in self.gap)]

    def check(self, products: pd.DataFrame) -> None:
        """Check that what the rules name exists.

        Args:
            products: All products of the shop: `product`, `category` and, where known, `name`.

        Raises:
            ScenarioError: A rule names a product or a category that the shop does not have, or a name that several
                products have.
        """
        categories = products["category"].dropna().unique().tolist()
        for name in (*self.category, *self.shop.categories):
            _one_of(name, categories, "category")
        ids = products["product"].tolist()
        names = products.get("name", products["product"]).tolist()
        listed = [*self._links(), *(group.products for group in self.group.values())]
        for name in (*self.product, *(name for names in listed for name in names)):
            if name in ids:
                continue
            _one_of(name, [*map(str, names), *ids], "product")
            if names.count(name) > 1:
                several = ", ".join(i for i, other in zip(ids, names, strict=True) if other == name)
                raise ScenarioError(f"'{name}' must be one product; got the name of several: {several}; use the id")

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

    def links(self, products: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
        """The product lines and price gaps among the products of a market, as its price rules have them.

        Args:
            products: One row per product: `product` and, where known, `name`.
            names: Their names in the market.
        """
        known = dict(zip(products.get("name", products["product"]), names, strict=True))
        known |= dict(zip(products["product"], names, strict=True))
        lines = [tuple(known[name] for name in line if name in known) for line in self.shop.lines]
        gaps = [gap for gap in self.gap if {gap.product, gap.other} <= set(known)]
        return {
            "line_order": tuple(line for line in lines if len(line) > 1),
            "price_gaps": tuple((known[gap.product], known[gap.other]) for gap in gaps),
            "gap_shares": np.array([gap.share for gap in gaps]),
        }

    def lines(self, products: pd.DataFrame) -> tuple[str, ...]:
        """The rules in words, and those that have no effect because their product is not in the market."""
        said = [("all products", self.shop, dict(self.prices))]
        said += [(f"category '{name}'", part, {}) for name, part in self.category.items()]
        said += [(f"'{name}'", part, {}) for name, part in (*self.group.items(), *self.product.items())]
        words = [
            f"By the shop's rules for {where}: {', '.join(given)}."
            for where, part, more in said
            if (given := [*_said(part), *(f"{_plain(key)} {_value(content)}" for key, content in more.items())])
        ]
        words += [
            f"By the shop's rules, '{gap.product}' costs at most {gap.share:g} times what '{gap.other}' costs."
            for gap in self.gap
        ]
        here = {*products["product"], *products.get("name", ()), *products["category"]}
        idle = [f"'{name}'" for name, part in self.product.items() if name not in here and not part.excluded]
        idle += [f"'{name}'" for group in self.group.values() for name in group.products if name not in here]
        idle += [f"category '{name}'" for name in (*self.category, *self.shop.categories) if name not in here]
        idle += [
            " and ".join(f"'{name}'" for name in link) + " together"
            for link in self._links()
            if len(here.intersection(link)) < 2
        ]
        if idle:
            words.append(
                f"Without effect are the shop's rules for {', '.join(dict.fromkeys(idle))}: not among what is priced."
            )
        return tuple(words)


def _names(section: type) -> tuple[str, ...]:
    return tuple(item.name for item in fields(section))


def _table(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ScenarioError(f"{where} must be a table [{where}]; got {shown(content)}; put its keys under [{where}]")
    return dict(content)


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ScenarioError(f"gap must be tables [[gap]]; got {shown(content)}; write each under its own [[gap]]")
    return content


def _gap(content: Any, i: int) -> GapRule:
    where = f"gap {i + 1}"
    given = _table(content, where)
    _known(given, _names(GapRule), f"{where}.")
    for key in ("product", "other"):
        if key not in given:
            raise ScenarioError(f"{where}.{key} is missing; it is the name or id of a product; add it")
    return _rules(GapRule, given, where)


def _known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key in known:
            continue
        if key in (*_names(ShopWide), *PRICE_KEYS):
            raise ScenarioError(f"{where}{key} holds for all products; got it elsewhere; put it under [shop]")
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean '{where}{near[0]}'?" if near else f"known are {', '.join(known)}"
        raise ScenarioError(f"{where}{key} is no known key; {hint}")


def _rules(section: type, given: dict[str, Any], where: str) -> Any:
    _known(given, _names(section), f"{where}.")
    for key in ("frozen", "excluded"):
        if not isinstance(given.get(key, False), bool):
            raise ScenarioError(f"{where}.{key} must be true or false; got {shown(given[key])}; choose one of them")
    part = section(**given)
    check_words(part, f"{where}.")
    return validated(part, where, _ENDS)


def _one_of(name: str, known: list[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        raise ScenarioError(f"{what} must be one of the tables; got {shown(name)}; did you mean '{near[0]}'?")


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with those of `changes` over them."""
    both = {key: _merged(table[key], new) for key, new in changes.items() if _tables(new, table.get(key))}
    return {**table, **changes, **both}


def _tables(*contents: Any) -> bool:
    return all(isinstance(content, Mapping) for content in contents)


def _said(part: ProductRules) -> list[str]:
    """The rules of one table in words."""
    return [
        f"{_plain(item.name)} {_value(current)}"
        for item in fields(part)
        if (current := getattr(part, item.name)) is not None and not (isinstance(current, tuple) and not current)
    ]


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _value(current: Any) -> str:
    if isinstance(current, PriceEndings | PriceLadder):
        grid = current.fractions if isinstance(current, PriceEndings) else current.steps
        return ", ".join(f"{number:g}" for number in grid)
    if isinstance(current, np.ndarray):
        return " to ".join(f"{number:g}" for number in dict.fromkeys(current.tolist()))
    if isinstance(current, tuple | list):
        return ", ".join(
            _value(item) if isinstance(item, str | float | int) else f"({_value(item)})" for item in current
        )
    if isinstance(current, bool):
        return "yes" if current else "no"
    return f"{current:g}" if isinstance(current, float) else str(current)
