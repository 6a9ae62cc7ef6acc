"""Price elasticities of customer segments, by Poisson pseudo-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.weeks import period_of
from ..models.base import check_rows
from ..shrinkage import shrink
from .least_squares import STILL, Array, Groups
from .rows import MIN_PRICE_SD, MIN_WEEKS, calendar, categorised, moves_apart

_MAX_ROUNDS = 100


def segment_response(sales: pd.DataFrame, labels: pd.Series, panel: pd.DataFrame) -> pd.DataFrame:
    """Estimate one elasticity for each customer segment, pooled over the products of `panel`.

    A segment's weekly units of a product are often 0, so this is a Poisson pseudo-likelihood with
    the effects of `PriceResponse` (Santos Silva and Tenreyro 2006), not a log-log regression.
    `promotion` is held fixed where the panel has it; standard errors are clustered by product.
    There are no instruments: a bias that is common to all segments cancels in their comparison.

    Args:
        sales: canonical sales with `customer`; lines of customers without a label are left out.
        labels: customer -> segment.
        panel: weekly panel, with the weeks and the shop's prices.

    Returns:
        One row per segment: `segment`, `elasticity`, `se`, `units`, `customers`.

    Raises:
        ValueError: `sales` names no customers, or none of them has a label.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> sales = panel.rename(columns={"week": "date"}).assign(customer=["ann", "bob", "cid"] * 80)
        >>> labels = pd.Series({"ann": 0, "bob": 1, "cid": 1})
        >>> table = segment_response(sales, labels, panel)
        >>> list(table), table["customers"].tolist()
        (['segment', 'elasticity', 'se', 'units', 'customers'], [1, 2])
    """
    table = []
    for segment, bought, rows in _by_segment(sales, labels, panel):
        fitted = _poisson(rows, rows["log_price"].to_numpy()[:, None])
        figures = {"elasticity": fitted[0][0], "se": fitted[1][0], "units": rows["units"].sum()}
        table.append({"segment": segment, **figures, "customers": bought["customer"].nunique()})
    return pd.DataFrame(table)


def segment_category_response(sales: pd.DataFrame, labels: pd.Series, panel: pd.DataFrame) -> pd.DataFrame:
    """Estimate the elasticity of each segment in each category, and shrink it to that of the segment.

    As `segment_response`, with one slope per category. The standard error is the larger of the
    robust one and the one clustered by product, which a category with one product does not have.

    Args:
        sales: canonical sales with `customer`.
        labels: customer -> segment.
        panel: weekly panel.

    Returns:
        One row per segment and category: `segment`, `category`, `raw` and `raw_se` (NaN: fewer than
        8 weeks with sales to the segment, or a price that hardly moved in them), `shrunk`,
        `shrunk_se`, `implausible` (raw above 0) and `units`.

    Raises:
        ValueError: as `segment_response`.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> sales = panel.rename(columns={"week": "date"}).assign(customer="ann")
        >>> table = segment_category_response(sales, pd.Series({"ann": 0}), panel)
        >>> table["category"].tolist(), bool((table["shrunk"] < -1).all())
        (['dry', 'fresh'], True)
    """
    parts = []
    for segment, _, rows in _by_segment(sales, labels, panel):
        categories = categorised(panel)["category"].unique()
        slopes = pd.get_dummies(rows["category"].where(_carries(rows), None), dtype=float)
        rest = 1 - slopes.sum(axis=1)
        columns = np.column_stack([slopes, rest]) if rest.any() else slopes.to_numpy()
        coefficient, *errors = _poisson(rows, columns * rows[["log_price"]].to_numpy())
        estimates = pd.DataFrame({"raw": coefficient, "raw_se": np.maximum(*errors)}).iloc[: slopes.shape[1]]
        part = estimates.set_axis(slopes.columns).reindex(pd.Index(categories, name="category")).reset_index()
        units = rows.groupby("category")["units"].sum()
        parts.append(part.assign(segment=segment, units=part["category"].map(units).fillna(0.0)))
    table = pd.concat(parts, ignore_index=True).sort_values(["segment", "category"], ignore_index=True)
    shrunk = shrink(table["raw"], table["raw_se"], table["segment"])
    table = table.assign(shrunk=shrunk.mean, shrunk_se=shrunk.se, implausible=table["raw"] > 0)
    return table[["segment", "category", "raw", "raw_se", "shrunk", "shrunk_se", "implausible", "units"]]


def _by_segment(
    sales: pd.DataFrame, labels: pd.Series, panel: pd.DataFrame
) -> list[tuple[Any, pd.DataFrame, pd.DataFrame]]:
    """Return each segment with its sale lines and the panel's rows with its units."""
    if "customer" not in sales:
        raise ValueError(
            f"sales: column 'customer' is missing; got {', '.join(sales.columns)}; segments need customers"
        )
    rows = check_rows(panel, ["product", "week", "units", "price"], name="panel")
    rows = categorised(rows[(rows["units"] > 0) & (rows["price"] > 0)])
    if "stockout" in rows:
        rows = rows[~rows["stockout"].fillna(False).astype(bool)]
    log_price = pd.Series(np.log(rows["price"]), index=rows.index)
    rows = rows.assign(log_price=log_price - log_price.groupby(rows["product"]).transform("mean"))
    weeks = pd.Index(panel["week"].unique()).sort_values()
    lines = sales.assign(segment=sales["customer"].map(labels))
    lines = lines[lines["date"].between(weeks[0], weeks[-1] + period_of(weeks), inclusive="left")]
    lines = lines[lines["segment"].notna() & lines["product"].isin(rows["product"])]
    if lines.empty:
        raise ValueError("labels: no customer with sales in the panel has one; index them as in sales")
    lines["week"] = weeks[weeks.searchsorted(lines["date"], side="right") - 1]
    return [(segment, bought, _bought(rows, bought)) for segment, bought in lines.groupby("segment")]


