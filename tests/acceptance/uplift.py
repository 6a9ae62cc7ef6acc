"""Prices that hold in the true market: what is predicted for synthetic shops, and what is realised.

Results are kept in `runs/uplift` by shop, settings and code, so a run that was killed continues. `UPLIFT_SEED` is the
seed of the first shop, `UPLIFT_SHOPS` caps the number of shops per family for a quick look.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from repricer.benchmarks.uplift import (
    StudySettings,
    run_estimates,
    run_study,
    summarise,
    summarise_estimates,
)
from repricer.jobs import Place

from .checks import check

OUT = Path(__file__).parents[2] / "runs" / "uplift"
SEED = int(os.environ.get("UPLIFT_SEED", "0"))
MOST = int(os.environ.get("UPLIFT_SHOPS", "1000"))
SIZES, BOUNDS = (12, 30), ("free", "default")
SHOPS, FAMILY_SHOPS, QUICK_SHOPS, DEAL_SHOPS = 40, 24, 6, 48
POINT = 0.01
# Of what prices were found to gain on half of the stores, or weeks, the share that the others must show.
HALF_KEPT = 0.6

# Least mean share of the optimum, and most points by which the mean prediction misses the mean realised gain.
EXOGENOUS = {
    "seasonal": (0.975, 2),
    "promoted": (0.975, 2),
    "segments": (0.975, 2),
    "stores": (0.975, 2),
    "scarce": (0.975, 2),
    "drifting": (0.975, 2),
    "short": (0.95, 2),
}
# Prices follow demand, and no costs are known.
BLIND = ("endogenous-blind", "endogenous-category")
# No market of ours has such customers.
OTHER_MODELS = ("stockpiling", "misspecified")
# Customers answer to regular prices and to deals apart; gains are over current prices, under the bounds of `fit`.
DEALS = ("regular-and-deal", "nested-deals")


@functools.cache
def rows(truth: str, products: int = 12, bounds: str = "free", shops: int = FAMILY_SHOPS) -> list[dict[str, Any]]:
    """One result per shop."""
    settings = StudySettings(truth, products=products, bounds=bounds)
    seeds = range(SEED, SEED + min(shops, MOST))
    return run_study(settings, seeds, OUT, place=Place(workers=os.cpu_count() or 1))


def figures(truth: str, products: int = 12, bounds: str = "free", shops: int = FAMILY_SHOPS) -> dict[str, Any]:
    """The figures over all shops of a family."""
    return summarise(rows(truth, products, bounds, shops))


def covered_share(parts: list[dict[str, Any]]) -> float:
    """Share of shops within their 90% intervals, over several families."""
    return sum(part["covered"] for part in parts) / sum(part["shops"] for part in parts)


def _register_clean(products: int, bounds: str) -> None:
    """Line 1: clean variation of prices."""
    case = f"clean, {products} products, {SHOPS} shops, {bounds} bounds"

    def found() -> dict[str, Any]:
        return figures("clean", products, bounds, SHOPS)

    least, worst = (0.987, 0.95) if bounds == "free" else (0.0, 0.0)

    @check("uplift", f"{case}: mean share of the true optimum", ">=", least)
    def share() -> float:
        return found()["share_of_optimum"]

    @check("uplift", f"{case}: lowest share of the true optimum", ">=", worst)
    def lowest() -> float:
        return found()["worst_share"]

    @check("uplift", f"{case}: mean predicted gain less mean realised gain, absolute", "<=", 1.5, "points")
    def error() -> float:
        return abs(found()["over_prediction"]) / POINT

    @check("uplift", f"{case}: shops within their 90% interval", ">=", 34, f"of {SHOPS}")
    def covered() -> float:
        return float(found()["covered"])

    @check("uplift", f"{case}: shops that earn over 1% less than at regular prices", "<=", 0)
    def losing() -> float:
        return float(found()["lose_to_regular"])


for _products in SIZES:
    for _bounds in BOUNDS:
        _register_clean(_products, _bounds)

for _bounds in BOUNDS:

    @check("uplift", f"clean, both sizes, {_bounds} bounds: distance of the coverage from 90.5%", "<=", 5.5, "points")
    def clean_coverage(bounds: str = _bounds) -> float:
        return abs(covered_share([figures("clean", products, bounds, SHOPS) for products in SIZES]) - 0.905) / POINT


def _register_family(
    truth: str, share: float, points: float, *, covered: int | None = 18, one_sided: bool = False
) -> None:
    """Line 2: one family. one_sided: only predicting too much counts."""
    case = f"{truth}, {FAMILY_SHOPS} shops"

    @check("uplift", f"{case}: mean share of the true optimum", ">=", share)
    def mean_share() -> float:
        return figures(truth)["share_of_optimum"]

    name = "mean predicted gain less mean realised gain" + ("" if one_sided else ", absolute")

    @check("uplift", f"{case}: {name}", "<=", points, "points")
    def error() -> float:
        over = figures(truth)["over_prediction"] / POINT
        return over if one_sided else abs(over)

    @check("uplift", f"{case}: shops within their 90% interval", ">=", covered or 0, f"of {FAMILY_SHOPS}")
    def within() -> float:
        return float(figures(truth)["covered"])

    @check("uplift", f"{case}: shops that earn less than at their current prices", "<=", 1)
    def losing() -> float:
        return float(figures(truth)["lose_to_own"])

    @check(
        "uplift", f"{case}: shops that keep their current prices", "<=", 2 if truth == "endogenous" else FAMILY_SHOPS
    )
    def refused() -> float:
        return float(figures(truth)["refused"])


for _truth, (_share, _points) in EXOGENOUS.items():
    _register_family(_truth, _share, _points)
_register_family("endogenous", 0.95, 3, covered=17)
for _truth in BLIND:
    _register_family(_truth, 0.0, 3, covered=None, one_sided=True)
for _truth in OTHER_MODELS:
    _register_family(_truth, 0.90, 3, covered=None, one_sided=True)


def _register_deals(truth: str) -> None:
    """Regular prices and deals told apart."""
    case = f"{truth}, {DEAL_SHOPS} shops, over current prices"

    def found() -> dict[str, Any]:
        return figures(truth, bounds="default", shops=DEAL_SHOPS)

    @check("uplift", f"{case}: mean predicted less mean realised gain, absolute", "<=", 3, "standard errors")
    def error() -> float:
        return abs(found()["over_prediction"]) / found()["over_prediction_se"]

    @check("uplift", f"{case}: realised gain over that of the best prices within the same rules", ">=", 0.6)
    def share() -> float:
        return found()["share_of_best_gain"]

    @check("uplift", f"{case}: share of shops that earn over .5% less than at their current prices", "<=", 0.02)
    def losing() -> float:
        return found()["losses"] / found()["shops"]

    @check("uplift", f"{case}: lowest realised gain over current prices", ">=", -0.02)
    def lowest() -> float:
        return found()["worst_realised"]

    @check(
        "uplift",
        f"{truth}, {FAMILY_SHOPS} shops: gain by the other half of the sales over that by the half that found the prices",
        ">=",
        HALF_KEPT,
    )
    def half_kept() -> float:
        return summarise(rows(truth, bounds="default", shops=DEAL_SHOPS)[:FAMILY_SHOPS])["half_kept"]


for _truth in DEALS:
    _register_deals(_truth)


@check("uplift", "both families with deals: distance of the coverage from 90%", "<=", 5, "points")
def deals_coverage() -> float:
    return abs(covered_share([figures(truth, bounds="default", shops=DEAL_SHOPS) for truth in DEALS]) - 0.9) / POINT


@functools.cache
def estimates() -> dict[str, Any]:
    """The figures of the responses to regular prices in chains whose stores sit out deals."""
    seeds = range(SEED, SEED + min(FAMILY_SHOPS, MOST))
    place = Place(workers=os.cpu_count() or 1)
    return summarise_estimates(run_estimates(StudySettings("chain-deals"), seeds, OUT, place=place))


_chain = f"chain-deals, {FAMILY_SHOPS} shops"


@check("uplift", f"{_chain}: true responses to regular prices within 90% intervals", ">=", 20, f"of {FAMILY_SHOPS}")
def chain_covered() -> float:
    return float(estimates()["covered"])


@check("uplift", f"{_chain}: mean absolute error of the elasticity between stores", "<=", 0.3)
def chain_error() -> float:
    return estimates()["error"]


@check("uplift", f"{_chain}: the same if weeks in which most stores are on deal are kept", ">=", 1)
def chain_error_without() -> float:
    return estimates()["error_without"]


@check("uplift", "seven families without demand shocks: distance of the coverage from 89.5%", "<=", 5.5, "points")
def family_coverage() -> float:
    return abs(covered_share([figures(truth) for truth in EXOGENOUS]) - 0.895) / POINT


for _truth in BLIND:

    @check(
        "uplift",
        f"{_truth}: fits that say that prices follow demand or may",
        ">=",
        FAMILY_SHOPS,
        f"of {FAMILY_SHOPS}",
    )
    def said(truth: str = _truth) -> float:
        return float(figures(truth)["named"])


@check(
    "uplift",
    "6 clean shops: shares of the optimum, quick settings against the defaults of fit and train",
    "<=",
    0.5,
    "points",
)
def quick_as_default() -> float:
    """Mean absolute difference of the shares."""
    settings = StudySettings("clean", forecaster="selected", steps=300_000, episodes=1000)
    whole = run_study(
        settings, range(SEED, SEED + min(QUICK_SHOPS, MOST)), OUT, place=Place(workers=os.cpu_count() or 1)
    )
    pairs = zip(rows("clean", 12, "free", SHOPS), whole, strict=False)
    return float(np.mean([abs(quick["share_of_optimum"] - slow["share_of_optimum"]) for quick, slow in pairs])) / POINT


@check("uplift", "`bench uplift --shops 6` on two cores", "<=", 12, "minutes")
def six_shops() -> float:
    return _minutes(rows("clean", 12, "free", SHOPS)[:QUICK_SHOPS])


@check("uplift", "all shops of these checks on two cores", "<=", 120, "minutes")
def all_shops() -> float:
    clean = [row for products in SIZES for bounds in BOUNDS for row in rows("clean", products, bounds, SHOPS)]
    families = (*EXOGENOUS, "endogenous", *BLIND, *OTHER_MODELS)
    deals = [row for truth in DEALS for row in rows(truth, bounds="default", shops=DEAL_SHOPS)]
    return _minutes(clean + [row for truth in families for row in rows(truth)] + deals)


def _minutes(shops: list[dict[str, Any]]) -> float:
    return sum(row["cpu_seconds"] for row in shops) / 2 / 60
