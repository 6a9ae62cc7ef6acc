"""Rolling-origin comparison of forecasters at the prices that were actually charged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd
from sklearn.base import clone

from ..data.weeks import period_of
from .metrics import bias, coverage, mase, pinball, wape
from .models.base import QUANTILES, Forecaster
from .models.covariates import planned_columns

POOLED = 0
"""The `step` of the rows that pool all steps."""


def backtest(
    forecasters: Mapping[str, Forecaster],
    panel: pd.DataFrame,
    *,
    origins: Sequence[Any],
    horizon: int,
    refit: bool = True,
) -> pd.DataFrame:
    """Fit to the weeks up to each origin, forecast the `horizon` weeks after it, and score.

    Forecasters receive the actual prices, promotions and holidays of the weeks ahead, so that the
    demand model is judged, not a forecast of prices. Traffic and everything else that is not known
    ahead is withheld. Weeks in which the shop was closed, or the product sold out, are not judged.

    Args:
        forecasters: by name; they are cloned, not changed.
        panel: weekly panel.
        origins: weeks of the panel (dates); each is the last week seen and leaves `horizon` weeks.
        horizon: weeks ahead.
        refit: fit at every origin; otherwise at the first, and continue with the history of each.

    Returns:
        One row per forecaster and step ahead, and one with step 0 for all steps together: `wape`
        and `bias` (of the mean), `wape_median`, `mase` (scaled by the one-step naive
        forecast in the product's history), `pinball` (twice the loss, per unit sold), `cover80`,
        `cover95`, and for all origins of the forecaster `failures` (series) and `seconds`.

    Raises:
        ValueError: an origin is not a week of the panel or leaves too few weeks after it.

    Example:
        >>> from repricer.forecasting import MovingAverage, PooledRegression, example_panel
        >>> forecasters = {"average": MovingAverage(), "pooled": PooledRegression()}
        >>> table = backtest(forecasters, example_panel(n_products=3), origins=["2024-08-26"], horizon=4)
        >>> select(table)
        'pooled'
    """
    _check_origins(panel, origins, horizon)
    scores = []
    for name, forecaster in forecasters.items():
        started = time.perf_counter()
        forecasts, failures = rolling_forecasts(forecaster, panel, origins=origins, horizon=horizon, refit=refit)
        total = {"failures": failures, "seconds": time.perf_counter() - started}
        groups = [(POOLED, forecasts), *forecasts.groupby("step")]
        scores += [{"forecaster": name, "step": step, **score(rows), **total} for step, rows in groups]
    return pd.DataFrame(scores)


def select(table: pd.DataFrame) -> str:
    """Return the name of the forecaster with the smallest WAPE over all steps and origins.

    Args:
        table: as `backtest` returns.

    Example:
        >>> select(pd.DataFrame({"forecaster": ["a", "b"], "step": [0, 0], "wape": [0.4, 0.3]}))
        'b'
    """
    pooled = table[table["step"] == POOLED]
    return str(pooled["forecaster"].iloc[pooled["wape"].argmin()])


def rolling_forecasts(
    forecaster: Forecaster, panel: pd.DataFrame, *, origins: Sequence[Any], horizon: int, refit: bool = True
) -> tuple[pd.DataFrame, int]:
    """Forecast from each origin as `backtest` does, without scores, at most to the end of the panel.

    Returns:
        One row per origin, product and week: `product`, `week`, `mean` and quantiles, the actual
        `units`, `mae` and `mse` (one-step naive errors in the product's history), `origin`, `step`;
        and the number of failures over all fits.
    """
    model = None
    failures = 0
    tables = []
    for origin in sorted(map(pd.Timestamp, origins)):
        if model is None or refit:
            model = cast(Forecaster, clone(forecaster)).fit(panel[panel["week"] <= origin])
            failures += len(model.failures_)
        tables.append(forecasts_from(model, panel, origin=origin, horizon=horizon))
    return pd.concat(tables, ignore_index=True), failures


def forecasts_from(
    model: Forecaster, panel: pd.DataFrame, *, origin: Any, horizon: int, quantiles: Sequence[float] = QUANTILES
) -> pd.DataFrame:
    """Forecast with a fitted model from one origin, with its history up to there.

    Args:
        model: a fitted forecaster.
        panel: weekly panel that holds the history and the weeks ahead.
        origin: last week of the history.
        horizon: weeks ahead.
        quantiles: probabilities strictly between 0 and 1.

    Returns:
        Rows as of `rolling_forecasts`.

    Example:
        >>> from repricer.forecasting import MovingAverage, example_panel
        >>> panel = example_panel(n_products=2)
        >>> model = MovingAverage().fit(panel[panel["week"] <= "2024-08-26"])
        >>> len(forecasts_from(model, panel, origin="2024-08-26", horizon=3))
        6
    """
    origin = pd.Timestamp(origin)
    period = period_of(panel["week"])
    past = panel[panel["week"] <= origin].sort_values(["product", "week"])
    here = model if model.last_week_ == past["week"].max() else model.updated(past)
    known = panel[(panel["week"] > origin) & (panel["week"] <= origin + horizon * period)]
    known = known[known["product"].isin(here.products_)]
    planned = ["product", "week", "price", "regular_price", *planned_columns(panel)]
    forecast = here.predict(known[planned], quantiles=quantiles)
    units = past["units"].where(_observed(past) & past["price"].notna())
    changes = units.groupby(past["product"]).diff()
    scales = pd.DataFrame({"product": past["product"], "mae": changes.abs()})
    # Products that could not be bought say nothing about a forecast.
    judged = known[_observed(known)]
    rows = forecast.merge(judged[["product", "week", "units"]], on=["product", "week"])
    rows = rows.merge(scales.groupby("product").mean(), on="product")
    return rows.assign(origin=origin, step=(rows["week"] - origin) // period)


def _observed(rows: pd.DataFrame) -> pd.Series:
    """Whether units are demand: the shop was open, and the product not sold out, unless all were in each of these weeks."""
    open_ = rows["traffic"] > 0 if "traffic" in rows else pd.Series(True, rows.index)
    observed = open_ & ~rows["stockout"].astype(bool) if "stockout" in rows else open_
    return observed if observed.any() else open_


def score(rows: pd.DataFrame) -> dict[str, float]:
    """Return the accuracy figures of `backtest` for a table of forecasts.

    Args:
        rows: as `forecasts_from` returns, at the default quantiles.

    Example:
        >>> from repricer.forecasting import MovingAverage, example_panel
        >>> panel = example_panel(n_products=2)
        >>> model = MovingAverage().fit(panel[panel["week"] <= "2024-08-26"])
        >>> list(score(forecasts_from(model, panel, origin="2024-08-26", horizon=3)))[:3]
        ['wape', 'wape_median', 'bias']
    """
    units = rows["units"]
    mean = rows["mean"]
    return {
        "wape": wape(units, mean),
        "wape_median": wape(units, rows["q0.5"]),
        "bias": bias(units, mean),
        "mase": mase(units, mean, rows["mae"]),
        "pinball": pinball(units, {level: rows[f"q{level}"] for level in QUANTILES}),
        "cover80": coverage(units, rows["q0.1"], rows["q0.9"]),
        "cover95": coverage(units, rows["q0.025"], rows["q0.975"]),
    }


def _check_origins(panel: pd.DataFrame, origins: Sequence[Any], horizon: int) -> None:
    weeks = pd.Index(panel["week"].unique()).sort_values()
    if horizon < 1 or len(weeks) <= horizon:
        raise ValueError(f"horizon must lie in 1..{len(weeks) - 1} weeks; got {horizon}")
    allowed = weeks[:-horizon]
    wrong = [origin for origin in origins if pd.Timestamp(origin) not in allowed]
    if wrong or not len(origins):
        raise ValueError(
            f"origins must be weeks of the panel from {allowed[0]:%Y-%m-%d} to {allowed[-1]:%Y-%m-%d}; got "
            f"{wrong[0] if wrong else 'none'}; choose a week of the panel that leaves {horizon} weeks"
        )
