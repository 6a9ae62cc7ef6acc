"""Customers whose answer to a lasting change of a price and to a deal have nothing in common.

Sizes are those of published findings, not of any fitted model: Hoch, Drèze and Purk (1994) and Hoch, Kim, Montgomery and
Rossi (1995) for regular prices; van Heerde, Gupta and Wittink (2003) and van Heerde, Leeflang and Wittink (2004) for how
a deal's bump divides into switching, growth of the category and stocking up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .choice import Segments
from .parameters import Array, Parameters
from .stocking_up import StockingUp

OWN, CATEGORY, BUMP, STEEPEST = (1.0, 3.0), (0.1, 1.0), (2.0, 5.0), 6.0
"""Absolute elasticities of a product's and a category's units with regular prices, and how many times as strong a deal
is as the former, up to an elasticity of 6."""
DEPTH = 0.2
"""The reduction for which that holds, in its first week and without a feature."""
_POINT = float(-np.log1p(-DEPTH))
_GROWTH, _SIMILARITY, _CLASSES, _NESTS = (0.3, 0.8), (0.5, 0.9), 3, 2
_MOST = 3.0
"""Times as many units of a category as usual that deals can sell at most."""
_EXTRA, _MISSING = (0.8, 2.0), (0.6, 0.95)
_ROUNDS = 300
_WEAR, _MEMORY = 0.3, 0.8
"""Share of its strength that a deal loses in logs by one of 20% in the week before, and what is left of that a week on."""


class Response(Protocol):
    """The customers of one category, of n products."""

    def bought(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> Array:
        """(…, T, n) units per customer of the category.

        Args:
            regular: (…, T, n) log regular price relative to that at which the parameters hold.
            deal: (…, T, n) log of the regular price over the price.
            feature: (…, T, n) utility that features add.
            sensitivity: Factor on the response to regular prices.
        """
        ...


@dataclass(frozen=True)
class RegularAndDeal:
    """A category with a constant elasticity, whose products share its units as a logit does.

    Attributes:
        share: (n,) units per customer at the regular prices at which the parameters hold.
        slope: (n,) utility lost per log point of the regular price.
        category: Absolute elasticity of the category with its regular prices.
        deal: (n,) utility per log point of a deal.
        growth: Share of what deals add to the value of the category by which its units grow, up to three times.
    """

    share: Array
    slope: Array
    category: float
    deal: Array
    growth: float

    def bought(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> Array:
        usual = self.share * np.exp(-sensitivity * self.slope * regular)
        weight = usual * np.exp(self.deal * deal + feature)
        total = weight.sum(axis=-1, keepdims=True)
        index = regular @ (self.share / self.share.sum())
        level = np.exp(-sensitivity * self.category * index)[..., None] * self.share.sum()
        more = (total / usual.sum(axis=-1, keepdims=True)) ** self.growth
        return weight / total * level * _MOST * more / (_MOST - 1 + more)


@dataclass(frozen=True)
class NestedDeals:
    """Two-level nested logit by household class: a tier of the category, a product of the tier, or nothing.

    Attributes:
        tier: (n,) number of each product's nest.
        weight: (K,) sizes of the household classes.
        utility: (K, n) utility of each product; that of buying nothing is 0.
        level: Utility that buying in the category adds.
        slope: (K, n) utility lost per log point of the regular price.
        deal: (K, n) utility per log point of a deal.
        similarity: Weight of a nest's inclusive value in the choice between nests, 0 to 1.
        category: Weight of the category's inclusive value at regular prices in the choice against buying nothing.
        growth: Weight of what deals add to it.
    """

    tier: NDArray[np.intp]
    weight: Array
    utility: Array
    level: float
    slope: Array
    deal: Array
    similarity: float
    category: float
    growth: float

    def bought(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> Array:
        shares = self.by_class(regular, deal, feature, sensitivity)
        return np.einsum("k,...kn->...n", self.weight, shares[0] * shares[1][..., None])

    def by_class(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> tuple[Array, Array]:
        """(…, T, K, n) shares of the products in the category, and (…, T, K) share of the class that buys in it."""
        usual = self.utility - sensitivity * self.slope * regular[..., None, :]
        _, before = self._inside(usual)
        inside, value = self._inside(usual + self.deal * deal[..., None, :] + feature[..., None, :])
        utility = self.level + self.category * before + self.growth * (value - before)
        return inside, 1 / (1 + np.exp(-utility))

    def _inside(self, utility: Array) -> tuple[Array, Array]:
        """Shares of the products in the category, and its inclusive value."""
        weight, member = np.exp(utility), self.tier[:, None] == self.tier
        nest = weight @ member
        # Each product's part of its nest's weight, so that the products of a nest add up to it.
        part = weight * nest ** (self.similarity - 1)
        total = part.sum(axis=-1, keepdims=True)
        return part / total, np.log(total[..., 0])


def deal_parameters(parameters: Parameters, size: float, random: Generator) -> Parameters:
    """The parameters with elasticities of regular prices, and `size` times as many customers."""
    centre = random.lognormal(np.log(1.7), 0.3, parameters.outside.size)[parameters.category]
    elasticity = np.clip(centre * random.lognormal(0, 0.2, centre.size), *OWN)
    return replace(parameters, elasticity=elasticity, units=size * parameters.units)


def worn(deal: Array, memory: Array) -> tuple[Array, Array]:
    """(…, T, n) deals as strong as they are after earlier ones, and the memory after the last week.

    Args:
        deal: (…, T, n) log of the regular price over the price.
        memory: (n,) or (…, n) deals remembered in the first week; 0 for none.
    """
    felt = np.empty_like(deal)
    for week in range(deal.shape[-2]):
        felt[..., week, :] = deal[..., week, :] * np.exp(-_WEAR * memory)
        memory = _MEMORY * (memory + deal[..., week, :] / _POINT)
    return felt, memory


def draw_stocking_up(random: Generator) -> StockingUp:
    """Households that account for about a third of a deal's bump, and buy less after it."""
    return StockingUp(random.uniform(*_EXTRA), random.uniform(*_MISSING))


