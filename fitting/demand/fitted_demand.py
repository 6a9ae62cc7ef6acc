"""The demand of all categories: estimation, and the market that it implies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ...forecasting.models.lstm_network import one_thread
from ...pricing import choice_shares
from .category_model import CategoryData
from .estimation import CategoryPosterior, estimate
from .priors import Priors
from .sales_grids import SalesGrids

Array = NDArray[np.float64]
PROMOTION, REFERENCE, CONTROL = "promotion", "reference price", "price changes without a reason in costs"
SUSPECT, REDUCED = "regular price", "reduced weeks"
# A regular price that moves by less, in logs, stands still.
_STILL, _REDUCED = 0.01, 0.02
# Below it an instrument hardly moves the price (Staiger and Stock 1997).
_WEAK_F = 10.0
_YEAR = 365.25
_ROUNDS = 100


@dataclass(frozen=True)
class SegmentUnits:
    """Who bought what: K segments, N products.

    Attributes:
        units: (K, N) units bought in the past.
        response: (K,) price elasticity of each segment relative to the average one.

    Example:
        >>> SegmentUnits(np.ones((1, 3)), np.ones(1)).response.tolist()
        [1.0]
    """

    units: Array
    response: Array


@dataclass(frozen=True)
class DemandAtRegular:
    """The choice model at regular prices; M is 1 for the mean market.

    Attributes:
        utility: (M, K, N) utility relative to the outside option.
        sensitivity: (M, K, N) utility lost per currency unit.
        outside: (M, C) outside share.
        arrivals: (M, T, C) customers relative to those of the mean market.
    """

    utility: Array
    sensitivity: Array
    outside: Array
    arrivals: Array


@dataclass(frozen=True)
class FittedDemand:
    """The posterior of every category's demand.

    Attributes:
        products: N products.
        category: (N,) index of each product's category.
        names: C names of the categories.
        regular_price: (N,) today's regular price, currency per unit.
        segment_share: (C, K) share of each segment among a category's customers.
        effects: Names of the E further effects on utility.
        memory: Weight of the past in the reference price.
        posteriors: C posteriors.
        first_stage_f: (C,) strength of the costs as an instrument; NaN without.
        follow_demand: Posterior probability that prices follow demand; NaN where no price was
            reduced and no regular price moved.

    Example:
        >>> demand = fit_demand(grids, products, category, regular, Priors())  # doctest: +SKIP
        >>> demand.elasticity.mean(axis=0)  # doctest: +SKIP
    """

    products: tuple[str, ...]
    category: NDArray[np.intp]
    names: tuple[str, ...]
    regular_price: Array
    segment_share: Array
    effects: tuple[str, ...]
    memory: float
    weeks: pd.DatetimeIndex
    posteriors: tuple[CategoryPosterior, ...]
    first_stage_f: Array
    follow_demand: float

    @property
    def num_draws(self) -> int:
        """M."""
        return len(self.posteriors[0].draws)

    def members(self, c: int) -> NDArray[np.intp]:
        """Indices of a category's products."""
        return np.flatnonzero(self.category == c)

    @property
    def elasticity(self) -> Array:
        """(M, N) own-price elasticity at the regular price, negative."""
        table = np.empty((self.num_draws, len(self.products)))
        for c, found in enumerate(self.posteriors):
            at = found.model.layout
            table[:, self.members(c)] = -np.exp(found.draws[:, at.category] + found.draws[:, at.product])
        return table

    @property
    def outside(self) -> Array:
        """(M, C) share of a category's customers who buy nothing at regular prices."""
        odds = [found.draws[:, found.model.layout.outside][:, 0] for found in self.posteriors]
        return 1 / (1 + np.exp(-np.stack(odds, axis=1)))

    def effect(self, name: str) -> Array | None:
        """(M, C) coefficient of a further effect on utility; None if it was not estimated."""
        if name not in self.effects:
            return None
        i = self.effects.index(name)
        return np.stack([p.draws[:, p.model.layout.effects][:, i] for p in self.posteriors], axis=1)

    def at_regular(self, units: Array, weeks: pd.DatetimeIndex, *, draws: bool = False) -> DemandAtRegular:
        """The choice model whose mean market sells these units at regular prices.

        Args:
            units: (N,) forecast of the mean weekly units at regular prices, which anchors the level
                of the mean market; draws keep their distance from it.
            weeks: The T weeks of the market.
            draws: Whether to return the M draws, or the mean market alone.
        """
        segments = self.segment_share.shape[1]
        count = self.num_draws if draws else 1
        utility, sensitivity = np.empty((2, count, segments, len(self.products)))
        outside, arrivals = np.empty((count, len(self.names))), np.empty((count, len(weeks), len(self.names)))
        for c, found in enumerate(self.posteriors):
            here, layout = self.members(c), found.model.layout
            mean = found.draws.mean(axis=0)
            theta = found.draws if draws else mean[None]
            anchored = theta.copy()
            anchored[:, layout.level] += np.log(units[here]) - mean[layout.level]
            now = found.model.at_regular(torch.as_tensor(anchored))
            centre = found.model.at_regular(torch.as_tensor(anchored.mean(axis=0) if draws else anchored[0]))
            utility[:, :, here] = now.utility.numpy()
            steep = now.steepness.numpy()[:, None, :] * found.model.data.segment_response[:, None]
            sensitivity[:, :, here] = steep / self.regular_price[here]
            outside[:, c] = 1 / (1 + np.exp(-theta[:, layout.outside][:, 0]))
            calendar = _week_features(self.weeks, weeks)
            moved = (theta - mean)[:, layout.features][:, : calendar.shape[1]] @ calendar.T
            level = (now.log_arrivals - centre.log_arrivals).numpy()
            arrivals[:, :, c] = np.exp(level[:, None] + moved)
        return DemandAtRegular(utility, sensitivity, outside, arrivals)

    def lift(self, price: Array, promotion: Array | None = None, *, draws: bool = False) -> Array:
        """(T, N) units at these prices relative to those at regular prices; (M, T, N) under the draws.

        Args:
            price: (T, N) currency per unit.
            promotion: (T, N) share of stores with a display or mailer.
            draws: Whether to return the M draws, or the mean market alone.
        """
        moved = np.empty((self.num_draws if draws else 1, *price.shape))
        for c, found in enumerate(self.posteriors):
            here, layout = self.members(c), found.model.layout
            theta = found.draws if draws else found.draws.mean(axis=0)[None]
            now = found.model.at_regular(torch.as_tensor(theta))
            response, share = found.model.data.segment_response[:, None], found.model.data.segment_share[:, None]
            utility = now.utility.numpy()
            change = price[:, None, here] / self.regular_price[here] - 1
            added = -response * now.steepness.numpy()[:, None, None, :] * change
            if promotion is not None and PROMOTION in self.effects:
                effect = theta[:, layout.effects][:, self.effects.index(PROMOTION)]
                added = added + effect[:, None, None, None] * promotion[:, None, here]
            plain = choice_shares(utility).product
            lifted = choice_shares(utility[:, None] + added).product
            moved[:, :, here] = (share * lifted).sum(axis=2) / (share * plain).sum(axis=1)[:, None]
        return moved if draws else moved[0]

    def report(self) -> list[dict[str, Any]]:
        """One row per product: elasticity and outside share with standard deviation and 90% interval."""
        elasticity, outside = self.elasticity, self.outside
        rows = []
        for n, product in enumerate(self.products):
            c = self.category[n]
            rows.append(
                {
                    "product": product,
                    "category": self.names[c],
                    **_figures("elasticity", elasticity[:, n]),
                    **_figures("outside_share", outside[:, c]),
                }
            )
        return rows


