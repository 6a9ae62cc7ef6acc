"""The rivals of a market: which policy prices which offers, and what it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pricing import Catalogue, LearningPolicy, MarketView, Policy, competitor
from ..pricing.competitors import Stay
from ..scenarios import MarketSpec
from .expected import rival_catalogue
from .state import Floats, MarketState


@dataclass(frozen=True)
class _Group:
    """Offers with one rule. offers: (R',) indices; product: (R',) the product that each competes with."""

    policy: Policy
    offers: NDArray[np.intp]
    product: NDArray[np.intp]
    catalogue: Catalogue
    low: Floats
    high: Floats


class Rivals:
    """The rival offers of one market, priced by the rules that the scenario names."""

    def __init__(self, spec: MarketSpec) -> None:
        self._spec = spec
        self._groups: list[_Group] = []
        self._products = spec.sizes["N"]
        self._product = spec.competitor_product
        rivals = spec.competitors
        if rivals is None:
            return
        rule = np.array(np.broadcast_to(np.array(rivals.rule, dtype=object), len(rivals.names)))
        for text in dict.fromkeys(rule):
            offers = np.flatnonzero(rule == text)
            low, high = (bound[offers, None].astype(np.float32) for bound in (rivals.floor, rivals.ceiling))
            catalogue = rival_catalogue(spec, offers)
            self._groups.append(_Group(competitor(text), offers, self._product[offers], catalogue, low, high))

    def prices(self, state: MarketState, our_price: Floats) -> Floats:
        """(R, E) what the rivals charge once they have seen our prices (N, E); currency per unit."""
        rows = state.layout.rival_price
        prices = state.context[rows]
        if all(isinstance(group.policy, Stay) for group in self._groups):
            return prices
        prices = prices.copy()
        for group in self._groups:
            asked = group.policy.act(self._view(group, state, our_price)).price.T
            proper = np.where(np.isfinite(asked), asked, prices[group.offers])
            prices[group.offers] = np.minimum(np.maximum(proper, group.low), group.high)
        return prices

    def learn(self, before: MarketState, after: MarketState, our_price: Floats, profit: Floats) -> None:
        """Let the rivals that learn note what they earned, (E, R), in the memory of the state after, in place."""
        for group in self._groups:
            if isinstance(group.policy, LearningPolicy):
                view = self._view(group, before, our_price)
                charged = after.context[after.layout.rival_price][group.offers].T
                memory = group.policy.learn(view, charged, profit[:, group.offers])
                rows = after.context[after.layout.rival_memory].reshape(-1, 2, len(profit))
                rows[group.offers] = np.moveaxis(memory, 0, -1)

    def seen(self, state: MarketState) -> Floats:
        """(N, E) lowest rival price for each product, inf where there is none; (0, E) where nobody competes."""
        prices = state.context[state.layout.rival_price]
        if not len(prices):
            return prices
        if len(prices) == self._products == 1:
            return prices
        lowest = np.full((self._products, prices.shape[1]), np.inf, np.float32)
        for product, price in zip(self._product, prices, strict=True):
            np.minimum(lowest[product], price, out=lowest[product])
        return lowest

    def view(self, state: MarketState, offers: NDArray[np.intp], our_price: Floats) -> MarketView:
        """What the seller of these offers sees: its own prices and sales, and ours, (N, E), as the rival's."""
        return offer_view(rival_catalogue(self._spec, offers), state, offers, our_price[self._product[offers]].T)

    def _view(self, group: _Group, state: MarketState, our_price: Floats) -> MarketView:
        return offer_view(group.catalogue, state, group.offers, our_price[group.product].T)


def offer_view(catalogue: Catalogue, state: MarketState, offers: NDArray[np.intp], our_price: Floats) -> MarketView:
    """The market from the side of R' offers; our_price: (E, R') what we charge for the product that each competes with."""
    own = state.context[state.layout.rival_price][offers].T
    units = state.context[state.layout.rival_units][offers].T
    memory = state.context[state.layout.rival_memory].reshape(-1, 2, len(own))[offers]
    nothing = np.zeros_like(own)
    return MarketView(
        catalogue=catalogue,
        period=state.period,
        list_price=own,
        reference_price=own,
        on_hand=nothing + np.float32(np.inf),
        on_order=nothing,
        last_units=units,
        competitor_price=our_price,
        memory=np.moveaxis(memory, -1, 0),
    )
