"""One shop, from its drawn customers to what the recommended prices really earn there."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...scenarios import MarketSpec
from .public_path import fit_files, write_files
from .settings import StudySettings
from .shop import DealShop, Shop, draw_shop
from .tables import FIRST_DAY, names
from .verdict import PredictedGain, recommend


def assess_shop(settings: StudySettings, seed: int) -> dict[str, Any]:
    """Draw a shop, follow the public path, and charge the recommended prices in the truth.

    Args:
        settings: How the shop is drawn, fitted and evaluated.
        seed: Selects the shop, and seeds fit, training and evaluation.

    Returns:
        The figures of one shop, as plain data for JSON. Gains are shares of what regular prices
        earn in the same weeks, or, for shops with deals, current prices.

    Raises:
        ValueError: There is no market to fit on the shop's tables.
    """
    started, shop = time.process_time(), draw_shop(settings.truth, seed, settings.products, settings.weeks)
    row = {"seed": seed, **settings.to_dict(), "model": shop.model, **_described(shop)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            fitted = fit_files(write_files(shop, Path(folder)), settings, seed)
        except ValueError as error:
            raise ValueError(f"{settings.truth} shop {seed}: {error}") from error
    before = time.process_time()
    recommended = recommend(fitted.spec, settings, seed)
    stages = fitted.seconds | {"recommend": time.process_time() - before}
    before = time.process_time()
    row |= realised(shop, fitted.spec, recommended)
    stages["truth"] = time.process_time() - before
    assert fitted.spec.history is not None, "a fitted market has a history"
    row["may_follow_demand"] = fitted.spec.history.may_follow_demand
    return row | {"stages": stages, "cpu_seconds": time.process_time() - started}


def realised(shop: Shop, spec: MarketSpec, recommended: PredictedGain) -> dict[str, Any]:
    """What the recommended prices really earn in the weeks of the fitted market, which
    follow the tables.

    Args:
        shop: The shop whose customers are known.
        spec: The fitted market: its weeks, objective, regular prices and price bounds.
    """
    weeks, objective = weeks_of(spec), spec.market.objective
    given = {"first": weeks[0], "horizon": len(weeks), "objective": objective}
    order = [spec.products.names.index(name) for name in displayed(shop)]
    regular = np.asarray(spec.products.regular_price, dtype=np.float64)[order]
    low, high = (
        np.asarray(bound, dtype=np.float64)[..., order] for bound in (spec.guardrails.low, spec.guardrails.high)
    )
    own = shop.own_prices(weeks[0], len(weeks))
    path = own if recommended.prices is None else recommended.prices[:, order]
    earned = {
        "regular": shop.realised(regular, **given),
        "own": shop.realised(own, **given),
        "recommended": shop.realised(path, **given),
        "optimum": shop.realised(shop.optimum(low, high, **given), **given),
    }
    base = earned["regular"]
    if isinstance(shop, DealShop):
        earned["calendar"] = shop.realised(shop.optimum(low, high, **given, calendar=False), **given)
        # No search of paths is certain to find the best.
        earned["optimum"], base = max(earned["optimum"], earned["recommended"]), earned["own"]
    gain = earned["recommended"] / base - 1
    return {
        "objective": objective,
        "policy": recommended.policy,
        "refused": recommended.refused,
        "loss_probability": recommended.loss_probability,
        "predicted": recommended.predicted,
        "interval90": [recommended.low, recommended.high],
        "realised": gain,
        "optimal": earned["optimum"] / base - 1,
        "covered": bool(recommended.low <= gain <= recommended.high),
        "share_of_optimum": earned["recommended"] / earned["optimum"],
        "regular_share": earned["regular"] / earned["optimum"],
        "own_share": earned["own"] / earned["optimum"],
        "earned": earned,
    }


def weeks_of(spec: MarketSpec) -> range:
    """Numbers of the weeks that a fitted market simulates, since the start of the tables."""
    first = (pd.Timestamp(spec.market.first_day) - FIRST_DAY).days // 7
    return range(first, first + spec.market.horizon_periods)


def displayed(shop: Shop) -> list[str]:
    """The products' names in the fitted market, in the order of the shop."""
    return [name.replace("-", " ") for name in names(shop)]


def _described(shop: Shop) -> dict[str, Any]:
    shares = {
        "elasticity": float(shop.parameters.elasticity.mean()),
        "outside_share": float(shop.parameters.outside.mean()),
    }
    if isinstance(shop, DealShop):
        return shares | {"stores": shop.history.level.size, "funding": shop.deals.funding, "plan": shop.deals.planned}
    return shares
