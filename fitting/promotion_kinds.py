"""Which kinds of promotions the sales can tell apart: from the reductions of prices, and from one another."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from ..data.experiments import WHOLE_SHOP
from ..data.panel.context import PRODUCT_WEEK
from ..data.panel.promotion_kinds import PROMOTION, column_of, kinds_in
from ..pricing.planned_deals import DEAL

ALIKE = 0.9
"""Share of product-weeks in common from which two kinds, or a kind and the reductions, cannot be told apart."""
MOST_KINDS = 8
"""The kinds in most product-weeks that have an effect each."""
_LEAST_KIND_WEEKS = 8
OTHER = "other kinds"
"""The kinds that are too rare for an effect of their own."""
_Table = TypeVar("_Table", pd.DataFrame, xr.Dataset)


@dataclass(frozen=True)
class PromotionKinds:
    """How the kinds of promotions in the tables count.

    Attributes:
        groups: The kinds that count as one effect, by its name.
        in_price: The kinds that are left to the response to prices.
        notes: Why kinds have no effect of their own, sentences.

    Example:
        >>> rows = pd.DataFrame({"promotion": [1.0], "promotion: tag": [1.0], "promotion: display": [0.5]})
        >>> PromotionKinds({"display": ("display",)}, ("tag",)).applied(rows).to_dict("records")
        [{'promotion': 0.5}]
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_price: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> list[str]:
        """The kinds that the tables tell apart."""
        return [kind for kinds in (*self.groups.values(), self.in_price) for kind in kinds]

    @classmethod
    def of(cls, past: pd.DataFrame, stores: xr.Dataset) -> PromotionKinds:
        """What the past sales of a shop, or of a zone, tell apart.

        Args:
            past: The weekly panel before the weeks to simulate.
            stores: The sales of the same stores, as `data.with_prices` returns them, which tell the share of them with a
                reduced price.
        """
        columns = list(map(column_of, kinds_in(past)))
        if not columns:
            return cls()
        shares = past.set_index(PRODUCT_WEEK)[columns].to_xarray().expand_dims(store=[WHOLE_SHOP])
        return cls.of_places(shares, stores, {WHOLE_SHOP: list(stores.indexes["store"])})

    @classmethod
    def of_places(cls, shares: xr.Dataset, stores: xr.Dataset, places: Mapping[str, Sequence[str]]) -> PromotionKinds:
        """What the past sales of several zones, or a few stores, tell apart.

        A kind in nearly the same product-weeks as the reductions of prices has no effect that could be told from theirs; two
        kinds in nearly the same product-weeks have one; and so have those in hardly any.

        Args:
            shares: The share of stores with each kind, over `store` (the place), `week` and `product`, of past weeks.
            stores: As for `of`, of all of these stores.
            places: The stores of each place.
        """
        kinds = kinds_in(list(shares))
        if not kinds:
            return cls()
        shown = {kind: shares[column_of(kind)].fillna(0.0) for kind in kinds}
        weeks = {kind: int((share > 0).any("store").sum()) for kind, share in shown.items()}
        reduced = _in_order(_reduced_share(stores, places).reindex_like(shares).fillna(0.0))
        shares_of = {kind: _in_order(share) for kind, share in shown.items()}
        commonest = sorted(kinds, key=lambda kind: -shares_of[kind].sum())
        frequent = [kind for kind in commonest if weeks[kind] >= _LEAST_KIND_WEEKS]
        in_price = {kind: share for kind in frequent if (share := in_common(shares_of[kind], reduced)) >= ALIKE}
        groups, pooled = _alike({kind: shares_of[kind] for kind in frequent if kind not in in_price})
        rare = [kind for kind in commonest if weeks[kind] < _LEAST_KIND_WEEKS]
        rare += [kind for group in groups[MOST_KINDS:] for kind in group]
        named = {_listed(group): tuple(group) for group in groups[:MOST_KINDS]}
        notes = [_left_to_price(kind, share) for kind, share in in_price.items()]
        notes += [_pooled(*pair, share) for pair, share in pooled.items()]
        if rare:
            # A shop may call a kind so.
            named[OTHER] = (*named.get(OTHER, ()), *rare)
            notes.append(_too_rare(rare, weeks))
        return cls(named, tuple(in_price), tuple(notes))

    def applied(self, table: _Table) -> _Table:
        """A panel with a column for each effect in place of each kind; where there is but one, `promotion` holds it.

        Of kinds that count as one, the share of stores is the largest of theirs. Where some kinds are left to the
        response to prices, `promotion` holds the others alone.

        Args:
            table: Rows of a panel, or a data set by store, with columns of kinds.
        """
        raw = kinds_in(list(table))
        if not raw or not (self.groups or self.in_price):
            return table
        effects: dict[str, Any] = {}
        for name, kinds in self.groups.items():
            shares = [table[column_of(kind)] for kind in kinds if kind in raw]
            if shares:
                effects[name] = _widest(shares)
        columns: dict[str, Any] = {}
        if len(effects) > 1:
            columns = {column_of(name): share for name, share in effects.items()}
        if self.in_price or len(effects) == 1:
            columns[PROMOTION] = _widest(list(effects.values())) if effects else 0.0 * table[PROMOTION]
        gone = list(map(column_of, raw))
        kept: Any = table.drop_vars(gone) if isinstance(table, xr.Dataset) else table.drop(columns=gone)
        return kept.assign(**columns)


