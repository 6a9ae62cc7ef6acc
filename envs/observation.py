"""Where the observed quantities stand in the state of simulated markets, and how a state is set to those of a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..pricing import QUANTITIES, Catalogue, MarketView
from ..pricing.complete import check_complete
from ..scenarios import MarketSpec
from .kernels.state import LAST_UNITS, LIST_PRICE, ON_HAND, PIPELINE, REFERENCE_PRICE, MarketState
from .rivals import Rivals

Array = NDArray[Any]


class Simulated(NamedTuple):
    """Markets that are observed.

    Attributes:
        state: Their state.
        spec: Their scenario.
        catalogue: What policies know of them.
        rivals: Their rivals.
    """

    state: MarketState
    spec: MarketSpec
    catalogue: Catalogue
    rivals: Rivals


class StatePlace(NamedTuple):
    """Where a quantity stands in the state.

    Attributes:
        read: Its numbers in markets, first axis the market; None where the markets have nothing of the kind.
        write: Sets a state to numbers of one market, (N,) or as the quantity has it; None where the state cannot be set
            by them: past prices by a count of their changes, or a clock.
    """

    read: Callable[[Simulated], Array | None]
    write: Callable[[MarketState, MarketSpec, Array], None] | None = None


def _own(name: str, write: Callable[[MarketState, MarketSpec, Array], None] | None = None) -> StatePlace:
    """The property of `MarketState` of the same name."""
    getattr(MarketState, name)
    return StatePlace(lambda market: getattr(market.state, name), write)


def _lane(name: str, row: int) -> StatePlace:
    """A row of `MarketState.lanes`."""

    def write(state: MarketState, spec: MarketSpec, values: Array) -> None:
        state.lanes[row] = values[:, None]

    return _own(name, write)


def _order(state: MarketState, spec: MarketSpec, values: Array) -> None:
    # Its arrival time does not matter: nothing on order can be sold in this period.
    state.lanes[PIPELINE : PIPELINE + 1] = values[:, None]


def _loyal(state: MarketState, spec: MarketSpec, values: Array) -> None:
    state.context[state.layout.loyalty] = values[:, None]


def _rival(state: MarketState, spec: MarketSpec, values: Array) -> None:
    state.context[state.layout.rival_price] = values[spec.competitor_product][:, None]


def _changes(market: Simulated) -> Array:
    prices = market.state.latest_prices(market.catalogue.change_window_periods)
    return (prices[1:] != prices[:-1]).sum(axis=0).T


def _since_change(market: Simulated) -> Array:
    prices = market.state.latest_prices(market.catalogue.since_change_periods)
    return np.logical_and.accumulate(prices == prices[0]).sum(axis=0).T


def _lowest(market: Simulated) -> Array | None:
    periods = market.spec.guardrails.prior_price_periods
    return None if periods is None else market.state.latest_prices(periods).min(axis=0).T


def _prior(market: Simulated) -> Array | None:
    law = market.spec.guardrails.law
    return market.state.prior_price if law is not None and law.states_prior else None


PLACES = {
    "period": _own("period"),
    "list_price": _lane("list_price", LIST_PRICE),
    "reference_price": _lane("reference_price", REFERENCE_PRICE),
    "on_hand": _lane("on_hand", ON_HAND),
    "on_order": _own("on_order", _order),
    "last_units": _lane("last_units", LAST_UNITS),
    "competitor_price": StatePlace(lambda market: market.rivals.seen(market.state).T, _rival),
    "regime": _own("regime"),
    "loyalty": _own("loyalty", _loyal),
    # Only learning rivals have one, see `rivals.offer_view`.
    "memory": StatePlace(lambda market: None),
    "changes": StatePlace(_changes),
    "periods_since_change": StatePlace(_since_change),
    "lowest_price_30_days": StatePlace(_lowest),
    "prior_price": StatePlace(_prior),
    "capacity": StatePlace(lambda market: None if market.spec.capacity is None else market.state.capacity),
    "due": StatePlace(lambda market: market.state.due[..., : market.catalogue.due_periods]),
}
check_complete("envs.observation", "a place in the state", QUANTITIES, PLACES)


def view_of(market: Simulated) -> MarketView:
    """What a policy sees of markets at the start of the current period."""
    catalogue = market.catalogue
    seen = {name: PLACES[name].read(market) for name, quantity in QUANTITIES.items() if quantity.observed(catalogue)}
    return MarketView(catalogue, **seen)  # pyright: ignore[reportArgumentType]


def set_state(state: MarketState, spec: MarketSpec, view: MarketView) -> None:
    """Set the state of simulated markets to what was observed of the first market of a view, but for its clock."""
    for name, place in PLACES.items():
        values = getattr(view, name)
        if place.write is not None and values is not None:
            place.write(state, spec, np.asarray(values[0]))
