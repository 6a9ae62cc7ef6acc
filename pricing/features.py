"""The features of a network: for each product a row of numbers of order one, computed from
the market view.

The market, the evaluation and the service use the same formulas, so that a served policy sees what
it was trained on. Prices enter as logarithms of ratios, so that the currency does not matter.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .backend import ONE, THREE, ZERO, clip, larger, log, smaller, where
from .catalogue import Catalogue, MarketView

MOST_COVER = float(THREE)
"""Top of the scale of `log_cover`, where stock is unlimited."""
# What a reader calls the feature, and after the colon how it is computed.
MOVING_FEATURES = {
    "time_left": "the time left: share of the episode that is left (1 with an infinite horizon)",
    "log_periods_left": "the number of periods left: log of the number of periods left, this one included, over 4",
    "log_price": "the current price against the regular price: log(current list price / regular price)",
    "log_reference": "the reference price against the current price: log(reference price / current list price)",
    "log_category_price": "the prices of the category against the regular ones: mean of log_price over the category",
    "log_stock_cover": "the stock against the forecast of the periods left: log((on hand + 1) / (units forecast for "
    "the periods left + 1)), within [-3, 3]",
    "log_position_cover": "the stock on hand and on order against the period's forecast: likewise",
    "log_season": "the period's forecast against the mean: log(units forecast for this period / mean of the product)",
    "log_outlook": "the forecast of later periods against the period's: log(mean of the periods left / this period)",
    "log_surprise": "the sales of the last period against their forecast: log((units sold + 1) / (units forecast + 1))",
}
MARKET_FEATURES = {
    "log_competitor": "the lowest rival price against the current price: log ratio, in [-3, 3]; with rivals only",
    "regime": "the market regime: 1 in this regime, else 0; one per regime, only where regimes are observed",
    "log_loyalty": "the loyalty of the segment: log of it; one per segment, only where loyalty varies",
    "log_cover": "the stock on hand and due within so many periods against the period's forecast: likewise; "
    "one per period until the last but one, only where orders take three periods or more",
    "recent_changes": "the number of recent price changes: share of the window's periods; only with max_changes",
}
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
OUTLOOK_PERIODS = 10
"""How many periods ahead the forecasts reach where the horizon is infinite."""
_TINY, _MANY, _FAR = np.float32(1e-6), np.float32(1e9), np.float32(1e18)


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
    names = list(MOVING_FEATURES)
    if catalogue.rivals:
        names.append("log_competitor")
    names += [f"regime[{regime}]" for regime in catalogue.regimes]
    if catalogue.loyal:
        names += [f"log_loyalty[{segment}]" for segment in catalogue.segments]
    names += [f"log_cover[{ahead}]" for ahead in range(1, catalogue.due_periods + 1)]
    if catalogue.change_window_periods:
        names.append("recent_changes")
    if fixed:
        names += FIXED_FEATURES
        names += [f"{name}[{segment}]" for segment in catalogue.segments for name in SEGMENT_FEATURES]
        names += [name for name in UNCERTAINTY_FEATURES if getattr(catalogue, name) is not None]
    return names


def log_units(units):
    """log(units + 1), and its mirror image for negative units (backlog)."""
    size = log(ONE + smaller(larger(units, -units), _MANY))
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
        forecast = np.maximum(catalogue.forecast_units, _TINY)
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
        cost = np.log(np.maximum(catalogue.unit_cost / regular, np.exp(-3)))
        own = np.column_stack([cost, self.log_regular - np.log(in_category), np.log1p(mean) / 4])
        units = np.maximum(catalogue.segment_units, _TINY)
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
    catalogue = view.catalogue
    c = feature_constants(catalogue)
    t = np.minimum(view.period, catalogue.horizon)
    log_price = np.log(view.list_price) - c.log_regular
    category_price = ((log_price @ c.member) / c.member.sum(axis=0)) @ c.member.T
    started = c.time[t, 2][:, None]
    columns = [
        c.time[t, 0][:, None],
        c.time[t, 1][:, None],
        log_price,
        np.log(view.reference_price / view.list_price),
        category_price,
        log_cover(log_units(view.on_hand), c.log_ahead[t]),
        log_cover(log_units(view.on_hand + view.on_order), c.log_now[t]),
        c.log_season[t],
        c.log_outlook[t],
        log_surprise(log_units(view.last_units), c.log_before[t], started),
        *_market_columns(view),
    ]
    names = feature_names(catalogue, fixed=fixed)
    out = np.empty((view.num_markets, catalogue.num_products, len(names)), dtype=np.float32)
    for i, column in enumerate(columns):
        out[..., i] = column
    np.clip(out[..., : len(columns)], -FEATURE_LIMIT, FEATURE_LIMIT, out=out[..., : len(columns)])
    if fixed:
        out[..., len(columns) :] = c.fixed
    return out


def _market_columns(view: MarketView) -> tuple[NDArray, ...]:
    """The columns of `MARKET_FEATURES` that this catalogue has."""
    catalogue, columns = view.catalogue, []
    if catalogue.rivals:
        assert view.competitor_price is not None, "a catalogue with rivals needs their prices"
        columns.append(log_competitor(view.competitor_price, view.list_price))
    if catalogue.regimes:
        assert view.regime is not None, "a catalogue with regimes needs the present one"
        columns += [(view.regime == z)[:, None] for z in range(len(catalogue.regimes))]
    if catalogue.loyal:
        assert view.loyalty is not None, "a catalogue with loyalty needs its level"
        columns += list(np.log(view.loyalty).T[:, :, None])
    if catalogue.due_periods:
        assert view.due is not None, "a catalogue with deliveries period by period needs them"
        within = view.on_hand[..., None] + view.due.cumsum(axis=2)
        now = feature_constants(catalogue).log_now[np.minimum(view.period, catalogue.horizon)]
        columns += list(log_cover(log_units(within), now[..., None]).transpose(2, 0, 1))
    if catalogue.change_window_periods:
        assert view.changes is not None, "a catalogue that counts price changes needs their number"
        columns.append(view.changes / np.float32(catalogue.change_window_periods - 1))
    return tuple(columns)


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
