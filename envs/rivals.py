"""The rivals of a market: what each one observes, and prices from policies of other packages."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..pricing import Catalogue, LearningPolicy, MarketView, Policy, competitor
from ..scenarios import MarketSpec
from .kernels.expected_demand import rival_catalogue
from .kernels.rival_rules import is_built_in
from .kernels.state import Floats, MarketState, Outcome


@dataclass(frozen=True)
class _Group:
    """R' offers with one policy; product: (R',) the product that each competes with."""

    policy: Policy
    learns: bool
    offers: NDArray[np.intp]
    product: NDArray[np.intp]
    catalogue: Catalogue
    low: Floats
    high: Floats


class Rivals:
    """The rival offers of E markets.

    Built-in rules are compiled (`kernels/rival_rules.py`); other policies are called here.
    """

    def __init__(self, spec: MarketSpec) -> None:
        self._products = spec.sizes["N"]
        self._product = spec.competitor_product
        rivals = spec.competitors
        self.groups: list[_Group] = []
        if rivals is None:
            return
        rule = np.array(np.broadcast_to(np.array(rivals.rule, dtype=object), len(rivals.names)))
        for text in dict.fromkeys(rule):
            offers = np.flatnonzero(rule == text)
            policy = competitor(text)
            low, high = (bound[offers, None].astype(np.float32) for bound in (rivals.floor, rivals.ceiling))
            if is_built_in(policy):
                continue
            learns = isinstance(policy, LearningPolicy)
            catalogue = rival_catalogue(spec, offers)
            self.groups.append(_Group(policy, learns, offers, self._product[offers], catalogue, low, high))

    def prices(self, state: MarketState, our_price: Floats, given: Floats | None) -> Floats:
        """The given prices, and those of external policies that have seen our prices.

        Args:
            state: State before the period.
            our_price: (N, E) currency per unit.
            given: (R, E) prices, NaN where the rule decides; None where it always does.

        Returns:
            (R, E) currency per unit; NaN for offers with a built-in rule.
        """
        current = state.context[state.layout.rival_price]
        prices = np.full_like(current, np.nan) if given is None else given.copy()
        for group in self.groups:
            wanted = group.policy.act(self._view(group, state, our_price)).price.T
            wanted = np.minimum(np.maximum(wanted, group.low), group.high)
            # An external policy may return NaN: the current price then stays.
            wanted = np.where(np.isnan(wanted), current[group.offers], wanted)
            prices[group.offers] = np.where(np.isfinite(prices[group.offers]), prices[group.offers], wanted)
        return prices

    def learn(self, before: MarketState, after: MarketState, our_price: Floats, outcome: Outcome) -> None:
        """Update the memory of learning rivals in the state after the period, in place."""
        for group in self.groups:
            if group.learns:
                view = self._view(group, before, our_price)
                charged = after.context[after.layout.rival_price][group.offers].T
                memory = cast(LearningPolicy, group.policy).learn(view, charged, outcome.rival_profit[:, group.offers])
                # A view of the state, (offers, 2, E): writing to it changes the state.
                memories = after.context[after.layout.rival_memory].reshape(-1, 2, len(charged))
                memories[group.offers] = np.moveaxis(memory, 0, -1)

    def seen(self, state: MarketState) -> Floats:
        """(N, E) lowest rival price for each product or inf; (0, E) in a market without rivals."""
        prices = state.context[state.layout.rival_price]
        if len(prices) == 0 or (len(prices) == self._products == 1):
            return prices
        lowest = np.full((self._products, prices.shape[1]), np.inf, np.float32)
        for product, price in zip(self._product, prices, strict=True):
            np.minimum(lowest[product], price, out=lowest[product])
        return lowest

    def _view(self, group: _Group, state: MarketState, our_price: Floats) -> MarketView:
        price = our_price[group.product].T
        return offer_view(group.catalogue, state, group.offers, price, memory=group.learns)


@functools.lru_cache(maxsize=16)
def _filled(shape: tuple[int, int], value: float) -> Floats:
    return np.full(shape, value, np.float32)


def offer_view(
    catalogue: Catalogue, state: MarketState, offers: NDArray[np.intp], our_price: Floats, *, memory: bool
) -> MarketView:
    """The market as the seller of R' rival offers sees it.

    Args:
        catalogue: The rival's catalogue, see `rival_catalogue`.
        state: State of the markets.
        offers: (R',) indices of the offers.
        our_price: (E, R') our price of the product that each offer competes with, currency per
            unit.
        memory: Whether the view holds the rivals' recurrent state.
    """
    layout = state.layout
    context = state.context
    own = context[layout.rival_price][offers].T
    remembered = None
    if memory:
        remembered = np.moveaxis(context[layout.rival_memory].reshape(-1, 2, len(own))[offers], -1, 0)
    return MarketView(
        catalogue=catalogue,
        period=state.period,
        list_price=own,
        reference_price=own,
        on_hand=_filled(own.shape, np.inf),
        on_order=_filled(own.shape, 0.0),
        last_units=context[layout.rival_units][offers].T,
        competitor_price=our_price,
        memory=remembered,
    )
