"""Other real shops: Ta-Feng's receipts, canned tuna of a chain, a cheese at many retailers: a sensible market, or one clear refusal."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from repricer.data import load_tables, product_weeks
from repricer.scenarios import MarketSpec, load_scenario

from .checks import Skip, check
from .loop import REPRICER
from .shops_data import cheese, folder, ta_feng_tables, tuna
from .shops_regression import PooledLogLog

_SHOPS = {"Ta-Feng": ta_feng_tables, "tuna": tuna, "cheese": cheese}
# Elasticities of packaged goods by store and week lie well within (Bijmolt, van Heerde and Pieters 2005), medians more so.
_ELASTICITY = (-6.0, -0.2)
_BIAS = 0.25


class Fit(NamedTuple):
    """What `repricer fit` made of a shop: its report, or what it says instead."""

    report: dict[str, Any] | None
    out: Path
    refusal: str


@functools.cache
def fitted(shop: str, period: str = "week") -> Fit:
    """The fit by the command, with its own defaults."""
    out = folder() / f"{shop}-{period}"
    command = [*REPRICER, "fit", str(_SHOPS[shop]()), "--period", period, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Fit(json.loads(done.stdout), out, "")
    lines = [line for line in done.stderr.splitlines() if line]
    print("\n".join(f"  {line}" for line in lines))
    return Fit(None, out, done.stderr if done.returncode == 2 and len(lines) == 1 else "")


def shortcomings(found: Fit) -> list[str]:
    """What is not sensible of a market; nothing of a clear refusal."""
    if found.report is None:
        return [] if found.refusal else ["failed, or refused in several lines"]
    scores, (low, high) = found.report["scores"], _ELASTICITY
    figures = {
        f"median elasticity {scores['median_elasticity']:.2f}": low <= scores["median_elasticity"] <= high,
        f"bias {scores['simulated_bias']:+.0%}": abs(scores["simulated_bias"]) <= _BIAS,
        f"WAPE {scores['simulated_wape']:.0%}, moving average {scores['moving_average_wape']:.0%}": scores[
            "simulated_wape"
        ]
        <= scores["moving_average_wape"],
    }
    print(f"  {', '.join(figures)}")
    return [name for name, fine in figures.items() if not fine]


for _shop in _SHOPS:

    @check("shops", f"{_shop}: what is not sensible of its market, nor refused in one line", "==", 0)
    def sensible(shop: str = _shop) -> float:
        return float(len(shortcomings(fitted(shop))))


def category_regression(spec: MarketSpec, tables: Path, holdout: int) -> float:
    """WAPE of a log-log regression of the same products and weeks."""
    loaded = load_tables(tables)
    products = pd.DataFrame({"product": spec.products.ids, "category": spec.products.category})
    panel = product_weeks(loaded, products=products).sort_values(["product", "week"], ignore_index=True)
    rows = panel.assign(store="all", deal=False, feature=panel.get("promotion", 0.0))
    rows["week"] = rows["week"].rank(method="dense").astype(int)
    rows["price"] = rows.groupby("product")["price"].bfill()
    rows["units"] = np.maximum(rows["units"], 0.5)
    found = PooledLogLog(rows, int(rows["week"].max()) - holdout).predicted(rows)
    return float((found["units"] - found["predicted"]).abs().sum() / found["units"].sum())


@check("shops", "Ta-Feng, held-out weeks: WAPE over that of a log-log regression of its categories", "<=", 1)
def ta_feng_wape() -> float:
    found = fitted("Ta-Feng")
    if found.report is None:
        raise Skip("Ta-Feng's tables are refused; a refused market has no forecast")
    spec = load_scenario(str(found.out / "proof"))
    theirs = category_regression(spec, ta_feng_tables(), spec.market.horizon_periods)
    print(f"  WAPE {found.report['scores']['simulated_wape']:.1%}, regression {theirs:.1%}")
    return found.report["scores"]["simulated_wape"] / theirs
