"""The interface of a demand forecaster, and the checks that all forecasters share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from ...data.weeks import period_of
from .covariates import Covariates, planned_columns
from .promotion_index import PromotionIndex

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
"""Probabilities of the median and the bounds of the 80% and 95% intervals."""

_FUTURE = ["product", "week", "price", "regular_price"]
_HISTORY = [*_FUTURE, "traffic", "units"]


class Forecaster(BaseEstimator, ABC):
    """Forecasts the weekly units of every product in a panel, given planned prices and promotions.

    `predict` uses the history fitted and the rows of the very week that it forecasts, so that a
    price cannot change the forecast of an earlier week. A subclass implements `_fit`, `_update` and
    `_forecast`.

    Beside units, every model sees prices, traffic and, where the panel has them, `promotion` (of several kinds, their
    `PromotionIndex`), `holiday`, `category` (through the other products of the category) and the columns in
    `covariates.OBSERVED`. Weeks in which the product was sold out (`stockout`), cost nothing or the
    shop was closed count as missing.

    Attributes:
        failures_: the reason, by product, for each series that could not be fitted as intended;
            such a product is forecast by the simpler model that the class names.
        products_: the products fitted.
        last_week_: first day of the last week of the history; week 1 of a forecast is the next one.
        period_: length of a week, which is a day for a panel of days.
        promotion_index_: the weights of the kinds of promotions, by the history fitted.

    Example:
        >>> from repricer.forecasting import MovingAverage, example_panel
        >>> panel = example_panel()
        >>> history, future = panel[panel["week"] < "2024-09-01"], panel[panel["week"] >= "2024-09-01"]
        >>> forecast = MovingAverage().fit(history).predict(future.drop(columns="units"), quantiles=(0.1, 0.9))
        >>> list(forecast)
        ['product', 'week', 'mean', 'q0.1', 'q0.9']
    """

    failures_: dict[str, str]
    products_: pd.Index
    last_week_: pd.Timestamp
    period_: pd.Timedelta
    promotion_index_: PromotionIndex
    covariates_: Covariates

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel.

        Args:
            panel: as `repricer.data.product_weeks` returns, in any row order.

        Raises:
            ValueError: a column is missing, a value is missing or negative, or a product has two
                rows in a week.
        """
        history = check_rows(panel, _HISTORY, name="panel")
        self.failures_ = {}
        self.promotion_index_ = PromotionIndex.of(history)
        history = self.promotion_index_.applied(history)
        self.products_ = pd.Index(history["product"].unique())
        self.last_week_ = history["week"].max()
        self.period_ = period_of(history["week"])
        self.covariates_ = Covariates.of(history)
        self._fit(self._prepare(history))
        return self

    def updated(self, history: pd.DataFrame) -> Self:
        """Return this fitted forecaster at the end of another history, with the same estimates.

        Far cheaper than `fit`.

        Args:
            history: a panel, as for `fit`; products that were not fitted are ignored.
        """
        rows = check_rows(history, _HISTORY, name="history")
        rows = self.promotion_index_.applied(rows[rows["product"].isin(self.products_)].reset_index(drop=True))
        later = copy.copy(self)
        later.products_ = pd.Index(rows["product"].unique())
        later.last_week_ = rows["week"].max()
        later.covariates_ = self.covariates_.at_end_of(rows)
        later._update(later._prepare(rows))
        return later

    def refitted(self, history: pd.DataFrame) -> Self:
        """Return a forecaster of the same kind, fitted to another history.

        What took long to find out is kept: the choice between models, and the weights of networks.

        Args:
            history: a panel, as for `fit`.
        """
        return cast(Self, clone(self)).fit(history)

    def predict(
        self, future: pd.DataFrame, *, history: pd.DataFrame | None = None, quantiles: Sequence[float] = QUANTILES
    ) -> pd.DataFrame:
        """Forecast the units of each product and week in `future`.

        Args:
            future: R rows with the planned `product`, `week`, `price` and `regular_price`, of any
                weeks after the history; gaps are allowed. Optional: `promotion` and `holiday` (0
                where absent) and `traffic` (by default the mean of the last weeks).
            history: a history with an earlier or later end, to forecast from there (see `updated`).
            quantiles: probabilities strictly between 0 and 1.

        Returns:
            R rows sorted by product and week: `product`, `week`, `mean` and one column for each
            quantile (`q0.5`), in units per week, never negative; quantiles never cross.

        Raises:
            ValueError: as `fit`; or a product was not fitted, a price is zero, or a week is not
                after the history.
        """
        if history is not None:
            return self.updated(history).predict(future, quantiles=quantiles)
        levels = np.asarray(sorted(quantiles), dtype=float)
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantiles must lie strictly between 0 and 1; got {list(quantiles)}")
        rows = self.covariates_.of_future(self._check_future(future))
        mean, bands = self._forecast(rows, levels)
        table = rows[["product", "week"]].assign(mean=np.maximum(mean, 0.0))
        bands = np.maximum.accumulate(np.maximum(bands, 0.0), axis=1)
        return table.assign(**{f"q{level}": bands[:, column] for column, level in enumerate(levels)})

    def _prepare(self, history: pd.DataFrame) -> pd.DataFrame:
        """Add the covariates and `demand`: units, or NaN in weeks that tell nothing about demand."""
        rows = self.covariates_.of_history(history)
        silent = (rows["traffic"] == 0) | rows["discount"].isna()
        if "stockout" in rows:
            silent |= rows["stockout"].astype(bool)
        return rows.assign(demand=rows["units"].astype(float).mask(silent))

    def _check_future(self, future: pd.DataFrame) -> pd.DataFrame:
        """Check and sort the rows, and add their `step`: 1 is the week after the history."""
        optional = [*(name for name in ("traffic",) if name in future), *planned_columns(future)]
        rows = self.promotion_index_.applied(check_rows(future, [*_FUTURE, *optional], name="future"))
        self._check_products(rows)
        if (rows[["price", "regular_price"]] <= 0).any(axis=None):
            raise ValueError("future: price and regular_price must be positive; got 0; leave those rows out")
        step = (rows["week"] - self.last_week_) / self.period_
        if ((step < 1) | (step % 1 != 0)).any():
            raise ValueError(
                f"future: weeks must follow {self.last_week_:%Y-%m-%d} in steps of {self.period_.days} days; "
                f"got {rows['week'][(step < 1) | (step % 1 != 0)].iloc[0]:%Y-%m-%d}; move or drop those rows"
            )
        return rows.assign(step=step.astype(int))

    def _check_products(self, rows: pd.DataFrame) -> None:
        unknown = rows.loc[~rows["product"].isin(self.products_), "product"]
        if len(unknown):
            raise ValueError(
                f"future: products must have been fitted; got {unknown.iloc[0]!r}; fit a panel that holds it"
            )

    @abstractmethod
    def _fit(self, history: pd.DataFrame) -> None:
        """Fit to prepared rows sorted by product and week; record what failed in `failures_`."""

    @abstractmethod
    def _update(self, history: pd.DataFrame) -> None:
        """Move to the end of prepared rows, with new attributes: the original shares the old ones."""

    @abstractmethod
    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forecast R sorted rows with `step` at Q rising levels: mean (R,), quantiles (R, Q)."""


def check_rows(table: pd.DataFrame, columns: Sequence[str], *, name: str) -> pd.DataFrame:
    """Check and sort the rows of a panel.

    Args:
        table: rows with `product` and `week`.
        columns: columns that must be there, finite and not negative.
        name: name of the table in error messages.

    Raises:
        ValueError: a column is missing, a number is missing or negative, or a product has two rows
            in a week.
    """
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{name}: column {missing[0]!r} is missing; needed are {', '.join(columns)}; "
            f"got {', '.join(map(str, table.columns))}; make it with repricer.data.product_weeks"
        )
    if table.empty:
        raise ValueError(f"{name}: at least one row is needed; got none")
    if "units" in columns:
        # Weeks before a product's first sale have no price (`product_weeks`).
        table = table[table["price"].notna() | (table["units"] > 0)]
    for column in columns:
        faulty = table[column].isna()
        if column not in ("product", "week"):
            faulty |= ~np.isfinite(table[column]) | (table[column] < 0)
        if faulty.any():
            raise ValueError(
                f"{name}: {column} must be given, finite and not negative; "
                f"got {table[column][faulty].iloc[0]} ({faulty.sum()} rows); fix or drop those rows"
            )
    if table.duplicated(["product", "week"]).any():
        raise ValueError(f"{name}: one row for each product and week is allowed; got duplicates; drop them")
    return table.sort_values(["product", "week"], ignore_index=True)
