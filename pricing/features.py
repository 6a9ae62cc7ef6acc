"""The features of a network: for each product a row of numbers of order one, computed from
the market view.

The market, the evaluation and the service use the same formulas, so that a served policy sees what
it was trained on. Prices enter as logarithms of ratios, so that the currency does not matter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import ONE, THREE, ZERO, clip, larger, log, smaller, where
from .catalogue import Catalogue
from .complete import check_complete
from .observed import OUTLOOK_PERIODS, QUANTITIES, MarketView

Floats = NDArray[np.float32]
MOST_COVER = float(THREE)
"""Top of the scale of `log_cover`, where stock is unlimited."""
FIXED_FEATURES = {
    "log_cost": "the unit cost against the regular price: log(unit cost / regular price), at least -3",
    "log_price_rank": "the regular price against the category's: log(regular price / mean of the category)",
    "log_volume": "the mean forecast of the product: log(mean forecast of the product + 1) over 4",
}
SEGMENT_FEATURES = {
    "elasticity": "the price elasticity of the segment: own-price elasticity at the regular price, plus 2",
    "log_affinity": "what the segment buys of the product: log(units / mean over products), within [-3, 3]",
    "log_segment_share": "the segment's share of the sales: log(share of the product's units times K), within [-3, 3]",
}
UNCERTAINTY_FEATURES = {
    "elasticity_error": "the uncertainty of the elasticity: posterior standard deviation of its logarithm, at most 3; "
    "with a posterior only",
    "level_error": "the uncertainty of the level of demand: the same of units at regular prices",
}
FEATURE_LIMIT = 10.0
"""Every feature lies in [-FEATURE_LIMIT, FEATURE_LIMIT]."""
_LEAST_FORECAST = np.float32(1e-6)
_LARGEST_UNITS = np.float32(1e9)
_FAR = np.float32(1e18)


def log_units(units):
    """log(units + 1), and its mirror image for negative units (backlog)."""
    size = log(ONE + smaller(larger(units, -units), _LARGEST_UNITS))
    return where(units < ZERO, -size, size)


def log_cover(log_stock, log_forecast):
    """Stock over forecast, in logs, within [-3, 3]."""
    return clip(log_stock - log_forecast, -THREE, THREE)


def log_surprise(log_last, log_before, started):
    """Last period's sales over their forecast, in logs; 0 before the first period (started 0)."""
    return where(started > ZERO, log_last - log_before, ZERO)


def log_competitor(competitor_price, list_price):
    """The feature of that name; 0 where there is no rival."""
    there = competitor_price < _FAR
    return clip(log(where(there, competitor_price, list_price) / list_price), -THREE, THREE)


def recent_changes(changes, window):
    """The feature of that name: price changes over the most that the window of so many periods could hold."""
    return np.float32(changes) / np.float32(window - 1)


def since_change(periods, most):
    """The feature of that name: periods since the last price change, as a share of the most that are seen."""
    return np.float32(smaller(periods, most)) / np.float32(most)