def _figures(name: str, draws: Array) -> dict[str, Any]:
    low, high = np.quantile(draws, [0.05, 0.95])
    return {
        name: float(draws.mean()),
        f"{name}_se": float(draws.std()),
        f"{name}_interval90": [float(low), float(high)],
    }


def fit_demand(
    grids: SalesGrids,
    products: pd.DataFrame,
    regular_price: Array,
    priors: Priors,
    *,
    segments: SegmentUnits | None = None,
    memory: float | None = None,
    draws: int = 200,
    seed: int = 0,
) -> FittedDemand:
    """Estimate the demand of every category by likelihood.

    Args:
        grids: Past sales.
        products: One row per product: `product`, `category`.
        regular_price: (N,) today's regular price, currency per unit.
        priors: The priors.
        segments: Who bought what; None for one segment.
        memory: Weight of the past in the reference price, where one is to be estimated.
        draws: M, number of posterior draws.
        seed: Seed of the draws.
    """
    category, names = pd.factorize(products["category"])
    if segments is None:
        segments = SegmentUnits(np.ones((1, len(products))), np.ones(1))
    memory = memory if memory is not None else 0.0
    effects = _effects(grids, regular_price, memory)
    parts = [np.flatnonzero(category == c) for c in range(len(names))]
    found = [_category_data(grids, regular_price, here, effects, segments, priors) for here in parts]
    suspects = _suspects(grids, priors)
    with one_thread():
        posteriors = [estimate(data, priors, draws=draws, seed=seed + c) for c, (data, _) in enumerate(found)]
        follow = np.nan
        if suspects:
            doubtful = [
                estimate(
                    _with_effects(data, suspects, here), priors, draws=draws, seed=seed + c, shocks=plain.likely_shocks
                )
                for c, ((data, _), here, plain) in enumerate(zip(found, parts, posteriors, strict=True))
            ]
            follow = _probability(posteriors, doubtful, priors.exogenous)
            posteriors = _mixed(posteriors, doubtful, follow, seed)
    return FittedDemand(
        products=tuple(products["product"]),
        category=category.astype(np.intp),
        names=tuple(names),
        regular_price=regular_price,
        segment_share=np.array([data.segment_share for data, _ in found]),
        effects=(*effects, CONTROL) if grids.unit_cost is not None else tuple(effects),
        memory=memory,
        weeks=grids.weeks,
        posteriors=tuple(posteriors),
        first_stage_f=np.array([strength for _, strength in found]),
        follow_demand=follow,
    )


