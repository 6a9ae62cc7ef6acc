"""Price elasticities of customer segments, by Poisson pseudo-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.weeks import period_of
from ..models.base import check_rows
from .least_squares import STILL, Array, Groups
from .rows import calendar, categorised, moves_apart

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
        elasticity, se = _poisson(rows)
        figures = {"elasticity": elasticity, "se": se, "units": rows["units"].sum()}
        table.append({"segment": segment, **figures, "customers": bought["customer"].nunique()})
    return pd.DataFrame(table)


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


def _poisson(rows: pd.DataFrame) -> tuple[float, float]:
    """Fit by Poisson pseudo-likelihood: the elasticity and its clustered standard error."""
    controls = ["promotion"] if "promotion" in rows and moves_apart(rows, "promotion") else []
    columns = np.column_stack([rows[["log_price", *controls]].to_numpy(float), calendar(rows).to_numpy(float)])
    coefficient, se = poisson_within(rows["units"].to_numpy(float), columns, rows["product"].to_numpy())
    return coefficient[0], se[0]


def poisson_within(units: Array, columns: Array, labels: NDArray) -> tuple[Array, Array]:
    """Fit a Poisson pseudo-likelihood with group effects, without dummy columns.

    Iteratively reweighted least squares, each round with weighted group means removed (Correia,
    Guimarães and Zylkin 2020).

    Args:
        units: (n,) not negative, with sales in each group.
        columns: (n, q) regressors.
        labels: (n,) sorted groups, which are also the clusters.

    Returns:
        (q,) coefficients, and their standard errors clustered by group. Collinear columns get the coefficients
        of least norm.

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
    meat, scale = groups.sum(scores), count / max(count - 1, 1) * (rows - 1) / free
    return coefficient, np.sqrt(scale * np.einsum("ij,jk,ki->i", bread, meat.T @ meat, bread))


def _demean_weighted(values: Array, weight: Array, groups: Groups) -> Array:
    total = groups.sum(weight)
    if values.ndim == 1:
        return values - (groups.sum(weight * values) / total)[groups.codes]
    return values - (groups.sum(weight[:, None] * values) / total[:, None])[groups.codes]


def _deviance(units: Array, mean: Array) -> float:
    logs = np.log(np.where(units > 0, units / mean, 1.0))
    return 2 * float((units * logs - (units - mean)).sum())