class FeatureConstants:
    """What the features need from a catalogue, computed once.

    Tables by period are float32 and have T + 1 rows: the last is the end of the episode, which a
    learner sees but no policy acts on.

    Attributes:
        time: (T + 1, 3) share of the episode left, log of the periods left over 4, whether there
            was a period before.
        log_ahead, log_now, log_before, log_season, log_outlook: (T + 1, N).
        log_regular: (N,).
        fixed: (N, F') columns that never change.
        category: (N,).
        member: (N, C) one where a product belongs to a category.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        forecast = np.maximum(catalogue.forecast_units, _LEAST_FORECAST)
        horizon = catalogue.horizon
        if catalogue.endless:
            left = np.full(horizon, OUTLOOK_PERIODS, dtype=np.float32)
            around = np.concatenate([forecast] * (1 + -(-OUTLOOK_PERIODS // horizon)))
            total = np.cumsum(np.vstack([np.zeros_like(forecast[:1]), around]), axis=0)
            ahead = total[OUTLOOK_PERIODS : OUTLOOK_PERIODS + horizon] - total[:horizon]
            share = np.ones(horizon)
        else:
            left = np.arange(horizon, 0, -1, dtype=np.float32)
            ahead = np.cumsum(forecast[::-1], axis=0)[::-1]
            share = left / horizon
        mean = forecast.mean(axis=0)
        before = np.vstack([forecast[:1], forecast[:-1]])
        time = np.column_stack([share, np.log(left) / 4, np.arange(horizon) > 0])
        if not catalogue.endless:
            time = np.vstack([time, [0.0, *time[-1, 1:]]])
        limit = FEATURE_LIMIT
        self.time = _by_period(time, horizon)
        self.log_ahead = _by_period(np.log1p(ahead), horizon)
        self.log_now = _by_period(np.log1p(forecast), horizon)
        self.log_before = _by_period(np.log1p(before), horizon)
        self.log_season = _by_period(np.clip(np.log(forecast / mean), -limit, limit), horizon)
        self.log_outlook = _by_period(np.clip(np.log(ahead / left[:, None] / forecast), -limit, limit), horizon)
        self.log_regular = np.log(catalogue.regular_price).astype(np.float32)
        self.member = np.eye(catalogue.category.max() + 1, dtype=np.float32)[catalogue.category]
        self.category = catalogue.category.astype(np.int64)
        self.fixed = self._fixed(catalogue, mean)

    def _fixed(self, catalogue: Catalogue, mean: NDArray) -> NDArray[np.float32]:
        regular = catalogue.regular_price
        in_category = self.member @ ((self.member.T @ regular) / self.member.sum(axis=0))
        cost = np.log(np.maximum(catalogue.shelf_cost / regular, np.exp(-3)))
        own = np.column_stack([cost, self.log_regular - np.log(in_category), np.log1p(mean) / 4])
        units = np.maximum(catalogue.segment_units, _LEAST_FORECAST)
        shares = np.log(units / units.mean(axis=1, keepdims=True)), np.log(units / units.mean(axis=0))
        segment = np.stack([catalogue.segment_elasticity + 2, *shares])
        # (3, K, N) to (N, K * 3), in the order of `feature_names`.
        segment = np.clip(segment, -3, 3).transpose(2, 1, 0).reshape(catalogue.num_products, -1)
        errors = [getattr(catalogue, name) for name in UNCERTAINTY_FEATURES]
        errors = [np.minimum(error, 3) for error in errors if error is not None]
        return np.clip(np.column_stack([own, segment, *errors]), -FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float32)


def _by_period(table: NDArray, horizon: int) -> NDArray[np.float32]:
    """A row for each period, and one for the end of the episode: the last one again, if the table has none."""
    return np.ascontiguousarray(table[np.minimum(np.arange(horizon + 1), len(table) - 1)], dtype=np.float32)


@functools.lru_cache(maxsize=32)
def feature_constants(catalogue: Catalogue) -> FeatureConstants:
    """The constants of a catalogue, kept for the next call."""
    return FeatureConstants(catalogue)


class Observation:
    """What the columns of a view have in common.

    Attributes:
        view: E markets.
        constants: What the features need from its catalogue.
        period: (E,) rows of the tables by period.
    """

    def __init__(self, view: MarketView) -> None:
        self.view = view
        self.constants = feature_constants(view.catalogue)
        self.period = np.minimum(view.period, view.catalogue.horizon)

    @functools.cached_property
    def log_price(self) -> Floats:
        """(E, N) log of the price over the regular price."""
        return np.log(self.view.list_price) - self.constants.log_regular

    @property
    def log_category_price(self) -> Floats:
        """(E, N) its mean over the category."""
        member = self.constants.member
        return ((self.log_price @ member) / member.sum(axis=0)) @ member.T

    @property
    def cover_within(self) -> Floats:
        """(D, E, N) the stock on hand and due within one period, two, ..., over the period's forecast, in logs."""
        within = self.seen("on_hand")[..., None] + self.seen("due").cumsum(axis=2)
        now = self.constants.log_now[self.period]
        return log_cover(log_units(within), now[..., None]).transpose(2, 0, 1)

    def seen(self, name: str) -> NDArray[Any]:
        """A quantity that the catalogue says is observed."""
        values = getattr(self.view, name)
        assert values is not None, f"a catalogue whose policies observe {name} needs it in the view"
        return values

    def time(self, column: int) -> Floats:
        """(E, 1) a column of the table of times."""
        return self.constants.time[self.period, column][:, None]


