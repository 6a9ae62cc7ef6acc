"""Forecasts of products without sales, from their attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OneHotEncoder

from ..product_vectors import PENALTIES, block_weights, scaled
from .base import Forecaster
from .pooled import PooledRegression
from .weekly_design import FOURIER_PAIRS, covariate_matrix, covariate_names

LEAST_PRODUCTS = 5
"""With fewer known products, a new one cannot be forecast."""

_MOST_FOLDS = 10
"""Up to as many products, each is left out alone."""
_SMEARING = (np.arange(199) + 0.5) / 199


class Newcomers(Forecaster):
    """Forecasts new products: level from category and price, price response from all products.

    A ridge regression explains each known product's mean of log(1 + units) by its category, its
    regular price, and that price relative to its category's. Discount, promotion, rivals and season
    then act as they do on the average product (`PooledRegression`). Intervals are quantiles of the
    errors in forecasting each known product from others (in ten folds), so they are
    wide. The mean is Duan's smearing estimate (1983) over the same errors.

    Products that were fitted are forecast in the same way, as if they were new.

    Args:
        vectors: further tables with one row of numbers per product (index), known and new: of texts
            (`word_vectors`), images and so on. Each is used as far as it improves the forecast of
            products left out, see `block_weights`.

    Attributes:
        weights_: weight of each table; 0 where it tells nothing beside category and price.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel()
        >>> new = panel.tail(1).assign(product="kiwi", week="2024-10-07").astype({"week": panel["week"].dtype})
        >>> list(Newcomers().fit(panel).predict(new, quantiles=(0.1, 0.9)))
        ['product', 'week', 'mean', 'q0.1', 'q0.9']
    """

    def __init__(self, vectors: Sequence[pd.DataFrame] = ()) -> None:
        self.vectors = vectors

    def _fit(self, history: pd.DataFrame) -> None:
        if len(self.products_) < LEAST_PRODUCTS:
            raise ValueError(
                f"Newcomers: the panel must hold {LEAST_PRODUCTS} products or more; got {len(self.products_)}"
            )
        pooled = PooledRegression()
        pooled._update(history)
        self.seasonal_ = pooled.state_.seasonal
        self.coefficients_ = pooled.state_.coefficients.mean(axis=0)
        # The level of the price already explains the level of the product.
        self.coefficients_[covariate_names(history).index("log_regular")] = 0.0
        self.middle_ = pooled.state_.middle.mean(axis=0)
        sold = history[history["demand"].notna() & (history.groupby("product")["units"].cumsum() > 0)]
        products = sold.groupby("product")["log_regular"].mean().to_frame()
        products["category"] = self.covariates_.category[products.index]
        self.category_price_ = products.groupby("category")["log_regular"].mean()
        rest = pd.Series(np.log1p(sold["demand"].to_numpy()) - self._answer(sold), index=sold.index)
        level = rest.groupby(sold["product"]).mean()
        self.encoder_ = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(products[["category"]])
        self.blocks_ = [scaled(block, products.index) for block in self.vectors]
        attributes = self._attributes(products.reset_index())
        self.weights_ = block_weights(attributes, self._blocks(products.index), level)
        design = self._design(attributes, products.index)
        self.model_ = RidgeCV(alphas=PENALTIES).fit(design, level)
        guess = cross_val_predict(RidgeCV(alphas=PENALTIES), design, level, cv=min(len(level), _MOST_FOLDS))
        self.errors_ = rest.to_numpy() - sold["product"].map(dict(zip(level.index, guess, strict=True))).to_numpy()

    def _update(self, history: pd.DataFrame) -> None:
        """Do nothing: the forecast of a new product does not depend on the end of the history."""

    def _check_products(self, rows: pd.DataFrame) -> None:
        """Accept every product."""

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        category = future["product"].map(self.covariates_.category)
        if "category" in future:
            category = category.fillna(future["category"])
        attributes = self._attributes(future.assign(category=category.fillna("")))
        centre = self.model_.predict(self._design(attributes, pd.Index(future["product"]))) + self._answer(future)
        spread = np.quantile(self.errors_, _SMEARING)
        mean = np.expm1(centre[:, None] + spread).clip(0.0).mean(axis=1)
        return mean, np.expm1(centre[:, None] + np.quantile(self.errors_, levels))

    def _answer(self, rows: pd.DataFrame) -> np.ndarray:
        """Effect of the week's prices, promotions and rivals on log units (R,)."""
        departure = covariate_matrix(rows) - self.middle_
        if not self.seasonal_:
            departure[:, -2 * FOURIER_PAIRS :] = 0.0
        return departure @ self.coefficients_

    def _attributes(self, rows: pd.DataFrame) -> np.ndarray:
        """Log regular price, alone and relative to its category (0 if unknown), and indicators."""
        relative = (rows["log_regular"] - rows["category"].map(self.category_price_)).fillna(0.0)
        flags = np.asarray(self.encoder_.transform(rows[["category"]]))
        return np.column_stack([rows["log_regular"].to_numpy(), relative.to_numpy(), flags])

    def _blocks(self, products: pd.Index) -> list[np.ndarray]:
        """The rows of products in each table; 0, the mean, where it has none."""
        return [block.reindex(products).fillna(0.0).to_numpy() for block in self.blocks_]

    def _design(self, attributes: np.ndarray, products: pd.Index) -> np.ndarray:
        used = [weight * block for weight, block in zip(self.weights_, self._blocks(products), strict=True) if weight]
        return np.hstack([attributes, *used])