def in_common(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the product-weeks of either that both have, each counted by its share of stores.

    Args:
        one: (n,) share of stores in each product-week.
        other: (n,) the same of another.

    Example:
        >>> in_common(np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]))
        0.5
    """
    either = np.maximum(one, other).sum()
    return float(np.minimum(one, other).sum() / either) if either > 0 else 0.0


def _in_order(values: xr.DataArray) -> np.ndarray:
    """(n,) values by place, week and product."""
    return values.transpose("store", "week", "product").to_numpy().ravel()


def _reduced_share(stores: xr.Dataset, places: Mapping[str, Sequence[str]]) -> xr.DataArray:
    """The share of the stores of each place that sold a product in a week at a reduced price."""
    reduced = (stores["price"] < DEAL * stores["regular_price"]).where(stores["units"] > 0)
    names = stores["store"]
    found = [reduced.sel(store=names.isin(list(map(str, own)))).mean("store") for own in places.values()]
    return xr.concat(found, pd.Index(places, name="store"))


def _alike(shares: Mapping[str, np.ndarray]) -> tuple[list[list[str]], dict[tuple[str, str], float]]:
    """Groups of kinds whose product-weeks are nearly those of the first, and that share of each other one with it."""
    groups = list[list[str]]()
    pooled = dict[tuple[str, str], float]()
    for kind, own in shares.items():
        common = {group[0]: in_common(own, shares[group[0]]) for group in groups}
        nearest = max(common, key=lambda first: common[first], default=None)
        if nearest is None or common[nearest] < ALIKE:
            groups.append([kind])
            continue
        next(group for group in groups if group[0] == nearest).append(kind)
        pooled[kind, nearest] = common[nearest]
    return groups, pooled


def _widest(shares: Sequence[Any]) -> Any:
    """The largest of the shares, series or arrays by store, in each product-week."""
    return functools.reduce(np.maximum, shares)


def _listed(kinds: Sequence[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"


def _left_to_price(kind: str, share: float) -> str:
    return (
        f"Promotions: {kind} and the reductions of prices have {share:.0%} of their product-weeks in common, so that their effects "
        f"cannot be told apart: {kind} is left to the response to prices, and counts as no display."
    )


def _pooled(kind: str, other: str, share: float) -> str:
    return (
        f"Promotions: {kind} and {other} have {share:.0%} of their product-weeks in common, so that their effects cannot be told "
        "apart: they have one effect."
    )


def _too_rare(kinds: Sequence[str], weeks: Mapping[str, int]) -> str:
    counted = ", ".join(f"{kind} ({weeks[kind]:,})" for kind in kinds)
    verb = "is" if len(kinds) == 1 else "are"
    return (
        f"Promotions: {counted} {verb} in too few product-weeks, or behind the {MOST_KINDS} commonest kinds, for an effect of "
        f"their own: what remains counts as one, {OTHER}."
    )