@dataclass(frozen=True)
class Feature:
    """A feature that changes from period to period.

    Attributes:
        meaning: What a reader calls it, and after the colon how it is computed.
        column: Its column, (E, N) or (E, 1); of a feature with parts, those of all parts, the part first.
        parts: What the name of each of its columns has in brackets; None for one column alone.
    """

    meaning: str
    column: Callable[[Observation], Any]
    parts: Callable[[Catalogue], Sequence[str]] | None = None


MOVING = {
    "time_left": Feature(
        "the time left: share of the episode that is left (1 with an infinite horizon)", lambda now: now.time(0)
    ),
    "log_periods_left": Feature(
        "the number of periods left: log of the number of periods left, this one included, over 4",
        lambda now: now.time(1),
    ),
    "log_price": Feature(
        "the current price against the regular price: log(current list price / regular price)",
        lambda now: now.log_price,
    ),
    "log_reference": Feature(
        "the reference price against the current price: log(reference price / current list price)",
        lambda now: np.log(now.view.reference_price / now.view.list_price),
    ),
    "log_category_price": Feature(
        "the prices of the category against the regular ones: mean of log_price over the category",
        lambda now: now.log_category_price,
    ),
    "log_stock_cover": Feature(
        "the stock against the forecast of the periods left: log((on hand + 1) / (units forecast for the periods left + "
        "1)), within [-3, 3]",
        lambda now: log_cover(log_units(now.view.on_hand), now.constants.log_ahead[now.period]),
    ),
    "log_position_cover": Feature(
        "the stock on hand and on order against the period's forecast: likewise",
        lambda now: log_cover(log_units(now.view.on_hand + now.view.on_order), now.constants.log_now[now.period]),
    ),
    "log_season": Feature(
        "the period's forecast against the mean: log(units forecast for this period / mean of the product)",
        lambda now: now.constants.log_season[now.period],
    ),
    "log_outlook": Feature(
        "the forecast of later periods against the period's: log(mean of the periods left / this period)",
        lambda now: now.constants.log_outlook[now.period],
    ),
    "log_surprise": Feature(
        "the sales of the last period against their forecast: log((units sold + 1) / (units forecast + 1))",
        lambda now: log_surprise(log_units(now.view.last_units), now.constants.log_before[now.period], now.time(2)),
    ),
    "log_competitor": Feature(
        "the lowest rival price against the current price: log ratio, in [-3, 3]; with rivals only",
        lambda now: log_competitor(now.seen("competitor_price"), now.view.list_price),
    ),
    "regime": Feature(
        "the market regime: 1 in this regime, else 0; one per regime, only where regimes are observed",
        lambda now: np.eye(len(now.view.catalogue.regimes))[now.seen("regime")].T[:, :, None],
        lambda catalogue: catalogue.regimes,
    ),
    "log_loyalty": Feature(
        "the loyalty of the segment: log of it; one per segment, only where loyalty varies",
        lambda now: np.log(now.seen("loyalty")).T[:, :, None],
        lambda catalogue: catalogue.segments,
    ),
    "log_cover": Feature(
        "the stock on hand and due within so many periods against the period's forecast: likewise; one per period until "
        "the last but one, only where orders take three periods or more",
        lambda now: now.cover_within,
        lambda catalogue: [str(ahead) for ahead in range(1, catalogue.due_periods + 1)],
    ),
    "recent_changes": Feature(
        "the number of recent price changes: share of the window's periods; only with max_changes",
        lambda now: recent_changes(now.seen("changes"), now.view.catalogue.change_window_periods),
    ),
    "since_change": Feature(
        "how long the current price has been charged: share of the periods up to which that is seen; only with "
        "observed.since_change_periods",
        lambda now: since_change(now.seen("periods_since_change"), now.view.catalogue.since_change_periods),
    ),
}
"""The features that change from period to period, in the order of the columns."""
_OF = {name: quantity for quantity in QUANTITIES.values() for name in quantity.features}
check_complete("pricing.features", "a formula", _OF, MOVING)
MOVING_FEATURES = {name: feature.meaning for name, feature in MOVING.items() if _OF[name].fact is None}
MARKET_FEATURES = {name: feature.meaning for name, feature in MOVING.items() if _OF[name].fact is not None}


