"""The choice model: utilities, choice probabilities, expected demand and elasticities of a market.

The formulas are those of docs/notation.md. Fitting, solvers and the price service use this model;
the simulated market computes the same demand in compiled loops, and tests hold the two to each
other. Prices may be numpy arrays or torch tensors: a tensor's gradient passes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import clip, detached, exp, like, log
from .choice_formulas import (
    choice_shares,
    felt_price,
    gap_effect,
    log_or_never,
    lowest_price_shares,
    members,
    nested_shares,
    reference_gap,
    stocking_price,
    units_taken,
)

FAMILIES = ("mnl", "cheapest", "exponential", "linear", "constant-elasticity", "nested-logit")
"""How utility becomes a choice: see docs/market.md, `demand.family`."""
Array = Any
Periods = int | NDArray[np.intp]


class _Situation(NamedTuple):
    """What customers meet: B rows of prices. paid: (B, K, N). available: (N,) 0 or 1. The rest as in `units`."""

    period: Periods
    price: Array
    paid: Array
    reference: Array
    shown: NDArray[np.intp] | None
    promoted: Array
    rival_price: Array
    loyalty: Array
    available: Array


@dataclass(frozen=True, eq=False)
class ChoiceModel:
    """How customers choose: a multinomial logit with segments (a finite mixed logit), or
    a willingness-to-pay family.

    T periods, C categories, J nests, N products, K segments, R rival offers, Z regimes. An array of a
    section that is off is empty. `repricer.scenarios.choice_model` makes the model of a scenario.

    Args:
        family: one of `FAMILIES`; the others than `mnl`, `nested-logit` and `cheapest` are for one
            product per category.
        linear_reference: whether the distance from the reference price is linear, not logarithmic.
        saturating_reference: whether it grows less the deeper a deal is, see `reference_gap`.
        single: whether at most one customer comes per period and category.
        category: (N,) index of each product's category.
        quality: (K, N) utility at a price of zero (of one, where the logarithm of the price counts).
        sensitivity: (K, N) utility lost per unit of currency.
        curvature, regular: (N,) how utility bends in the price, and the price at which it has that slope: see
            `felt_price`.
        quality_path: (N, T) utility that a period adds to a product.
        rate: (C, T) mean customers per period.
        season: (C, T) utility that a period adds to a category.
        path: (C, T) factor of the price sensitivity.
        share: (C, K) share of each segment among a category's customers.
        gain, loss: (N,) utility per log point (or per currency) that the price is below, above the reference price.
        units_gain, units_loss: (N,) log units that the buyers of a product take more per log point (or per currency)
            that its price is below, fewer that it is above the reference price, up to the regular price.
        promotion: (K, N) utility that being on promotion adds.
        lift: (K,) factor of a product's weight in the segment's recommendation slot: exp of the utility it adds.
        rival_category: (R,) index of each rival offer's category.
        rival_quality, rival_sensitivity: (K, R) as of products.
        regime_utility, regime_sensitivity, regime_arrivals: (Z,) added to the season, factors of
            the price sensitivity and of the arrival rate.
        strategic_share: (K,) share of a segment that may wait for the price it remembers.
        patience: (K,) weight of buying next period against buying now.
        rivals_product: (R,) index of the product that each rival offer competes with.
        rivals_regular: (R,) initial prices of the rival offers: regular ones within their bounds, currency per unit.
        regime_share: (T, Z) probability of each regime in each period; (T, 0) without regimes.
        overdispersion: (N,) variance of the gamma multiplier of demand (mean 1).
        nesting: (J,) nesting of the nested logit; empty in other families.
        nest: (N,) index of each product's nest; empty where every category is a nest.

    Example:
        >>> import repricer
        >>> from repricer.scenarios import choice_model
        >>> spec = repricer.load_scenario("three-stocks")
        >>> model, regular = choice_model(spec), spec.products.regular_price
        >>> model.units(0, regular, reference=regular).shape  # price rows, segments, products
        (1, 1, 3)
    """

    family: str
    linear_reference: bool
    single: bool
    category: NDArray[np.intp]
    quality: Array
    sensitivity: Array
    quality_path: Array
    rate: Array
    season: Array
    path: Array
    share: Array
    gain: Array
    loss: Array
    promotion: Array
    lift: Array
    rival_category: NDArray[np.intp]
    rival_quality: Array
    rival_sensitivity: Array
    regime_utility: Array
    regime_sensitivity: Array
    regime_arrivals: Array
    strategic_share: Array
    patience: Array
    rivals_product: NDArray[np.intp]
    rivals_regular: Array
    regime_share: Array
    overdispersion: Array
    nesting: Array = field(default_factory=lambda: np.empty(0))
    nest: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    saturating_reference: bool = False
    curvature: Array = field(default_factory=lambda: np.empty(0))
    regular: Array = field(default_factory=lambda: np.empty(0))
    units_gain: Array = field(default_factory=lambda: np.empty(0))
    units_loss: Array = field(default_factory=lambda: np.empty(0))

    @property
    def product_nest(self) -> NDArray[np.intp]:
        """(N,) index of each product's nest."""
        return self.nest if _is_on(self.nest) else self.category

    @property
    def nest_category(self) -> NDArray[np.intp]:
        """(J,) index of each nest's category."""
        if not _is_on(self.nest):
            return np.arange(len(self.rate))
        home = np.zeros(len(self.nesting), np.intp)
        home[self.nest] = self.category
        return home

    def units(
        self, period: Periods, price: Array, *, reference: Array, regime: int | None = None, **situation: Any
    ) -> Array:
        """Mean units by segment with ample stock in one period.

        Args:
            period: counted from 0; (B,) with one for each row of prices.
            price: (B, N) or (N,) list prices, currency per unit; an array or a tensor.
            reference: (N,) or (B, N) reference prices, currency per unit.
            regime: index of the regime; None for the mean over the regimes that the period may be in.
            **situation: `discount`: (N, K) or (B, N, K) personal discounts, fractions of the list price; `shown`: (K,) index
                of the product in each segment's recommendation slot, -1 for none; `promoted`: (N,) whether a product is on
                promotion; `rival_price`: (R,) currency per unit, by default the initial prices; `loyalty`: (K,) factor of a
                segment's arrivals, by default 1; `in_stock`: (N,) whether a product can be bought, by default all.

        Returns:
            (B, K, N), in the array library of `price`.
        """
        model = self._in_library_of(price)
        now = self._situation(period, price, reference, **situation)
        units: Array = sum(model._by_group(now, regime))
        if not _is_on(self.units_gain):
            return units
        usual = stocking_price(now.price, now.reference, model.regular)
        factor = exp(gap_effect(self.gap(usual, now.reference), model.units_gain, model.units_loss))
        if self.switches and bool((usual < now.price).any()):
            cheaper = now._replace(price=usual, paid=now.paid * (usual / now.price)[:, None])
            at_usual: Array = sum(model._by_group(cheaper, regime))
            factor = units_taken(factor, units.sum(1), at_usual.sum(1))
        return units * factor[:, None]

    @property
    def switches(self) -> bool:
        """Whether customers choose among the products of a category, now: none waits for another price."""
        return self.family in ("mnl", "nested-logit") and not _is_on(self.strategic_share)

    def gap(self, price: Array, reference: Array) -> Array:
        """How far prices lie below their references, as of `reference_gap`."""
        return reference_gap(price, reference, self.linear_reference, self.saturating_reference)

    def linear_utility(self, period: Periods) -> tuple[Array, Array]:
        """(…, K, N) utility at a price of zero and what a unit of the felt price takes, in no regime, without promotion
        and reference price.

        Args:
            period: counted from 0; (B,) with one for each row of the result.
        """
        level = self.season.T[period][..., self.category] + self._usual(period)
        return self.quality + level[..., None, :], self.sensitivity * self.path.T[period][..., None, self.category]

    def outside_weight(self, period: int, *, rival_price: Array | None = None, regime: int | None = None) -> Array:
        """(K, C) exp(utility) of leaving, which is 1, and of the rival offers together.

        Args:
            period: counted from 0.
            rival_price: (R,) currency per unit; the initial prices where left out.
            regime: index of the regime; None for a market without.
        """
        utility, factor = (
            (0.0, 1.0) if regime is None else (self.regime_utility[regime], self.regime_sensitivity[regime])
        )
        prices = self.rivals_regular if rival_price is None else rival_price
        return 1 + self._rival_weight(prices, self.season.T[period] + utility, self.path.T[period] * factor)

    def _in_library_of(self, price: Array) -> ChoiceModel:
        """The model with its numbers as tensors where the price is one."""
        if not hasattr(price, "new_tensor"):
            return self
        arrays = {item.name: getattr(self, item.name) for item in fields(self)}
        kept = ("family", "linear_reference", "saturating_reference", "single")
        kept = (*kept, "category", "nest", "rival_category", "rivals_product")
        return replace(self, **{name: like(price, values) for name, values in arrays.items() if name not in kept})

    def _situation(
        self,
        period: Periods,
        price: Array,
        reference: Array,
        *,
        discount: Array | None = None,
        shown: NDArray[np.intp] | None = None,
        promoted: Array | None = None,
        rival_price: Array | None = None,
        loyalty: Array | None = None,
        in_stock: Array | None = None,
    ) -> _Situation:
        rows = like(price, price)
        rows = rows if rows.ndim == 2 else rows[None]
        segments, products = self.quality.shape
        off = like(rows, np.zeros((products, segments)) if discount is None else discount)
        there = np.ones(products) if in_stock is None else detached(in_stock) > 0
        return _Situation(
            period=period,
            price=rows,
            paid=rows[:, None, :] * (1 - off.swapaxes(-1, -2)),
            reference=like(rows, reference),
            shown=shown,
            promoted=like(rows, np.zeros(products) if promoted is None else promoted),
            rival_price=like(rows, self.rivals_regular if rival_price is None else rival_price),
            loyalty=like(rows, np.ones(segments) if loyalty is None else loyalty),
            available=like(rows, there.astype(np.float64)),
        )

    def _by_group(self, now: _Situation, regime: int | None) -> Iterator[Array]:
        """Customers by regime, weighted by its probability, and by whether they may wait."""
        if self.family not in FAMILIES:
            raise ValueError(f"the demand family must be one of {', '.join(FAMILIES)}; got {self.family!r}; choose one")
        if not _is_on(self.regime_share):
            yield from self._in_regime(now, 0.0, 1.0, 1.0)
            return
        shares = self.regime_share[now.period] if regime is None else np.eye(len(self.regime_utility))[regime]
        parts = zip(self.regime_utility, self.regime_sensitivity, self.regime_arrivals, strict=True)
        for z, regime_parts in enumerate(parts):
            chance = shares[..., z]
            if chance.max() > 0:
                yield from (chance[..., None, None] * units for units in self._in_regime(now, *regime_parts))

    def _in_regime(self, now: _Situation, utility: Any, sensitivity: Any, arrivals: Any) -> Iterator[Array]:
        c = self.category
        t = now.period
        season = self.season.T[t] + utility
        path = self.path.T[t] * sensitivity
        customers = (self.rate.T[t][..., None] * arrivals * self.share * now.loyalty).swapaxes(-1, -2)
        level = (season[..., c] + self._usual(t) + self._reference_effect(now))[:, None]
        if _is_on(self.promotion):
            level = level + self.promotion * now.promoted
        value = self.quality - self.sensitivity * (self._felt(now.paid) * path[..., None, c]) + level
        if self.family == "mnl":
            yield from self._logit(now, value, customers, season, path)
        elif self.family == "nested-logit":
            value = value + log_or_never(now.available, value)
            nests = (self.product_nest, self.nest_category)
            yield customers[..., c] * nested_shares(value, self.nesting, *nests).product
        else:
            yield self._willing(now, value, customers)

    def _felt(self, paid: Array) -> Array:
        """What the price sensitivity multiplies."""
        if self.family == "constant-elasticity":
            return log(paid)
        return felt_price(paid, self.regular, self.curvature) if _is_on(self.curvature) else paid

    def _usual(self, period: Periods) -> Array:
        """(…, N) utility of the products' own paths."""
        return self.quality_path.T[period] if _is_on(self.quality_path) else 0.0

    def _reference_effect(self, now: _Situation) -> Array:
        """(B, N) utility from the distance between the reference price and the list price."""
        if not _is_on(self.gain):
            return 0.0 * now.price
        return gap_effect(self.gap(now.price, now.reference), self.gain, self.loss)

    def _logit(self, now: _Situation, value: Array, customers: Array, season: Array, path: Array) -> Iterator[Array]:
        """Multinomial logit among products in stock, rival offers and leaving."""
        c = self.category
        count = len(self.rate)
        value = value + log_or_never(now.available, value)
        if now.shown is not None and _is_on(self.lift):
            slot = like(value, np.arange(len(c)) == np.asarray(now.shown)[:, None])
            value = value + slot * log(self.lift)[:, None]
        outside = 1 + self._rival_weight(now.rival_price, season, path)
        share = choice_shares(value, c, outside).product
        if not _is_on(self.strategic_share):
            yield customers[..., c] * share
            return
        waits = self.strategic_share[:, None]
        yield (1 - waits) * customers[..., c] * share
        usual = (season[..., c] + self._usual(now.period))[..., None, :]
        felt = (self._felt(now.reference) * path[..., c])[..., None, :]
        later = exp(self.quality - self.sensitivity * felt + usual) * now.available
        outside = outside + self.patience[:, None] * (later @ members(c, count, value))
        yield waits * customers[..., c] * choice_shares(value, c, outside).product

    def _rival_weight(self, price: Array, season: Array, path: Array) -> Array:
        """(…, K, C) exp(utility) of the rival offers, summed."""
        own = self.rival_category
        utility = self.rival_quality - self.rival_sensitivity * price * path[..., None, own] + season[..., None, own]
        return exp(utility) @ members(own, len(self.rate), utility)

    def _willing(self, now: _Situation, value: Array, customers: Array) -> Array:
        """Families in which a customer buys with a probability that falls in price, whatever the other prices."""
        is_probability = self.family in ("linear", "cheapest")
        chance = clip(value, 0.0, 1.0) if is_probability else clip(exp(clip(value, -np.inf, 1.0)), 0.0, 1.0)
        # A probability that is cut to 0 or 1 does not answer to prices.
        units = customers[..., self.category] * chance * now.available
        if self.family == "cheapest":
            rivals = (now.rival_price, self.rival_category)
            units = units * lowest_price_shares(now.paid, now.available, self.category, *rivals)
        return units


def _is_on(values: Array) -> bool:
    """Whether a section has its arrays."""
    return 0 not in values.shape
