"""What an analyst does in an afternoon: a pooled log-log regression, the yardstick of the forecasts of real shops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_RECENT_WEEKS = 52
_KEYS = ["store", "product"]


class PooledLogLog:
    """Log units on own log price, log price index of the category, deal, feature, effects of store-products and weeks.

    A week to come has the mean effect of the last year's weeks; the mean of exponentials is by smearing (Duan 1983).

    Args:
        rows: By store, product and week: `category`, `units`, `price`, `deal`, `feature`.
        last: Last week of the estimation.
    """

    def __init__(self, rows: pd.DataFrame, last: int) -> None:
        known = rows["week"] <= last
        revenue = (rows["price"] * rows["units"])[known].groupby([rows["category"], rows["product"]]).sum()
        weights = revenue / revenue.groupby("category").transform("sum")
        self.rows, self.last, self.weights = rows, last, weights.droplevel("category")
        past = rows[known]
        keys, log = [past[key] for key in _KEYS], np.log(past["units"])
        weeks = pd.get_dummies(past["week"], dtype=float)
        design = pd.concat([self._design(rows)[known], weeks], axis=1)
        self._means = design.groupby(keys).mean(), log.groupby(keys).mean()
        left = (log - log.groupby(keys).transform("mean")).to_numpy()
        within = (design - design.groupby(keys).transform("mean")).to_numpy()
        # Week effects are known up to a constant, which the means of the store-products take up.
        solution = np.linalg.lstsq(within, left)[0]
        self.coefficients = pd.Series(solution, design.columns)
        residual = pd.Series(np.exp(left - within @ solution), past.index)
        self._smearing = residual.groupby(past["product"]).mean()

    def predicted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Units sold and predicted by product and week over these stores, in the weeks after the last known one."""
        ahead = rows[rows["week"] > self.last]
        design, level = self._means
        at = pd.MultiIndex.from_frame(ahead[_KEYS])
        causes = self._design(rows).loc[ahead.index]
        effects = self.coefficients
        recent = effects[[name for name in effects.index if isinstance(name, int) and name > self.last - _RECENT_WEEKS]]
        log = level.reindex(at).to_numpy() - design.reindex(at).to_numpy() @ effects.to_numpy() + recent.mean()
        log += causes.to_numpy() @ effects[causes.columns].to_numpy()
        units = np.exp(log) * ahead["product"].map(self._smearing).to_numpy()
        both = ahead[["product", "week", "units"]].assign(predicted=units)
        return both.groupby(["product", "week"])[["units", "predicted"]].sum()

    def _design(self, rows: pd.DataFrame) -> pd.DataFrame:
        log = np.log(rows["price"])
        place = [rows[name] for name in ("store", "category", "week")]
        index = (log * rows["product"].map(self.weights)).groupby(place).transform("sum")
        return pd.DataFrame(
            {"price": log, "index": index, "deal": rows["deal"].astype(float), "feature": rows["feature"]}
        )


def slope_and_error(
    answer: pd.Series, causes: pd.DataFrame, clusters: Sequence[str] | None = None
) -> tuple[float, float]:
    """The coefficient of the first cause by least squares with a constant, and its robust or clustered standard error."""
    table = causes.assign(answer=answer, cluster=range(len(causes)) if clusters is None else clusters).dropna()
    design = np.column_stack([table[list(causes)].to_numpy(float), np.ones(len(table))])
    inverse = np.linalg.inv(design.T @ design)
    solution = inverse @ design.T @ table["answer"].to_numpy()
    scores = pd.DataFrame(design * (table["answer"].to_numpy() - design @ solution)[:, None])
    summed = scores.groupby(table["cluster"].to_numpy()).sum().to_numpy()
    return float(solution[0]), float(np.sqrt((inverse @ summed.T @ summed @ inverse)[0, 0]))
