"""What a category's customers met, as the demand model takes it: prices, effects, segments, calendar."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.weeks import DAY, WEEK, period_of, periods_in_a_week
from ...pricing import felt_price
from .category_model import CategoryData
from .priors import Priors
from .remembered_price import RememberedPrice
from .sales_grids import SalesGrids

Array = NDArray[np.float64]
PROMOTION, REFERENCE, CONTROL = "promotion", "reference price", "price changes without a reason in costs"
SUSPECT, REDUCED = "regular price", "reduced weeks"
# A regular price that moves by less, in proportion, stands still.
_STILL, _REDUCED = 0.01, 0.02
# Prior standard deviation of an effect that a model does not have: its place is kept, as draws of models are mixed.
_NONE = 1e-6
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


def effects_on_utility(grids: SalesGrids, regular: Array, remembered: RememberedPrice | None) -> dict[str, Array]:
    """What moves utility beside the price, (G, W, N) each by name.

    Args:
        regular: (N,) today's regular price, currency per unit.
        remembered: The reference price, if it has an effect.
    """
    found: dict[str, Array] = {}
    if grids.promotion is not None:
        found[PROMOTION] = np.broadcast_to(grids.promotion, grids.units.shape)
    if remembered is not None:
        found[REFERENCE] = remembered.gap(grids.met(regular))
    return found


def category_data(
    grids: SalesGrids,
    here: NDArray[np.intp],
    regular: Array,
    effects: dict[str, Array],
    segments: SegmentUnits,
    priors: Priors,
    *,
    put_by: bool = False,
    curvature: float = 0.0,
    costs: bool = False,
) -> CategoryData:
    """A category's sales, and what its customers met.

    Args:
        here: (J,) indices of the category's products.
        regular: (N,) today's regular price, currency per unit.
        effects: As `effects_on_utility` gives them.
        segments: Who bought what.
        put_by: Whether the units that past prices add are put by, and so are not bought of other products less, and
            what they take is used from there.
        curvature: As of `CategoryData`.
        costs: Whether what the unit costs of the grids do not explain of the prices moves utility.
    """
    known = {
        PROMOTION: (priors.promotion, priors.promotion_spread),
        REFERENCE: (0.0, priors.reference_spread),
        CONTROL: (0.0, priors.control_spread if costs else _NONE),
    }
    own = {name: values[..., here] for name, values in effects.items()}
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
        own_units=np.array([float(put_by and name == REFERENCE) for name in own]),
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


def suspect_effects(grids: SalesGrids) -> dict[str, Array]:
    """What prices that follow demand would show, (G, W, N) each by name.

    A regular price that moves without a known reason, and weeks with a reduction that differ from
    the others by more than the price. What remains are the depths of the reductions, and costs. The
    move is in proportion, see `as_felt`.
    """
    regular = np.ma.masked_invalid(grids.regular)
    moved = (regular / regular.mean(axis=1, keepdims=True) - 1).filled(0.0)
    reduced = np.nan_to_num(grids.price < (1 - _REDUCED) * grids.regular)
    found = {}
    if moved.std() > _STILL:
        found[SUSPECT] = moved
    if 0 < reduced.mean() < 1:
        found[REDUCED] = reduced.astype(np.float64)
    return found


def as_felt(name: str, suspect: Array, curvature: float) -> Array:
    """A suspect of `suspect_effects` as utility bends in the price: else the curvature alone would tell the move of a
    regular price from the response.
    """
    return felt_price(1 + suspect, 1.0, curvature) - 1 if name == SUSPECT else suspect


def with_suspects(
    data: CategoryData,
    suspects: dict[str, Array],
    here: NDArray[np.intp],
    priors: Priors,
    *,
    levels: bool,
    costs: bool = False,
) -> CategoryData:
    """A category's sales with the effects that prices which follow demand would have.

    With levels, the last of the week features are the category's price levels, of the prices paid and
    of the regular ones: where a shop raises all prices of a category in weeks with many customers,
    these would else seem not to leave at any price. Given the level, what a product's price tells of
    the customers that all products share is used up (Mundlak 1978, Econometrica 46(1)).

    Args:
        suspects: As `suspect_effects` gives them.
        here: (J,) indices of the category's products.
        levels: Whether prices may follow the customers of the whole category too.
        costs: Whether the last effect of `data` is what costs do not explain of the prices; the only level is
            then the mean of that, and how regular prices moved is no suspect.
    """
    if costs and SUSPECT in suspects:
        suspects = suspects | {SUSPECT: np.zeros_like(suspects[SUSPECT])}
    moved = (0.0, _NONE) if costs else (priors.suspect, priors.suspect_spread)
    known = {SUSPECT: moved, REDUCED: (0.0, priors.reduced_spread)}
    mean, spread = zip(*(known[name] for name in suspects), strict=True)
    more = np.array([as_felt(name, values[..., here], data.curvature) for name, values in suspects.items()])
    price = np.log(data.price, where=data.on_sale, out=np.zeros(data.price.shape))
    regular = [] if costs else [suspects[name][..., here] for name in suspects if name == SUSPECT]
    moves = [data.effects[-1] if costs else price, *regular]
    level = [_level(move, data.on_sale) for move in moves] if levels else []
    return replace(
        data,
        week_features=np.column_stack([data.week_features, *level]),
        feature_spread=np.append(data.feature_spread, [priors.level_spread] * len(level)),
        effects=np.concatenate([data.effects.reshape(-1, *more.shape[1:]), more]),
        effect_mean=np.append(data.effect_mean, mean),
        effect_spread=np.append(data.effect_spread, spread),
        own_units=np.append(data.own_units, np.zeros(len(more))),
    )


def _level(moved: Array, on_sale: NDArray[np.bool_]) -> Array:
    """(W,) mean of (G, W, J) moves of prices, each around its own mean."""
    return _demeaned(moved, on_sale).sum(axis=(0, 2)) / np.maximum(on_sale.sum(axis=(0, 2)), 1)