def draw_responses(
    family: str, parameters: Parameters, stocking_up: StockingUp, random: Generator
) -> tuple[Response, ...]:
    """The customers of each category; what a deal adds is drawn apart from the response to regular prices."""
    responses = []
    for number in range(parameters.outside.size):
        own = parameters.category == number
        category = float(np.clip(random.lognormal(np.log(0.35), 0.6), *CATEGORY))
        bump = np.clip(random.lognormal(np.log(2.8), 0.3, int(own.sum())), *BUMP)
        wanted = np.minimum(bump * parameters.elasticity[own], STEEPEST)
        make = _regular_and_deal if family == "regular-and-deal" else _nested_deals
        responses.append(
            make(parameters.share[own], parameters.elasticity[own], category, (wanted, stocking_up), random)
        )
    return tuple(responses)


def _regular_and_deal(
    share: Array, elasticity: Array, category: float, deal: tuple[Array, StockingUp], random: Generator
) -> RegularAndDeal:
    inside = share / share.sum()
    slope = (elasticity - category * inside) / (1 - inside)
    plain = RegularAndDeal(share, slope, category, np.zeros_like(share), random.uniform(*_GROWTH))
    return replace(plain, deal=_deal_slope(lambda utility: plain.bought(0 * utility, utility, utility), *deal))


def _nested_deals(
    share: Array, elasticity: Array, category: float, deal: tuple[Array, StockingUp], random: Generator
) -> NestedDeals:
    parts = Segments(
        weight=random.dirichlet(np.full(_CLASSES, 4.0)),
        sensitivity=random.lognormal(0, 0.4, _CLASSES),
        taste=random.normal(0, 0.5, (_CLASSES, share.size)),
    )
    prone = random.lognormal(0, 0.4, _CLASSES)[:, None]
    tier = random.permutation(np.arange(share.size) % _NESTS)
    similarity, growth = random.uniform(*_SIMILARITY), random.uniform(*_GROWTH)
    bought = share.sum()
    utility, level, slope, reach = np.log(share / bought), np.log(bought / (1 - bought)), elasticity, 0.5
    none = np.zeros((1, share.size))

    def at(deal: Array) -> NestedDeals:
        sensitivities = parts.sensitivity[:, None] * slope
        return NestedDeals(
            tier, parts.weight, utility + parts.taste, level, sensitivities, deal, similarity, reach, growth
        )

    for _ in range(_ROUNDS):
        inside, buys = (found[0] for found in at(0 * parts.taste).by_class(none, none, none))
        reached = parts.weight @ (inside * buys[:, None])
        utility = utility + np.log(share / bought) - np.log(reached / reached.sum())
        level += np.log(bought / (1 - bought)) - np.log(reached.sum() / (1 - reached.sum()))
        # Own elasticities per unit of slope, and the category's per unit of its weight.
        nests = inside @ (tier[:, None] == tier)
        own = 1 - (1 - similarity) * inside / nests - similarity * inside * (1 - reach * (1 - buys[:, None]))
        buyers = (parts.weight * parts.sensitivity * buys)[:, None] * inside
        slope = elasticity * share / (buyers * own).sum(axis=0)
        reach = min(category * bought / (similarity * slope @ (buyers * (1 - buys[:, None])).sum(axis=0)), 1.0)
    bump = _deal_slope(lambda utility: _prone(at(0 * parts.taste), prone, utility), *deal)
    return at(prone * bump)


def _prone(plain: NestedDeals, prone: Array, utility: Array) -> Array:
    """What is bought if a deal adds utility times how prone each class is to deals."""
    none = 0 * utility
    return replace(plain, deal=np.broadcast_to(prone, plain.slope.shape)).bought(none, utility, none)


def _deal_slope(bought: Callable[[Array], Array], wanted: Array, stocking_up: StockingUp) -> Array:
    """(n,) utility per log point of a deal with which each product alone on deal has the wanted elasticity.

    Args:
        bought: (n, n) units per customer, given the utility that deals add.
        wanted: (n,) elasticity of the first week of a deal, with what households put by.
        stocking_up: What they put by.
    """
    put_by = stocking_up.units(np.ones((1, 1)), np.full((1, 1), DEPTH))[0].item()
    goal, usual = wanted * _POINT - np.log(put_by), bought(np.zeros((1, wanted.size)))[0]
    low, high = np.zeros_like(wanted), np.full_like(wanted, 30.0)
    for _ in range(60):
        middle = (low + high) / 2
        reached = np.log(np.diag(bought(np.diag(middle * _POINT))) / usual)
        low, high = np.where(reached < goal, middle, low), np.where(reached < goal, high, middle)
    return (low + high) / 2