def _suspects(grids: SalesGrids, priors: Priors) -> dict[str, tuple[Array, float]]:
    """What prices that follow demand would show, (G, W, N) with the prior spread of each coefficient.

    A regular price that moves without a known reason, and weeks with a reduction that differ from
    the others by more than the price. What remains are the depths of the reductions, and costs.
    """
    listed = np.log(grids.regular)
    moved = np.nan_to_num(listed - np.nanmean(listed, axis=1, keepdims=True))
    reduced = np.nan_to_num(grids.price < (1 - _REDUCED) * grids.regular)
    found = {}
    if grids.unit_cost is None and moved.std() > _STILL:
        found[SUSPECT] = (moved, priors.suspect_spread)
    if 0 < reduced.mean() < 1:
        found[REDUCED] = (reduced.astype(np.float64), priors.reduced_spread)
    return found


def _with_effects(data: CategoryData, suspects: dict[str, tuple[Array, float]], here: NDArray[np.intp]) -> CategoryData:
    more = np.array([values[..., here] for values, _ in suspects.values()])
    return replace(
        data,
        effects=np.concatenate([data.effects.reshape(-1, *more.shape[1:]), more]),
        effect_mean=np.append(data.effect_mean, np.zeros(len(more))),
        effect_spread=np.append(data.effect_spread, [spread for _, spread in suspects.values()]),
    )


def _probability(plain: list[CategoryPosterior], doubtful: list[CategoryPosterior], exogenous: float) -> float:
    """Posterior probability of the second model (Kass and Raftery 1995)."""
    odds = sum(b.log_evidence - a.log_evidence for a, b in zip(plain, doubtful, strict=True))
    return float(1 / (1 + exogenous / (1 - exogenous) * np.exp(-np.clip(odds, -50, 50))))


def _mixed(
    plain: list[CategoryPosterior], doubtful: list[CategoryPosterior], share: float, seed: int
) -> list[CategoryPosterior]:
    """Draws of both models in proportion to their probabilities; draw m is of one model in all categories."""
    second = np.random.default_rng(seed).random(len(plain[0].draws)) < share
    mixed = []
    for a, b in zip(plain, doubtful, strict=True):
        kept = np.r_[: b.model.layout.effects.stop - _extra(a, b), b.model.layout.effects.stop : b.draws.shape[1]]
        draws = np.where(second[:, None], b.draws[:, kept], a.draws)
        mixed.append(replace(a, draws=draws))
    return mixed


def _extra(plain: CategoryPosterior, doubtful: CategoryPosterior) -> int:
    return doubtful.draws.shape[1] - plain.draws.shape[1]


