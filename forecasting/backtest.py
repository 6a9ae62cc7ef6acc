"""Rolling-origin comparison of forecasters at the prices that were actually charged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd
from sklearn.base import clone

from .base import QUANTILES, WEEK, Forecaster
from .metrics import bias, coverage, mase, pinball, rmsse, wape

POOLED = 0
"""The `step` of the rows that pool all steps."""


def backtest(
    forecasters: Mapping[str, Forecaster],
    panel: pd.DataFrame,
    *,
    origins: Sequence[Any],
    horizon: int,
) -> pd.DataFrame:
    """Fit to the weeks up to each origin, forecast the `horizon` weeks after it, and score.

    Forecasters are given the prices and the traffic of the weeks ahead as they came: what is judged is the
    demand model, not a guess of prices.

    Args:
        forecasters: by name; they are cloned, not changed.
        panel: weekly panel.
        origins: weeks of the panel (dates); each is the last week that is seen, and leaves `horizon` weeks.
        horizon: weeks ahead.

    Returns:
        A row for each forecaster and step ahead, and one with step 0 for all steps together:
        `wape`, `bias` (of the mean), `mase` and `rmsse` (scaled by the one-step naive forecast in the
        product's history), `pinball` (twice the loss, per unit sold), `cover80`,
        `cover95`, and for the whole run of the forecaster `failures` (series) and `seconds`.

    Raises:
        ValueError: an origin is no week of the panel or leaves too few weeks after it.
    """
    _check_origins(panel, origins, horizon)
    scores = []
    for name, forecaster in forecasters.items():
        started = time.perf_counter()
        runs = [_run(forecaster, panel, pd.Timestamp(origin), horizon) for origin in origins]
        total = {
            "failures": sum(failures for _, failures in runs),
            "seconds": time.perf_counter() - started,
        }
        forecasts = pd.concat([forecast for forecast, _ in runs], ignore_index=True)
        groups = [(POOLED, forecasts), *forecasts.groupby("step")]
        scores += [{"forecaster": name, "step": step, **_score(rows), **total} for step, rows in groups]
    return pd.DataFrame(scores)


def select(table: pd.DataFrame) -> str:
    """Name the forecaster with the smallest WAPE over all steps and origins of a `backtest` table."""
    pooled = table[table["step"] == POOLED]
    return str(pooled["forecaster"].iloc[pooled["wape"].argmin()])


def _check_origins(panel: pd.DataFrame, origins: Sequence[Any], horizon: int) -> None:
    weeks = pd.Index(panel["week"].unique()).sort_values()
    if horizon < 1 or len(weeks) <= horizon:
        raise ValueError(f"horizon must lie in 1..{len(weeks) - 1} weeks; got {horizon}")
    allowed = weeks[:-horizon]
    for origin in origins:
        if pd.Timestamp(origin) not in allowed:
            raise ValueError(
                f"origins must be weeks of the panel from {allowed[0]:%Y-%m-%d} to {allowed[-1]:%Y-%m-%d}; "
                f"got {origin}; choose a `week` of the panel that leaves {horizon} weeks"
            )
    if not len(origins):
        raise ValueError("origins: at least one week is needed; got none")


def _run(forecaster: Forecaster, panel: pd.DataFrame, origin: pd.Timestamp, horizon: int) -> tuple[pd.DataFrame, int]:
    """Forecast from one origin; return forecasts with the actual units and scales, and the failures."""
    history = panel[panel["week"] <= origin].sort_values(["product", "week"])
    ahead = panel[(panel["week"] > origin) & (panel["week"] <= origin + horizon * WEEK)]
    known = ahead[ahead["product"].isin(history["product"])]
    model = cast(Forecaster, clone(forecaster)).fit(history)
    forecast = model.predict(known.drop(columns="units"), quantiles=QUANTILES)
    changes = history.groupby("product")["units"].diff()
    scales = pd.DataFrame({"product": history["product"], "mae": changes.abs(), "mse": changes**2})
    rows = forecast.merge(known[["product", "week", "units"]], on=["product", "week"])
    rows = rows.merge(scales.groupby("product").mean(), on="product")
    return rows.assign(origin=origin, step=(rows["week"] - origin) // WEEK), len(model.failures_)


def _score(rows: pd.DataFrame) -> dict[str, float]:
    units, mean = rows["units"], rows["mean"]
    return {
        "wape": wape(units, mean),
        "bias": bias(units, mean),
        "mase": mase(units, mean, rows["mae"]),
        "rmsse": rmsse(units, mean, rows["mse"]),
        "pinball": pinball(units, {level: rows[f"q{level}"] for level in QUANTILES}),
        "cover80": coverage(units, rows["q0.1"], rows["q0.9"]),
        "cover95": coverage(units, rows["q0.025"], rows["q0.975"]),
    }
