"""Mean demand of one category as a function of unconstrained parameters, in torch.

The model is the simulated market's own: customers arrive by week and store, segments choose by a
multinomial logit with utility linear in price or in its logarithm, or leave (McFadden 1974; Train
2009, chapters 3 and 6). Sizes: G stores, W weeks, K segments, J products, F features of a week.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ...pricing import felt_price
from .priors import Priors

Array = NDArray[np.float64]
# Log weight of a product that is not on sale: small, and its gradient is finite.
_NOT_OFFERED = -60.0
# Prior of the log odds of a second choice: nearly uniform between none and all.
_SUBSTITUTION_SPREAD = 1.5
# Prior standard deviation of a parameter that other sales tell of: these sales hardly move it.
_GIVEN_SPREAD = 0.02
# Prior standard deviation of a product's log elasticity where the others tell nothing of it.
UNLIKE_SPREAD = 3.0


@dataclass(frozen=True)
class CategoryData:
    """The weekly sales of a category's products, and what customers met.

    Args:
        units: (G, W, J) units sold.
        price: (G, W, J) price over the regular price of today; NaN where the product was not on sale.
        sold_out: (G, W, J) whether it sold out, so that demand was at least `units`.
        week_features: (W, F) features of the arrivals, each around zero.
        feature_spread: (F,) prior standard deviation of each coefficient.
        effects: (E, G, W, J) what else moves the utility: promotion, log reference price over
            price, unexplained price changes.
        effect_mean: (E,) prior mean of the coefficient of each.
        effect_spread: (E,) its prior standard deviation.
        own_units: (E,) 1 where an effect multiplies the units of a product and leaves those of the others, 0 where it
            moves the utility; empty for none.
        segment_share: (K,) share of each segment among the category's customers.
        segment_response: (K,) price sensitivity of each segment relative to the average.
        per_week: number of these weeks that share a shock to the category: 7 where they are days.
        years: (W,) years since the last week, negative; empty if price responses are the same in all weeks.
        within: (K, J) share of each product in a segment's purchases at regular prices.
        unlike: (J,) products of whose elasticity the others tell nothing; empty for none.
        curvature: 0 where utility is linear in the price, 1 where in its logarithm, see `pricing.felt_price`.
        given: (M, ·) draws of the parameters that other sales tell of, by their name in `Layout`; the posterior takes
            them as they are (a cut posterior: Plummer 2015, Statistics and Computing 25).

    Example:
        >>> CategoryData(np.ones((1, 4, 2)), np.ones((1, 4, 2))).sizes
        (1, 4, 2)
    """

    units: Array
    price: Array
    sold_out: NDArray[np.bool_] | None = None
    week_features: Array = field(default_factory=lambda: np.empty((0, 0)))
    feature_spread: Array = field(default_factory=lambda: np.empty(0))
    effects: Array = field(default_factory=lambda: np.empty(0))
    effect_mean: Array = field(default_factory=lambda: np.empty(0))
    effect_spread: Array = field(default_factory=lambda: np.empty(0))
    own_units: Array = field(default_factory=lambda: np.empty(0))
    segment_share: Array = field(default_factory=lambda: np.ones(1))
    segment_response: Array = field(default_factory=lambda: np.ones(1))
    per_week: int = 1
    years: Array = field(default_factory=lambda: np.empty(0))
    within: Array | None = None
    unlike: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    curvature: float = 0.0
    given: Mapping[str, Array] = field(default_factory=dict)

    def with_effects(self, effects: Array, mean: ArrayLike, spread: ArrayLike, own_units: ArrayLike) -> CategoryData:
        """The same sales with (E, G, W, J) more effects; what else is said of each is one number, or one for all."""
        mean, spread, own_units = (np.broadcast_to(values, len(effects)) for values in (mean, spread, own_units))
        return replace(
            self,
            effects=np.concatenate([self.effects.reshape(-1, *effects.shape[1:]), effects]),
            effect_mean=np.append(self.effect_mean, mean),
            effect_spread=np.append(self.effect_spread, spread),
            own_units=np.append(self.own_units, own_units),
        )

    def with_week_features(self, columns: Sequence[Array], spread: float) -> CategoryData:
        """The same sales with (W,) more features of the arrivals, of one prior standard deviation."""
        return replace(
            self,
            week_features=np.column_stack([self.week_features, *columns]),
            feature_spread=np.append(self.feature_spread, [spread] * len(columns)),
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """G, W, J."""
        groups, weeks, products = self.units.shape
        return groups, weeks, products

    @cached_property
    def on_sale(self) -> NDArray[np.bool_]:
        """(G, W, J) whether the product was on sale."""
        return np.isfinite(self.price)

    @cached_property
    def felt(self) -> Array:
        """(G, W, J) the price felt over the regular price of today; NaN where the product was not on sale."""
        return felt_price(self.price, 1.0, self.curvature)

    @cached_property
    def censored(self) -> NDArray[np.bool_]:
        """(G, W, J) whether demand was cut by stock."""
        none = np.zeros(self.units.shape, dtype=bool)
        return none if self.sold_out is None else self.sold_out & self.on_sale

    @cached_property
    def log_units(self) -> Array:
        """(J,) logarithm of the mean weekly units of all stores, the origin of the levels."""
        on_sale = self.on_sale
        mean = np.where(on_sale, self.units, 0.0).sum(axis=(0, 1)) / np.maximum(on_sale.any(axis=0).sum(axis=0), 1)
        return np.log(np.maximum(mean, 0.05))


class Layout:
    """Where each parameter lies in the vector of P parameters, and its prior.

    Attributes:
        level: J, log mean weekly units at regular prices.
        category: 1, log absolute elasticity of the category, that of the last week if it drifts.
        product: J, deviation of each product's.
        outside: 1, log odds of the outside share at regular prices.
        effects: E coefficients.
        features: F coefficients.
        stores: G, log odds of each store's share of the customers.
        substitution: 1 where stock cut demand, log odds that a customer of a sold-out product chooses
            again.
        drift: 1 where price responses may drift, change of their logarithm in a year.
        mean: (P,) prior mean.
        spread: (P,) prior standard deviation.
        given: Indices of the parameters that other sales tell of.
    """

    def __init__(self, data: CategoryData, priors: Priors) -> None:
        groups, _, products = data.sizes
        own = np.full(products, priors.product_spread)
        own[np.flatnonzero(data.unlike)] = UNLIKE_SPREAD
        parts = {
            "level": (products, data.log_units, 3.0),
            "category": (1, np.log(priors.elasticity), priors.category_spread),
            "product": (products, 0.0, own),
            "outside": (1, np.log(priors.outside / (1 - priors.outside)), priors.outside_spread),
            "effects": (len(data.effect_mean), data.effect_mean, data.effect_spread),
            "features": (len(data.feature_spread), 0.0, data.feature_spread),
            "stores": (groups if groups > 1 else 0, 0.0, 1.0),
            "substitution": (int(data.censored.any()), 0.0, _SUBSTITUTION_SPREAD),
            "drift": (int(data.years.size > 0), 0.0, priors.drift_spread),
        }
        for name, drawn in data.given.items():
            parts[name] = parts[name][0], drawn.mean(axis=0), _GIVEN_SPREAD
        ends = np.cumsum([count for count, _, _ in parts.values()])
        self.size = int(ends[-1])
        self.mean, self.spread = np.empty(self.size), np.empty(self.size)
        for (name, (count, mean, spread)), end in zip(parts.items(), ends, strict=True):
            here = slice(int(end) - count, int(end))
            setattr(self, name, here)
            self.mean[here] = mean
            self.spread[here] = spread
        indices = np.arange(self.size)
        self.given = np.concatenate([indices[getattr(self, name)] for name in data.given] or [indices[:0]])

    level: slice
    category: slice
    product: slice
    outside: slice
    effects: slice
    features: slice
    stores: slice
    substitution: slice
    drift: slice


@dataclass(frozen=True)
class AtRegular:
    """The choice model at regular prices; leading axes are those of the parameters.

    Attributes:
        utility: (…, K, J) utility relative to the outside option.
        steepness: (…, J) price sensitivity times the regular price, average segment.
        log_arrivals: (…,) log number of customers per week.
    """

    utility: torch.Tensor
    steepness: torch.Tensor
    log_arrivals: torch.Tensor


class CategoryModel:
    """Log mean units of a category under given parameters.

    Args:
        data: The category's sales.
        priors: The priors.

    Example:
        >>> model = CategoryModel(CategoryData(np.full((1, 3, 2), 5.0), np.ones((1, 3, 2))), Priors())
        >>> model.log_mean(torch.tensor(model.layout.mean)).exp().round(decimals=6).tolist()[0][0]
        [5.0, 5.0]
    """

    def __init__(self, data: CategoryData, priors: Priors) -> None:
        self.data = data
        self.layout = Layout(data, priors)
        tensor = torch.as_tensor
        within = data.within
        if within is None:
            within = np.tile(np.exp(data.log_units), (len(data.segment_share), 1))
        self._within = tensor(np.log(within / within.sum(axis=1, keepdims=True)))
        self._origin = tensor(data.log_units)
        self._share = tensor(data.segment_share)
        self._response = tensor(data.segment_response)[:, None]
        self._change = tensor(np.where(data.on_sale, data.felt, 1.0) - 1.0)
        self._years = tensor(data.years)[:, None]
        self._features = tensor(data.week_features) if data.week_features.size else None
        self._effects = tensor(data.effects) if data.effects.size else None
        self._own_units = tensor(data.own_units) if data.own_units.any() else None
        self._weight = tensor(np.where(data.on_sale, 0.0, _NOT_OFFERED))

    def at_regular(self, theta: torch.Tensor) -> AtRegular:
        """The choice model at regular prices under parameters (…, P)."""
        at = self.layout
        level = theta[..., at.level]
        odds = theta[..., at.outside]
        within = torch.log_softmax(self._within + (level - self._origin)[..., None, :], dim=-1)
        share = within.exp() * torch.sigmoid(-odds)[..., None]
        bought = self._share[:, None] * share
        bought = bought / bought.sum(dim=-2, keepdim=True)
        elasticity = torch.exp(theta[..., at.category] + theta[..., at.product])
        steepness = elasticity / (bought * self._response * (1 - share)).sum(dim=-2)
        log_arrivals = torch.logsumexp(level, dim=-1) - torch.nn.functional.logsigmoid(-odds[..., 0])
        return AtRegular(within - odds[..., None], steepness, log_arrivals)

    def log_mean(self, theta: torch.Tensor, missing: torch.Tensor | None = None) -> torch.Tensor:
        """(G, W, J) log mean units under parameters (P,), without the shocks of the weeks.

        Args:
            theta: (P,) parameters.
            missing: (G, W, J) share of the week in which a product was sold out.
        """
        at = self.layout
        now = self.at_regular(theta)
        utility, there = self._utilities(theta, now, missing)
        total = torch.nn.functional.softplus(torch.logsumexp(there, dim=-1, keepdim=True))
        chosen = torch.logsumexp(self._share.log()[:, None] + utility - total, dim=-2)
        week = now.log_arrivals
        if self._features is not None:
            week = week + (self._features @ theta[at.features])[:, None]
        if at.stores.stop > at.stores.start:
            week = week + torch.log_softmax(theta[at.stores], dim=0)[:, None, None]
        if self._own_units is not None:
            chosen = chosen + torch.tensordot(theta[at.effects] * self._own_units, self._effects, dims=1)
        return week + chosen

    def jacobian(self, theta: torch.Tensor, missing: torch.Tensor | None = None) -> torch.Tensor:
        """(G, W, J, P) derivatives of `log_mean`, in closed form.

        Args:
            theta: (P,) parameters.
            missing: As for `log_mean`.
        """
        at = self.layout
        now = self.at_regular(theta)
        utility, there = self._utilities(theta, now, missing)
        total = torch.nn.functional.softplus(torch.logsumexp(there, dim=-1, keepdim=True))
        # Who buys product j, and what segment k chooses: (G, W, K, J) each.
        buyer = torch.softmax(self._share.log()[:, None] + utility - total, dim=-2)
        choice = torch.exp(there - total)
        # (G, W, J, K, J) derivative of the log demand of each product in the utilities of each segment.
        moves = buyer.mT[..., None] * (torch.eye(self.data.sizes[2]).double()[:, None] - choice[..., None, :, :])
        by_utility, by_steepness, by_arrivals = self._slopes(theta, now)
        found = moves.flatten(-2) @ by_utility.flatten(0, 1) + by_arrivals
        by_change = (self._response * moves).sum(dim=-2)
        change = self._drifted(theta)
        found = found - (by_change * change[..., None, :]) @ by_steepness
        if at.drift.stop > at.drift.start:
            later = now.steepness * change * self._years
            found[..., at.drift] -= torch.einsum("gwji,gwi->gwj", by_change, later)[..., None]
        if self._effects is not None:
            by_effect = torch.einsum("gwji,egwi->gwje", moves.sum(dim=-2), self._effects)
            if self._own_units is not None:
                by_effect = torch.where(self._own_units > 0, self._effects.movedim(0, -1), by_effect)
            found[..., at.effects] += by_effect
        if self._features is not None:
            found[..., at.features] += self._features[:, None]
        if at.stores.stop > at.stores.start:
            stores = len(theta[at.stores])
            found[..., at.stores] += (torch.eye(stores) - torch.softmax(theta[at.stores], dim=0))[:, None, None]
        if missing is not None:
            again = torch.sigmoid(theta[at.substitution])
            left = again * (1 - again) * missing / (1 - again * missing)
            found[..., at.substitution] += torch.einsum("gwkj,gwki,gwi->gwj", buyer, choice, left)[..., None]
        return found

    def _slopes(self, theta: torch.Tensor, now: AtRegular) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(K, J, P), (J, P) and (P,) derivatives of the choice model at regular prices, in the order of `AtRegular`."""
        at = self.layout
        odds = theta[self.layout.outside]
        response = self._response
        within = now.utility + odds
        leaves = torch.sigmoid(odds)
        share = within.exp() * torch.sigmoid(-odds)
        bought = torch.softmax(self._share.log()[:, None] + within, dim=-2)
        # (K, J, J) derivatives of log `within` and of `bought` in the levels.
        relative = torch.eye(share.shape[1]).double() - within.exp()[:, None]
        moved = bought[..., None] * (relative - (bought[..., None] * relative).sum(dim=0))
        room = response[..., None] * (moved * (1 - share)[..., None] - (bought * share)[..., None] * relative)
        weight = (bought * response * (1 - share)).sum(dim=0)
        by_utility = theta.new_zeros(*share.shape, at.size)
        by_utility[..., at.level] = relative
        by_utility[..., at.outside] = -1.0
        by_log = theta.new_zeros(share.shape[1], at.size)
        by_log[:, at.level] = -room.sum(dim=0) / weight[:, None]
        by_log[:, at.outside] = -(leaves * (bought * response * share).sum(dim=0) / weight)[:, None]
        by_log[:, at.category] = 1.0
        by_log[:, at.product] = torch.eye(share.shape[1]).double()
        by_arrivals = theta.new_zeros(at.size)
        by_arrivals[at.level] = torch.softmax(theta[at.level], dim=-1)
        by_arrivals[at.outside] = leaves
        return by_utility, now.steepness[:, None] * by_log, by_arrivals

    def _drifted(self, theta: torch.Tensor) -> torch.Tensor:
        """(G, W, J) price changes, larger in weeks in which customers responded more than in the last."""
        at = self.layout
        if at.drift.stop == at.drift.start:
            return self._change
        return self._change * torch.exp(self._years * theta[at.drift])

    def _utilities(
        self, theta: torch.Tensor, now: AtRegular, missing: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(G, W, K, J) utilities at the prices of each week, and those of products while they are in stock."""
        at = self.layout
        moved = self._weight
        if self._effects is not None:
            effects = theta[at.effects] if self._own_units is None else theta[at.effects] * (1 - self._own_units)
            moved = moved + torch.tensordot(effects, self._effects, dims=1)
        lost = self._response * (now.steepness * self._drifted(theta))[..., None, :]
        utility = now.utility - lost + moved[..., None, :]
        if missing is None:
            return utility, utility
        # Of the customers of a sold-out product some choose again, the others leave.
        return utility, utility + torch.log1p(-torch.sigmoid(theta[at.substitution]) * missing)[..., None, :]