def _bought(rows: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    units = lines.groupby(["product", "week"])["units"].sum().rename("units")
    rows = rows.drop(columns="units").join(units, on=["product", "week"]).fillna({"units": 0.0})
    # The effect of a product or week without any sale is minus infinity.
    for key in ("product", "week"):
        rows = rows[rows.groupby(key)["units"].transform("sum") > 0]
    return rows


def _carries(rows: pd.DataFrame) -> pd.Series:
    """Whether the data of a row's category identify a slope of its own.

    The price must have moved in weeks in which the segment bought. If a reduction made it buy
    nothing, or everything, the slope is unbounded.
    """
    sold = rows[rows["units"] > 0]
    weeks = sold.groupby("category")["week"].nunique()
    moves = (sold["log_price"] - sold.groupby("product")["log_price"].transform("mean")).groupby(sold["category"]).std()
    return rows["category"].map((weeks >= MIN_WEEKS) & (moves >= MIN_PRICE_SD)).fillna(False).astype(bool)


def _poisson(rows: pd.DataFrame, slopes: Array) -> tuple[Array, Array, Array]:
    """Fit by Poisson pseudo-likelihood: slopes, clustered and robust standard errors."""
    controls = ["promotion"] if "promotion" in rows and moves_apart(rows, "promotion") else []
    common = np.column_stack([slopes, rows[controls].to_numpy(float), calendar(rows).to_numpy(float)])
    coefficient, clustered, robust = poisson_within(rows["units"].to_numpy(float), common, rows["product"].to_numpy())
    count = slopes.shape[1]
    return coefficient[:count], clustered[:count], robust[:count]


def poisson_within(units: Array, columns: Array, labels: NDArray) -> tuple[Array, Array, Array]:
    """Fit a Poisson pseudo-likelihood with group effects, without dummy columns.

    Iteratively reweighted least squares, each round with weighted group means removed (Correia,
    Guimarães and Zylkin 2020).

    Args:
        units: (n,) not negative, with sales in each group.
        columns: (n, q) regressors.
        labels: (n,) sorted groups, which are also the clusters.

    Returns:
        (q,) coefficients, their standard errors clustered by group, and their
        heteroscedasticity-robust standard errors. Collinear columns get the coefficients of least
        norm.

    Raises:
        ValueError: the fit does not converge.
    """
    groups = Groups(labels)
    mean = (units + groups.sum(units)[groups.codes] / groups.sizes[groups.codes]) / 2
    deviance = np.inf
    for _ in range(_MAX_ROUNDS):
        working = np.log(mean) + units / mean - 1
        left, target = (_demean_weighted(values, mean, groups) for values in (columns, working))
        bread = np.linalg.pinv((left * mean[:, None]).T @ left, hermitian=True)
        coefficient = bread @ (left.T @ (mean * target))
        mean = np.exp(working - (target - left @ coefficient))
        before, deviance = deviance, _deviance(units, mean)
        if abs(before - deviance) <= STILL * (1 + deviance):
            break
    else:
        raise ValueError(
            f"sales: the Poisson fit must converge within {_MAX_ROUNDS} rounds; got a deviance that still changes; "
            "give segments more sales or more weeks"
        )
    left = _demean_weighted(columns, mean, groups)
    bread = np.linalg.pinv((left * mean[:, None]).T @ left, hermitian=True)
    scores = left * (units - mean)[:, None]
    rows, count = len(units), len(groups.sizes)
    free = rows - count - np.linalg.matrix_rank(bread, hermitian=True)
    clustered, robust = (
        scale / free * np.einsum("ij,jk,ki->i", bread, meat.T @ meat, bread)
        for scale, meat in ((count / max(count - 1, 1) * (rows - 1), groups.sum(scores)), (rows, scores))
    )
    return coefficient, np.sqrt(clustered), np.sqrt(robust)


def _demean_weighted(values: Array, weight: Array, groups: Groups) -> Array:
    total = groups.sum(weight)
    if values.ndim == 1:
        return values - (groups.sum(weight * values) / total)[groups.codes]
    return values - (groups.sum(weight[:, None] * values) / total[:, None])[groups.codes]


def _deviance(units: Array, mean: Array) -> float:
    logs = np.log(np.where(units > 0, units / mean, 1.0))
    return 2 * float((units * logs - (units - mean)).sum())
