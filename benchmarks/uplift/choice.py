"""How the customers of one category choose, written independently of the fitted market.

Every model reproduces the same shares and own-price elasticities at regular prices. Prices have the
shape (…, T, n): T weeks and the n products of the category.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .parameters import Array

_ROUNDS = 200
_EXTRA = (1.5, 4.0)
_MISSING = (0.6, 0.95)
_UNNOTICED = 0.05
_LEAST = 0.15
_WHEN = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class Logit:
    """Multinomial logit, mixed over K segments; the sensitivities may drift.

    Attributes:
        regular: (n,) regular prices.
        weight: (K,) sizes of the segments.
        utility: (K, n) utility at regular prices; that of buying nothing is 0.
        sensitivity: (K, n) utility lost per unit of currency.
        drift: Change of the sensitivities over 104 weeks, in logs; they are as drawn in week 52.
    """

    regular: Array
    weight: Array
    utility: Array
    sensitivity: Array
    drift: float = 0.0

    @classmethod
    def calibrated(
        cls, regular: Array, share: Array, elasticity: Array, *, segments: Segments | None = None, drift: float = 0.0
    ) -> Logit:
        """The model with these shares and own-price elasticities at regular prices."""
        parts = segments or Segments(np.ones(1), np.ones(1), np.zeros((1, share.size)))
        utility = np.log(share / (1 - share.sum()))
        for _ in range(_ROUNDS):
            utility = utility + np.log(share / (parts.weight @ _shares(utility + parts.taste)))
        chosen = _shares(utility + parts.taste)
        slope = (parts.weight * parts.sensitivity) @ (chosen * (1 - chosen)) / share
        sensitivity = parts.sensitivity[:, None] * elasticity / (slope * regular)
        return cls(regular, parts.weight, utility + parts.taste, sensitivity, drift)

    def by_segment(self, prices: Array, weeks: Array, utility: Array | float, before: float) -> Array:
        """(…, T, K, n) probability that a customer of the category belongs to a segment and
        buys a product.

        Args:
            prices: (…, T, n) prices, currency per unit.
            weeks: (T,) number of each week since the first of the history.
            utility: (…, T, n) utility added by displays and demand shocks.
            before: Mean price of the week before the first, relative to the regular prices.
        """
        sensitivity = self.sensitivity * np.exp(self.drift * (weeks / 104 - 0.5))[:, None, None]
        added = np.asarray(utility)[..., None, :] if np.ndim(utility) else utility
        value = self.utility + added - sensitivity * (prices - self.regular)[..., None, :]
        return self.weight[:, None] * _shares(value)


@dataclass(frozen=True)
class Segments:
    """What distinguishes K segments.

    Attributes:
        weight: (K,) sizes; they add up to 1.
        sensitivity: (K,) factor on the price sensitivity.
        taste: (K, n) utility added.
    """

    weight: Array
    sensitivity: Array
    taste: Array


@dataclass(frozen=True)
class Nested:
    """Nested logit: whether to buy in the category, then which product."""

    regular: Array
    utility: Array
    sensitivity: Array
    dissimilarity: float

    @classmethod
    def calibrated(cls, regular: Array, share: Array, elasticity: Array, dissimilarity: float) -> Nested:
        bought = share.sum()
        utility = dissimilarity * np.log(share / bought) + np.log(bought / (1 - bought))
        slope = 1 / dissimilarity - (1 / dissimilarity - 1) * share / bought - share
        return cls(regular, utility, elasticity / (slope * regular), dissimilarity)

    def by_segment(self, prices: Array, weeks: Array, utility: Array | float, before: float) -> Array:
        """As of `Logit`."""
        value = (self.utility + utility - self.sensitivity * (prices - self.regular)) / self.dissimilarity
        top = value.max(axis=-1, keepdims=True)
        weight = np.exp(value - top)
        total = weight.sum(axis=-1, keepdims=True)
        inclusive = self.dissimilarity * (top + np.log(total))
        return (weight / total / (1 + np.exp(-inclusive)))[..., None, :]


@dataclass(frozen=True)
class Cheapest:
    """Each customer buys the cheapest of the products that are acceptable at their price."""

    regular: Array
    utility: Array
    sensitivity: Array

    @classmethod
    def calibrated(cls, regular: Array, share: Array, elasticity: Array) -> Cheapest:
        order = np.argsort(regular)
        left = np.empty_like(share)
        left[order] = 1 - np.cumsum(share[order]) + share[order]
        acceptable = share / left
        return cls(regular, np.log(acceptable / (1 - acceptable)), elasticity / (regular * (1 - acceptable)))

    def by_segment(self, prices: Array, weeks: Array, utility: Array | float, before: float) -> Array:
        """As of `Logit`."""
        value = self.utility + utility - self.sensitivity * (prices - self.regular)
        acceptable = 1 / (1 + np.exp(-value))
        order = np.argsort(prices, axis=-1, kind="stable")
        ordered = np.take_along_axis(acceptable, np.broadcast_to(order, acceptable.shape), axis=-1)
        left = np.cumprod(np.concatenate([np.ones_like(ordered[..., :1]), 1 - ordered[..., :-1]], axis=-1), axis=-1)
        bought = np.empty_like(acceptable)
        np.put_along_axis(bought, np.broadcast_to(order, acceptable.shape), ordered * left, axis=-1)
        return bought[..., None, :]


@dataclass(frozen=True)
class ConstantElasticity:
    """Units are a power of every price of the category; the elasticities never change."""

    regular: Array
    share: Array
    elasticity: Array

    @classmethod
    def calibrated(cls, regular: Array, share: Array, elasticity: Array) -> ConstantElasticity:
        """Cross elasticities are those of the logit with the same own ones at regular prices."""
        cross = elasticity * share / (1 - share)
        matrix = np.repeat(cross[None], share.size, axis=0)
        np.fill_diagonal(matrix, -elasticity)
        return cls(regular, share, matrix)

    def by_segment(self, prices: Array, weeks: Array, utility: Array | float, before: float) -> Array:
        """As of `Logit`."""
        return (self.share * np.exp(np.log(prices / self.regular) @ self.elasticity.T + utility))[..., None, :]


@dataclass(frozen=True)
class Rival:
    """Logit against a rival whose price follows the shop's mean price of the week before.

    Attributes:
        own: The shop's customers, among whom some buy from the rival at regular prices.
        share: Share of the rival among those who do not buy from the shop.
        sensitivity: Utility that the rival loses when its price doubles.
        reply: Exponent with which the rival's price follows the shop's.
    """

    own: Logit
    share: float
    sensitivity: float
    reply: float

    def by_segment(self, prices: Array, weeks: Array, utility: Array | float, before: float) -> Array:
        """As of `Logit`."""
        mean = (prices / self.own.regular).mean(axis=-1)
        last = np.concatenate([np.full_like(mean[..., :1], before), mean[..., :-1]], axis=-1)
        rival = self.share * np.exp(-self.sensitivity * (last**self.reply - 1)) + 1 - self.share
        # A better offer elsewhere is a lower utility of everything here.
        lower = np.broadcast_to(np.log(rival)[..., None], prices.shape)
        return self.own.by_segment(prices, weeks, utility - lower, before)


def _shares(utility: Array) -> Array:
    """Logit probabilities over the last axis, beside an option of utility 0."""
    top = np.maximum(utility.max(axis=-1, keepdims=True), 0.0)
    weight = np.exp(utility - top)
    return weight / (np.exp(-top) + weight.sum(axis=-1, keepdims=True))


Choice = Logit | Nested | Cheapest | ConstantElasticity | Rival


# Customers who buy more than they use while a product is reduced, and less in the weeks after.


@dataclass(frozen=True)
class StockingUp:
    """How much customers put by, and when they use it.

    Attributes:
        extra: Extra units per unit that would be bought anyway, for each unit of reduction beyond 5%.
        missing: Share of them that is not bought in the three weeks after.

    Example:
        >>> reduction = np.array([[0.25], [0.0], [0.0]])
        >>> StockingUp(2.0, 0.5).units(np.full((3, 1), 100.0), reduction)[0].ravel().round(1).tolist()
        [140.0, 90.0, 94.0]
    """

    extra: float
    missing: float

    @classmethod
    def drawn(cls, random: Generator, extra: tuple[float, float] = _EXTRA) -> StockingUp:
        """The customers of a shop."""
        return cls(random.uniform(*extra), random.uniform(*_MISSING))

    def units(self, wanted: Array, reduction: Array, stored: Array | None = None) -> tuple[Array, Array]:
        """(…, T, n) units bought, and (3, …, n) those that will be missing in each of the weeks that follow.

        Args:
            wanted: (…, T, n) units that would be bought if no customer had any at home.
            reduction: (…, T, n) share of the regular price.
            stored: (3, n) what is missing in the first three weeks; None for nothing.
        """
        batch = wanted.shape[:-2]
        products = wanted.shape[-1]
        bought = np.empty_like(wanted)
        before = stored
        stored = np.zeros((len(_WHEN), *batch, products))
        if before is not None:
            stored += before.reshape(len(_WHEN), *(1 for _ in batch), products)
        for week in range(wanted.shape[-2]):
            needed = np.maximum(wanted[..., week, :] - stored[0], _LEAST * wanted[..., week, :])
            extra = self.extra * np.clip(reduction[..., week, :] - _UNNOTICED, 0.0, None) * needed
            bought[..., week, :] = needed + extra
            later = np.stack([share * self.missing * extra for share in _WHEN])
            stored = later + np.concatenate([stored[1:], np.zeros_like(stored[:1])])
        return bought, stored
