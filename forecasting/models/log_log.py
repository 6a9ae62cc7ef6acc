"""The yardstick: a pooled log-log regression over stores, weeks and products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ...data.weeks import WEEK
from .base import Forecaster
from .partial_means import noise_variance, without_means

_LOG_UNITS = 0.5
_HALF_LIFE = 26
# Standard deviations of the pooled coefficients around 0 (in one store, weeks and own prices leave little of the index),
# and of a product's own price and promotion coefficients around the pooled ones.
_POOLED = np.array([3.0, 1.0, 1.0])
_PRODUCT_SPREAD = np.array([1.0, 0.5])
_REGRESSORS = ["price", "index", "promotion"]
_MOST_MEAN_OVER_MEDIAN = 1.5


class LogLogRegression(Forecaster):
    r"""Log units on own log price, the category's price index and promotion, with store and week effects.

    .. math:: \log u_{ist} = a_{is} + w_t + (b + b_i) \log p_{ist} + c \log P_{-i,st} + (g + g_i) m_{ist} + e_{ist}

    P is the revenue-weighted price index of the category's other products in that store and week, m the promotion.
    The coefficients of a product are shrunk towards those of all (ridge). Store-weeks without a sale are left
    out of the regression. Each product's level is the mean of what the coefficients leave of its series in the panel, in
    which a week counts half of one 26 weeks later; a season is not modelled.

    Args:
        stores: Sales by `store`, `product` and `week`, with `units`, `price` and `promotion` (and its kinds);
            of weeks after the history nothing is read. None: the panel is one store.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> model = LogLogRegression().fit(panel[panel["week"] < "2024-09-01"])
        >>> bool(-2.6 < model.coefficients_["price"].mean() < -1.4)
        True
    """

    def __init__(self, *, stores: pd.DataFrame | None = None) -> None:
        self.stores = stores

    def _fit(self, history: pd.DataFrame) -> None:
        rows = history if self.stores is None else self.promotion_index_.applied(self._stores_until_now())
        rows = rows[rows["product"].isin(self.products_) & (rows["price"] > 0)]
        rows = rows.assign(store=rows["store"] if self.stores is not None else "")
        revenue = (history["units"] * history["price"]).groupby(history["product"]).sum()
        self.weight_ = revenue.clip(lower=revenue.sum() * 1e-9 + 1e-9)
        x = self._covariates(rows, ["store", "week"], _mean_log_price(rows, ["store", "product"]))
        units = rows["demand"] if self.stores is None else rows["units"]
        known = (units > 0).to_numpy()
        if "stockout" in rows:
            known = known & ~rows["stockout"].fillna(False).astype(bool).to_numpy()
        self.coefficients_ = _coefficients(rows[known], x[known], np.log(units[known].to_numpy(float)), self.products_)
        self.usual_ = _mean_log_price(history, ["product"]).groupby(history["product"]).first()
        self._update(history)

    def _stores_until_now(self) -> pd.DataFrame:
        """The sales by store up to the last week of the history."""
        assert self.stores is not None, "it is asked where there are some"
        return self.stores[self.stores["week"] <= self.last_week_]

    def _update(self, history: pd.DataFrame) -> None:
        rows = history[history["demand"].notna()]
        left = rows["demand"].clip(lower=_LOG_UNITS).map(np.log) - self._answer(rows)
        age = (self.last_week_ - rows["week"]) / (_HALF_LIFE * WEEK)
        weight = 0.5**age
        product = rows["product"]
        total = (weight * left).groupby(product).sum() / weight.groupby(product).sum()
        self.level_ = total.reindex(self.products_).fillna(np.log(_LOG_UNITS))
        error = left - product.map(self.level_)
        self.weekday_ = error.groupby(rows["week"].dt.day_of_week).mean()
        self.weekday_ -= self.weekday_.mean()
        error -= rows["week"].dt.day_of_week.map(self.weekday_)
        # Few weeks far from the others would make a standard deviation, and a mean, of their own.
        scale = error.abs().groupby(product).median() / stats.norm.ppf(0.75)
        self.scale_ = scale.reindex(self.products_).fillna(scale.median()).fillna(1.0).clip(lower=0.05)
        self.errors_ = (error / product.map(self.scale_)).to_numpy() if len(rows) else np.zeros(1)

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weekday = future["week"].dt.day_of_week.map(self.weekday_).fillna(0.0)
        centre = (self._answer(future) + future["product"].map(self.level_) + weekday).to_numpy(float)
        scale = future["product"].map(self.scale_).to_numpy(float)
        bands = np.exp(centre[:, None] + scale[:, None] * np.quantile(self.errors_, levels))
        return np.exp(centre) * np.minimum(np.exp(scale**2 / 2), _MOST_MEAN_OVER_MEDIAN), bands

    def _answer(self, rows: pd.DataFrame) -> pd.Series:
        """Log units, above those at a product's usual price without promotion, by the coefficients."""
        x = self._covariates(rows, ["week"], rows["product"].map(self.usual_))
        return (x * self.coefficients_.loc[rows["product"]].to_numpy()).sum(axis=1)

    def _covariates(self, rows: pd.DataFrame, place: Sequence[str], usual: pd.Series) -> pd.DataFrame:
        price = np.log(rows["price"].astype(float)) - usual
        weight = rows["product"].map(self.weight_)
        keys = [rows["product"].map(self.covariates_.category), *(rows[name] for name in place)]
        total, whole = (part.groupby(keys).transform("sum") for part in (weight * price, weight))
        others = (whole - weight).where(whole - weight > 1e-6 * whole)
        index = ((total - weight * price) / others).fillna(0.0)
        promotion = rows["promotion"].fillna(0.0) if "promotion" in rows else 0.0
        return pd.DataFrame({"price": price, "index": index}).assign(promotion=promotion)[_REGRESSORS]


def _mean_log_price(rows: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    return rows["price"].astype(float).map(np.log).groupby([rows[name] for name in by]).transform("mean")


def _coefficients(rows: pd.DataFrame, x: pd.DataFrame, y: np.ndarray, products: pd.Index) -> pd.DataFrame:
    """By product, after the means of product-stores and, with several products, weeks are taken out."""
    series = pd.factorize(rows["product"].astype(str) + "\0" + rows["store"].astype(str))[0]
    effects = [series, pd.factorize(rows["week"])[0]][: 1 + (len(products) > 1)]
    left = without_means(np.column_stack([y, x]), effects)
    y = left[:, 0]
    values = left[:, 1:]
    noise = noise_variance(y, values)
    pooled = np.linalg.solve(values.T @ values + np.diag(noise / _POOLED**2), values.T @ y)
    error = y - values @ pooled
    own = values[:, [0, 2]]
    code = products.get_indexer(pd.Index(rows["product"]))
    moments = np.zeros((len(products), 2, 2))
    np.add.at(moments, code, own[:, :, None] * own[:, None])
    total = np.zeros((len(products), 2))
    np.add.at(total, code, own * error[:, None])
    apart = np.linalg.solve(moments + np.diag(noise / _PRODUCT_SPREAD**2), total[:, :, None])[:, :, 0]
    table = pd.DataFrame(np.tile(pooled, (len(products), 1)), index=products, columns=_REGRESSORS)
    return table.add(pd.DataFrame(apart, index=products, columns=["price", "promotion"]), fill_value=0.0)[_REGRESSORS]