def _effects(grids: SalesGrids, regular: Array, memory: float) -> dict[str, Array]:
    """What moves utility beside the price, (G, W, N) each."""
    found: dict[str, Array] = {}
    if grids.promotion is not None:
        found[PROMOTION] = np.broadcast_to(grids.promotion, grids.units.shape)
    if memory > 0:
        price = np.where(np.isfinite(grids.price), grids.price, regular)
        reference = np.empty_like(price)
        reference[:, 0] = price[:, 0]
        for t in range(1, price.shape[1]):
            reference[:, t] = memory * reference[:, t - 1] + (1 - memory) * price[:, t - 1]
        found[REFERENCE] = np.log(reference / price)
    return found


def _category_data(
    grids: SalesGrids,
    regular: Array,
    here: NDArray[np.intp],
    effects: dict[str, Array],
    segments: SegmentUnits,
    priors: Priors,
) -> tuple[CategoryData, float]:
    """A category's sales, and the strength of its costs as an instrument."""
    known = {
        PROMOTION: (priors.promotion, priors.promotion_spread),
        REFERENCE: (0.0, priors.reference_spread),
        CONTROL: (0.0, priors.control_spread),
    }
    own = {name: values[..., here] for name, values in effects.items()}
    strength = np.nan
    if grids.unit_cost is not None:
        own[CONTROL], strength = _unexplained(grids, here)
    share = (segments.units[:, here] + 0.5).sum(axis=1)
    features = _week_features(grids.weeks, grids.weeks)
    spread = np.array([priors.season_spread, priors.season_spread, priors.trend_spread])
    if grids.holiday is not None:
        features = np.column_stack([features, grids.holiday - grids.holiday.mean()])
        spread = np.append(spread, priors.signal_spread)
    return (
        CategoryData(
            units=grids.units[..., here],
            price=grids.price[..., here] / regular[here],
            sold_out=grids.sold_out[..., here],
            week_features=features,
            feature_spread=spread,
            effects=np.array(list(own.values())),
            effect_mean=np.array([known[name][0] for name in own]),
            effect_spread=np.array([known[name][1] for name in own]),
            segment_share=share / share.sum(),
            segment_response=segments.response / (segments.response @ share / share.sum()),
            within=_within(segments.units[:, here], grids.units[..., here].sum(axis=(0, 1)), share / share.sum()),
        ),
        strength,
    )


def _within(units: Array, sold: Array, share: Array) -> Array:
    """(K, J) each segment's purchases as shares whose mean over the segments are the products' totals.

    Iterative proportional fitting (Deming and Stephan 1940). Half a unit stands in for a product
    that a segment never bought.
    """
    within = units + 0.5
    target = np.maximum(sold, 0.5) / np.maximum(sold, 0.5).sum()
    within = within / within.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        within = within * (target / (share @ within))
        within = within / within.sum(axis=1, keepdims=True)
    return within


def _unexplained(grids: SalesGrids, here: NDArray[np.intp]) -> tuple[Array, float]:
    """(G, W, J) what costs do not explain of the log prices, and the F of the costs.

    The residual enters demand as a control function (Petrin and Train 2010).
    """
    assert grids.unit_cost is not None
    price = np.log(grids.price[..., here])
    cost = np.broadcast_to(np.log(grids.unit_cost[:, here]), price.shape)
    known = np.isfinite(price) & np.isfinite(cost)
    y, x = (_demeaned(values, known) for values in (price, cost))
    moved = (x * x).sum(axis=(0, 1))
    slope = np.where(moved > 0, (x * y).sum(axis=(0, 1)) / np.where(moved > 0, moved, 1.0), 0.0)
    residual = np.where(known, y - slope * x, 0.0)
    explained = ((slope * x) ** 2).sum() / max((moved > 0).sum(), 1)
    return residual, float(explained / max((residual**2).sum() / max(known.sum() - 2 * len(here), 1), 1e-12))


def _demeaned(values: Array, known: NDArray[np.bool_]) -> Array:
    values = np.where(known, values, 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, values - mean, 0.0)


def _week_features(past: pd.DatetimeIndex, weeks: pd.DatetimeIndex) -> Array:
    """(W, 3) season of the year and trend in years, centred on the past."""

    def raw(days: pd.DatetimeIndex) -> Array:
        phase = 2 * np.pi * (days - past[0]).days.to_numpy() / _YEAR
        return np.column_stack([np.sin(phase), np.cos(phase), phase / (2 * np.pi)])

    return raw(weeks) - raw(past).mean(axis=0)
