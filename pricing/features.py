"""What a network sees of each product: one row of numbers of order one, computed from the market view.

The market, the evaluation and the service call this same function, so that a served policy sees what it was
trained on. Prices enter as logarithms of ratios: a change of currency changes nothing.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue, MarketView

FEATURES = {
    "time_left": "share of the episode that is left",
    "log_periods_left": "log of the number of periods left, this one included, over 4",
    "log_price": "log(list price in force / regular price)",
    "log_reference": "log(reference price / list price in force)",
    "log_cost": "log(unit cost / regular price), at least -3",
    "log_price_rank": "log(regular price / mean regular price of the category)",
    "log_category_price": "mean of log_price over the category",
    "log_stock_cover": "log((on hand + 1) / (units forecast for the periods left + 1)), within [-3, 3]",
    "log_position_cover": "log((on hand + on order + 1) / (units forecast for this period + 1)), within [-3, 3]",
    "log_season": "log(units forecast for this period / mean forecast of the product)",
    "log_outlook": "log(mean units forecast for the periods left / units forecast for this period)",
    "log_surprise": "log((units sold last period + 1) / (units forecast for it + 1))",
    "log_volume": "log(mean forecast of the product + 1) over 4",
}
SEGMENT_FEATURES = {
    "elasticity": "own-price elasticity of the segment at the regular price, plus 2",
    "log_affinity": "log(units the segment buys / mean over products), within [-3, 3]",
    "log_segment_share": "log(segment's share of the product's units times K), within [-3, 3]",
}
FEATURE_LIMIT = 10.0
"""Every feature lies within plus or minus this."""
_TINY = np.float32(1e-6)


def feature_names(catalogue: Catalogue) -> list[str]:
    """Names of the F columns of `product_features`, segment columns last."""
    names = list(FEATURES)
    for segment in catalogue.segments:
        names += [f"{name}[{segment}]" for name in SEGMENT_FEATURES]
    return names


class _Constants:
    """What the features need of a catalogue, worked out once."""

    def __init__(self, catalogue: Catalogue) -> None:
        forecast = np.maximum(catalogue.forecast_units, _TINY)
        periods_left = np.arange(catalogue.horizon, 0, -1, dtype=np.float32)
        ahead = np.cumsum(forecast[::-1], axis=0)[::-1]
        mean = forecast.mean(axis=0)
        before = np.vstack([forecast[:1], forecast[:-1]])
        self.category = np.eye(catalogue.category.max() + 1, dtype=np.float32)[catalogue.category]
        self.category /= self.category.sum(axis=0)
        self.member = (self.category > 0).astype(np.float32)
        self.periods_left = periods_left
        self.log_regular = np.log(catalogue.regular_price)
        self.log_cost = np.log(np.maximum(catalogue.unit_cost / catalogue.regular_price, np.exp(-3)))
        self.log_price_rank = self.log_regular - np.log(self.member @ (self.category.T @ catalogue.regular_price))
        self.log_ahead, self.log_now, self.log_before = (np.log1p(x) for x in (ahead, forecast, before))
        self.log_season = np.log(forecast / mean)
        self.log_outlook = np.log(ahead / periods_left[:, None] / forecast)
        self.log_volume = np.log1p(mean) / 4
        self.segment = self._segment_columns(catalogue)

    @staticmethod
    def _segment_columns(catalogue: Catalogue) -> NDArray[np.float32]:
        units = np.maximum(catalogue.segment_units, _TINY)
        columns = np.stack(
            [
                catalogue.segment_elasticity + 2,
                np.log(units / units.mean(axis=1, keepdims=True)),
                np.log(units / units.mean(axis=0)),
            ]
        )
        # (3, K, N) to (N, K * 3), in the order of `feature_names`.
        return np.clip(columns, -3, 3).transpose(2, 1, 0).reshape(catalogue.num_products, -1)


@functools.lru_cache(maxsize=32)
def _constants(catalogue: Catalogue) -> _Constants:
    return _Constants(catalogue)


def product_features(view: MarketView) -> NDArray[np.float32]:
    """Features of every product of every market: (E, N, F) float32, columns as in `feature_names`."""
    c, catalogue = _constants(view.catalogue), view.catalogue
    t = np.minimum(view.period, catalogue.horizon - 1)
    log_price = np.log(view.list_price) - c.log_regular
    stock = np.minimum(view.on_hand, np.float32(1e9))
    out = np.empty((view.num_markets, catalogue.num_products, len(FEATURES) + c.segment.shape[1]), dtype=np.float32)
    columns = (
        (1 - view.period / catalogue.horizon)[:, None],
        np.log(c.periods_left[t])[:, None] / 4,
        log_price,
        np.log(view.reference_price / view.list_price),
        c.log_cost,
        c.log_price_rank,
        (log_price @ c.category) @ c.member.T,
        np.clip(np.log1p(stock) - c.log_ahead[t], -3, 3),
        np.clip(np.log1p(stock + view.on_order) - c.log_now[t], -3, 3),
        c.log_season[t],
        c.log_outlook[t],
        # Nothing has sold before the first period: no surprise.
        np.where(t[:, None] > 0, np.log1p(view.last_units) - c.log_before[t], 0),
        c.log_volume,
    )
    for i, column in enumerate(columns):
        out[..., i] = column
    out[..., len(columns) :] = c.segment
    return np.clip(out, -FEATURE_LIMIT, FEATURE_LIMIT, out=out)
