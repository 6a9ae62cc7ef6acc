"""What a category's customers met, as the demand model takes it: prices, effects, segments, calendar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.weeks import DAY, WEEK, period_of, periods_in_a_week
from .category_model import CategoryData
from .priors import Priors
from .sales_grids import SalesGrids

Array = NDArray[np.float64]
CONTROL = "price changes without a reason in costs"
NONE = 1e-6
"""Prior standard deviation of an effect that a model does not have: its place is kept, as draws of models are mixed."""
# Correlation of unit costs and the depth of reductions above which suppliers fund these.
_FUNDED = 0.3
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


def category_data(
    grids: SalesGrids,
    here: NDArray[np.intp],
    regular: Array,
    segments: SegmentUnits,
    priors: Priors,
    *,
    curvature: float = 0.0,
    costs: bool = False,
) -> CategoryData:
    """A category's sales, and what its customers met.

    Args:
        here: (J,) indices of the category's products.
        regular: (N,) today's regular price, currency per unit.
        segments: Who bought what.
        curvature: As of `CategoryData`.
        costs: Whether what the unit costs of the grids do not explain of the prices moves utility.
    """
    known = dict.fromkeys(grids.promotions, (priors.promotion, priors.promotion_spread))
    known[CONTROL] = (0.0, priors.control_spread if costs else NONE)
    own = {kind: np.broadcast_to(share, grids.units.shape)[..., here] for kind, share in grids.promotions.items()}
    if grids.unit_cost is not None:
        left, _ = _unexplained(grids, here)
        own[CONTROL] = left if costs else np.zeros_like(left)
    share = (segments.units[:, here] + 0.5).sum(axis=1)
    features = week_features(grids.weeks, grids.weeks)
    spread = np.array([priors.season_spread, priors.season_spread, priors.trend_spread])
    spread = np.append(spread, np.full(features.shape[1] - len(spread), priors.weekday_spread))
    if grids.holiday is not None:
        features = np.column_stack([features, grids.holiday - grids.holiday.mean()])
        spread = np.append(spread, priors.signal_spread)
    return CategoryData(
        units=grids.units[..., here],
        price=grids.price[..., here] / regular[here],
        sold_out=grids.sold_out[..., here],
        week_features=features,
        feature_spread=spread,
        per_week=periods_in_a_week(grids.weeks),
        years=(grids.weeks - grids.weeks[-1]).days.to_numpy() / _YEAR,
        effects=np.array(list(own.values())),
        effect_mean=np.array([known[name][0] for name in own]),
        effect_spread=np.array([known[name][1] for name in own]),
        own_units=np.zeros(len(own)),
        segment_share=share / share.sum(),
        segment_response=segments.response / (segments.response @ share / share.sum()),
        within=_within(segments.units[:, here], grids.units[..., here].sum(axis=(0, 1)), share / share.sum()),
        curvature=curvature,
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


def effect_names(grids: SalesGrids) -> tuple[str, ...]:
    """The effects on utility that `category_data` has, in order."""
    shown = tuple(grids.promotions)
    return shown if grids.unit_cost is None else (*shown, CONTROL)


def _unexplained(grids: SalesGrids, here: NDArray[np.intp]) -> tuple[Array, float]:
    """(G, W, J) what costs do not explain of the log prices, and the F of the costs.

    The residual enters demand as a control function (Petrin and Train 2010).
    """
    assert grids.unit_cost is not None
    price = np.log(grids.price[..., here])
    cost = np.broadcast_to(np.log(grids.unit_cost[:, here]), price.shape)
    known = np.isfinite(price) & np.isfinite(cost)
    y, x = (demeaned(values, known) for values in (price, cost))
    moved = (x * x).sum(axis=(0, 1))
    slope = np.where(moved > 0, (x * y).sum(axis=(0, 1)) / np.where(moved > 0, moved, 1.0), 0.0)
    residual = np.where(known, y - slope * x, 0.0)
    explained = ((slope * x) ** 2).sum() / max((moved > 0).sum(), 1)
    return residual, float(explained / max((residual**2).sum() / max(known.sum() - 2 * len(here), 1), 1e-12))


def demeaned(values: Array, known: NDArray[np.bool_]) -> Array:
    """(G, W, J) values around the mean of the known ones over the weeks; 0 elsewhere."""
    values = np.where(known, values, 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, values - mean, 0.0)


def week_features(past: pd.DatetimeIndex, weeks: pd.DatetimeIndex) -> Array:
    """(W, 3) season and trend in years, and for days 7 more, the weekday; centred on the past."""

    def raw(days: pd.DatetimeIndex) -> Array:
        phase = 2 * np.pi * (days - past[0]).days.to_numpy() / _YEAR
        columns = [np.sin(phase), np.cos(phase), phase / (2 * np.pi)]
        if period_of(past) == DAY:
            columns += [days.day_of_week.to_numpy() == weekday for weekday in range(WEEK.days)]
        return np.column_stack(columns)

    return raw(weeks) - raw(past).mean(axis=0)


def instrument_strength(grids: SalesGrids, here: NDArray[np.intp]) -> float:
    """First-stage F of unit costs as an instrument for a category's prices; NaN without costs that move.

    Args:
        here: (J,) indices of the category's products.
    """
    return np.nan if grids.unit_cost is None else _unexplained(grids, here)[1]


def unexplained_prices(grids: SalesGrids, category: NDArray[np.intp]) -> Array:
    """(G, W, N) what unit costs do not explain of the log prices.

    Args:
        grids: Sales with unit costs.
        category: (N,) category of each product.
    """
    found = np.empty(grids.price.shape)
    for c in np.unique(category):
        here = np.flatnonzero(category == c)
        found[..., here], _ = _unexplained(grids, here)
    return found


def costs_hold_deals(grids: SalesGrids) -> bool:
    """Whether unit costs fall when prices are reduced, as they do where suppliers fund deals: they are then no reason
    for a regular price to move, and no instrument.
    """
    assert grids.unit_cost is not None
    depth = np.log(grids.price / grids.regular)
    cost = np.broadcast_to(np.log(grids.unit_cost), grids.price.shape)
    known = np.isfinite(depth) & np.isfinite(cost)
    x, y = (demeaned(values, known) for values in (depth, cost))
    size = np.sqrt((x**2).sum() * (y**2).sum())
    return bool(size > 0 and (x * y).sum() > _FUNDED * size)