def moving_columns(catalogue: Catalogue) -> dict[str, list[str]]:
    """The names of the columns of each feature of `MOVING` that policies with this catalogue see, in order.

    Example:
        >>> import repricer
        >>> moving_columns(repricer.Market("seen-segments").view.catalogue)["log_price"]
        ['log_price']
    """
    seen = {name: feature for name, feature in MOVING.items() if _OF[name].observed(catalogue)}
    return {
        name: [name] if feature.parts is None else [f"{name}[{part}]" for part in feature.parts(catalogue)]
        for name, feature in seen.items()
    }


def feature_names(catalogue: Catalogue, *, fixed: bool = True) -> list[str]:
    """Names of the F columns of `product_features`.

    Args:
        catalogue: decides which optional columns there are.
        fixed: whether to include the columns that never change.

    Example:
        >>> import repricer
        >>> feature_names(repricer.Market("three-stocks").view.catalogue, fixed=False)[:3]
        ['time_left', 'log_periods_left', 'log_price']
    """
    names = [column for columns in moving_columns(catalogue).values() for column in columns]
    if fixed:
        names += FIXED_FEATURES
        names += [f"{name}[{segment}]" for segment in catalogue.segments for name in SEGMENT_FEATURES]
        names += [name for name in UNCERTAINTY_FEATURES if getattr(catalogue, name) is not None]
    return names


def product_features(view: MarketView, *, fixed: bool = True) -> NDArray[np.float32]:
    """Features of every product in every market.

    Args:
        view: E markets.
        fixed: whether to include the columns that never change; they tell a network that is shared
            by the products which one it prices.

    Returns:
        (E, N, F) float32, columns as in `feature_names`.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks", num_markets=2).view
        >>> features = product_features(view)
        >>> features.shape == (2, 3, len(feature_names(view.catalogue)))
        True
    """
    now = Observation(view)
    catalogue = view.catalogue
    columns = moving_columns(catalogue)
    moving = sum(map(len, columns.values()))
    count = len(feature_names(catalogue, fixed=fixed))
    out = np.empty((view.num_markets, catalogue.num_products, count), dtype=np.float32)
    first = 0
    for name, named in columns.items():
        values = MOVING[name].column(now)
        for part in range(len(named)):
            out[..., first + part] = values if MOVING[name].parts is None else values[part]
        first += len(named)
    np.clip(out[..., :moving], -FEATURE_LIMIT, FEATURE_LIMIT, out=out[..., :moving])
    if fixed:
        out[..., moving:] = now.constants.fixed
    return out


def row_width(catalogue: Catalogue, *, product_wise: bool) -> int:
    """The number of columns of `feature_rows`.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks").view
        >>> row_width(view.catalogue, product_wise=False) == feature_rows(view, product_wise=False).shape[1]
        True
    """
    names = len(feature_names(catalogue, fixed=product_wise))
    return names if product_wise else names * catalogue.num_products


def feature_rows(view: MarketView, *, product_wise: bool) -> NDArray[np.float32]:
    """The input rows of a network.

    Args:
        view: E markets.
        product_wise: True for one row per product, False for one row per market without
            the fixed columns.

    Returns:
        (E * N, F) or (E, N * F), float32.

    Example:
        >>> import repricer
        >>> feature_rows(repricer.Market("three-stocks", num_markets=2).view, product_wise=True).shape[0]
        6
    """
    return as_rows(product_features(view, fixed=product_wise), product_wise=product_wise)


def as_rows(features: NDArray[np.float32], *, product_wise: bool) -> NDArray[np.float32]:
    """The input rows of a network from features that were computed before, as in `feature_rows`.

    Args:
        features: (E, N, F), with the fixed columns where `product_wise`.
        product_wise: as in `feature_rows`.

    Example:
        >>> as_rows(np.zeros((2, 3, 4), np.float32), product_wise=False).shape
        (2, 12)
    """
    return features.reshape(-1, features.shape[-1]) if product_wise else features.reshape(len(features), -1)
