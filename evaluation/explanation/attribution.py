"""Which inputs moved a price: exact Shapley values over the parts of a market view, which add up to the price."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs import Outcome, rollout, seed_for
from ...pricing import Catalogue, MarketView, Policy
from ...scenarios import MarketSpec

Array = NDArray[np.float64]

# Inputs of the product itself, and the fields of the view that hold them; "other products" are the same of the rest.
_OWN = {
    "stock on hand": "on_hand",
    "stock on order": "on_order",
    "units sold last": "last_units",
    "price in force": "list_price",
    "reference price": "reference_price",
    "competitor price": "competitor_price",
}
_SHARED = {"time": "period", "regime": "regime", "loyalty": "loyalty"}
_OTHERS, _FORECAST = "other products", "forecast"
# Views that the baseline is the mean of: at most, at least, and as few as this many rows of products allow.
_MOST_VIEWS, _LEAST_VIEWS, _ROWS = 64, 8, 2_000_000
_MARKETS = 16
# Rows of products in one question to the policy.
_ASKED = 100_000


@dataclass(frozen=True)
class Attribution:
    """Why a price is not the policy's usual one. Currency per unit.

    baseline: mean price that the policy proposes over its own episodes. inputs: what each input adds, 0 where it is as usual.
    rules: what the guardrails add. baseline + sum of the inputs + rules is the price charged.
    """

    baseline: float
    inputs: dict[str, float]
    rules: float

    @property
    def price(self) -> float:
        """The price charged."""
        return self.baseline + sum(self.inputs.values()) + self.rules


def attribute(
    spec: MarketSpec, policy: Policy, view: MarketView, product: int, *, plays: Policy | None = None, seed: int = 0
) -> Attribution:
    """Share the distance between a product's price in the first market of a view and the policy's usual price among inputs.

    Shapley values of the game whose players are the inputs: those in a coalition are as in the view, the others as in
    a view of the policy's own episodes; the mean over such views (Lundberg and Lee 2017, A Unified Approach to Interpreting
    Model Predictions, NeurIPS, with the interventional expectation; Janzing, Minorics and Blöbaum 2020, Feature Relevance
    Quantification in Explainable AI, AISTATS). plays: whose episodes they are, where it is not the policy itself. All
    coalitions are asked, so the shares add up exactly. The forecast counts against a flat one of the same mean. Mixed views
    may be such as no market shows.
    """
    now, usual = _first(view), usual_views(spec, plays or policy, product, seed=seed)
    players = _players(now, usual, product)
    count = int(np.clip(_ROWS // (2 ** len(players) * now.catalogue.num_products), _LEAST_VIEWS, _MOST_VIEWS))
    # Evenly over what was seen, so that no stretch of the episode counts twice.
    usual = _rows(usual, np.linspace(0, usual.num_markets - 1, min(count, usual.num_markets)).round().astype(np.intp))
    flat = _flat(now.catalogue)

    def value(coalitions: NDArray[np.bool_]) -> Array:
        """Mean proposed price of each coalition (S, M)."""
        means = np.empty(len(coalitions))
        told = coalitions[:, list(players).index(_FORECAST)] if _FORECAST in players else np.ones(len(means), np.bool_)
        for catalogue, where in ((now.catalogue, np.flatnonzero(told)), (flat, np.flatnonzero(~told))):
            size = max(1, _ASKED // (usual.num_markets * catalogue.num_products))
            for part in np.split(where, range(size, where.size, size)) if where.size else ():
                mixed = _mixed(now, usual, coalitions[part], list(players.values()), catalogue)
                price = policy.act(mixed).price[:, product].astype(np.float64)
                means[part] = price.reshape(part.size, -1).mean(axis=1)
        return means

    shares, empty, full = shapley_values(value, len(players))
    allowed = spec.guardrails.apply(policy.act(now), now).price[0, product]
    names = [*_SHARED, _FORECAST, *_OWN, _OTHERS]
    found = dict(zip(players, shares.tolist(), strict=True))
    inputs = {name: found.get(name, 0.0) for name in names if name in found or _is_there(now, name)}
    return Attribution(empty, inputs, float(allowed) - full)


def shapley_values(value: Callable[[NDArray[np.bool_]], Array], players: int) -> tuple[Array, float, float]:
    """(M,) Shapley values of a game, and the values of nobody and of everybody, which they lie between.

    value: coalitions (S, M) to their values (S,). Shapley (1953), A Value for n-Person Games, Annals of Mathematics Studies 28.
    """
    numbers = np.arange(2**players)
    member = (numbers[:, None] >> np.arange(players)) & 1 > 0
    worth, size = value(member), member.sum(axis=1)
    shares = np.empty(players)
    for i in range(players):
        without = numbers[~member[:, i]]
        weight = np.array([1 / (players * comb(players - 1, int(s))) for s in size[without]])
        shares[i] = weight @ (worth[without + 2**i] - worth[without])
    return shares, float(worth[0]), float(worth[-1])


def usual_views(spec: MarketSpec, policy: Policy, product: int, *, seed: int = 0) -> MarketView:
    """The views of a policy's own episodes on a few judging markets, period after period, as one view.

    Those in which the product is there to be sold, where there are any.
    """
    seen: list[MarketView] = []

    def note(view: MarketView, outcome: Outcome) -> None:
        seen.append(view)

    rollout(spec, policy, episodes=_MARKETS, seed=seed_for("test", seed), watch=note)
    fields = {name: np.concatenate([getattr(view, name) for view in seen]) for name in _fields(seen[0])}
    together = replace(seen[0], **fields)
    there = for_sale(spec, together)[:, product]
    return _rows(together, np.flatnonzero(there | ~there.any()))


def for_sale(spec: MarketSpec, view: MarketView) -> NDArray[np.bool_]:
    """(E, N) whether a product can be bought in the period; where it cannot, its price means nothing."""
    stock = spec.stock
    at_once = stock.replenishment != "none" and stock.lead_time_periods == 0
    return (view.on_hand > 0) | (at_once or stock.shortage == "backlog")


def _fields(view: MarketView) -> list[str]:
    """Names of the fields with a row a market."""
    names = [name for name in MarketView.__dataclass_fields__ if name != "catalogue"]
    return [name for name in names if getattr(view, name) is not None]


def _rows(view: MarketView, rows: NDArray[np.intp]) -> MarketView:
    return replace(view, **{name: getattr(view, name)[rows] for name in _fields(view)})


def _first(view: MarketView) -> MarketView:
    return _rows(view, np.zeros(1, np.intp))


def _is_there(view: MarketView, name: str) -> bool:
    """Whether the market has such an input at all."""
    if name == _OTHERS:
        return view.catalogue.num_products > 1
    return name == _FORECAST or getattr(view, (_OWN | _SHARED)[name]) is not None


# A player is a list of (field, columns) that it brings from the view; the forecast brings its catalogue.
_Part = tuple[str, Any]


def _players(now: MarketView, usual: MarketView, product: int) -> dict[str, list[_Part]]:
    """The inputs that differ from what is usual; the others can move nothing."""
    others = np.arange(now.catalogue.num_products) != product
    parts: dict[str, list[_Part]] = {name: [(field, slice(None))] for name, field in _SHARED.items()}
    parts |= {name: [(field, [product])] for name, field in _OWN.items()}
    parts[_OTHERS] = [(field, np.flatnonzero(others)) for field in _OWN.values()]
    there = set(_fields(now))

    def differs(field: str, columns: Any) -> bool:
        one, many = getattr(now, field), getattr(usual, field)
        return bool((one != many).any() if one.ndim == 1 else (one[:, columns] != many[:, columns]).any())

    kept = {name: [part for part in own if part[0] in there and differs(*part)] for name, own in parts.items()}
    players = {name: own for name, own in kept.items() if own}
    if (now.catalogue.forecast_units != now.catalogue.forecast_units[0]).any():
        players[_FORECAST] = []
    return players


def _flat(catalogue: Catalogue) -> Catalogue:
    """The same, but for forecasts that are the same in every period."""
    mean = catalogue.forecast_units.mean(axis=0)
    return replace(catalogue, forecast_units=np.tile(mean, (catalogue.horizon, 1)))


def _mixed(
    now: MarketView, usual: MarketView, coalitions: NDArray[np.bool_], players: list[list[_Part]], catalogue: Catalogue
) -> MarketView:
    """Every usual view once for each coalition, coalition by coalition, with the coalition's inputs as they are now."""
    repeats, count = len(coalitions), usual.num_markets
    fields = {
        name: np.tile(getattr(usual, name), (repeats, *[1] * (getattr(usual, name).ndim - 1)))
        for name in _fields(usual)
    }
    rows = np.repeat(coalitions, count, axis=0)
    for player, (name, columns) in itertools.chain.from_iterable(
        ((i, part) for part in parts) for i, parts in enumerate(players)
    ):
        here, value = np.flatnonzero(rows[:, player]), getattr(now, name)
        if value.ndim == 1:
            fields[name][here] = value
        else:
            index = np.arange(value.shape[1])[columns]
            fields[name][here[:, None], index] = value[0, index]
    return replace(usual, catalogue=catalogue, **fields)
