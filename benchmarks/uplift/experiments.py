"""What an experiment is worth: shops that charge recommended regular prices for four weeks, with an experiment around them or
without, are fitted again, and charge what is then recommended.

Recommended are the shop's planned prices, deals and all, times a factor for each product, with the most money in the mean
market of the posterior. They are searched for, not learned: what training adds by chance is more than what an experiment
adds. All arms of a shop have the same customers, the same random numbers and the bounds of the first fit.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from ...agents.posterior.deals import DEAL, Plan, PlanValue
from ...fitting import FittedMarket
from ...planning.experiments.plan import plan_experiment
from .deals import DealTruth
from .parameters import Array
from .settings import StudySettings
from .shop import draw_shop, fitted_files, names, shop_tables, write_files
from .study import displayed, weeks_of

WEEKS, AFTER = 4, 22
ARMS = ("never", "planned", "random")
RULES = ("bounds", "level")
"""How far prices may move: within the bounds of the first fit, or also so that a category's mean price stays."""
_GRIDS, _MOST = (np.linspace(0.8, 1.6, 17), np.linspace(0.96, 1.04, 9)), 0.2


def compared(inputs: dict[str, Any], _: Path) -> dict[str, Any]:
    """The result of one shop, as a job; it keeps nothing for a second start."""
    with joblib.parallel_config(backend="sequential"):
        return compare_arms(StudySettings(**inputs["settings"]), inputs["seed"], inputs["rule"])


def compare_arms(settings: StudySettings, seed: int, rule: str = "bounds") -> dict[str, Any]:
    """What a shop earns in 26 weeks by each of `ARMS`.

    Args:
        settings: How the shop is drawn and fitted; of a family with deals.
        seed: Selects the shop, and seeds fits and experiments.
        rule: One of `RULES`.

    Returns:
        By arm, `earned` in 26 weeks, `first`, that of the four weeks, `tested`, the number of tested products, and
        `interval`, mean widths of 90% intervals: of the `own` response of the products to regular prices, the `relative` one
        within a category, and that of a whole `category`; and `cpu_seconds`, as plain data for JSON.
    """
    started, shop = time.process_time(), draw_shop(settings.truth, seed, settings.products, settings.weeks)
    assert isinstance(shop, DealTruth), "the family has deals"
    first = _fitted(shop, settings, seed, WEEKS + AFTER)
    rules, order = first.spec.guardrails, [first.spec.products.names.index(name) for name in displayed(shop)]
    bounds = tuple(np.asarray(bound, np.float64)[order] for bound in (rules.low, rules.high))
    path = recommended(first, order, bounds, rule)
    row: dict[str, Any] = {"seed": seed, "rule": rule, "stores": shop.history.level.size}
    row |= {name: {} for name in ("earned", "first", "interval", "tested")}
    for arm in ARMS:
        ratio = _ratios(arm, first, shop, order, path, seed)
        later, calendar = charged(shop, path[:WEEKS], ratio)
        with tempfile.TemporaryDirectory() as folder:
            calendar.to_csv(Path(folder) / "calendar.csv", index=False)
            Path(folder, "plan.json").write_text(json.dumps({"washout_days": 0}), encoding="utf-8")
            again = _fitted(later, settings, seed, AFTER, experiments=[folder])
        then = recommended(again, order, bounds, rule)
        horizon = weeks_of(again.spec)
        row["first"][arm] = later.earned()
        row["earned"][arm] = later.earned() + later.realised(then, first=horizon[0], horizon=len(horizon))
        row["interval"][arm] = _widths(again)
        row["tested"][arm] = int((ratio != 1).any(axis=(0, 1)).sum())
    return row | {"cpu_seconds": time.process_time() - started}


def recommended(market: FittedMarket, order: Sequence[int], bounds: tuple[Array, ...], rule: str = "bounds") -> Array:
    """(T, N) planned prices times the factor of each product that earns the most in the mean market, products in the order
    of the shop: by coordinate ascent, both categories at a time.

    Args:
        market: The fitted market.
        order: Numbers of the shop's products in it.
        bounds: (N,) lowest and highest prices, in the order of the shop.
        rule: One of `RULES`.
    """
    spec, value = market.spec, PlanValue(market.spec)
    low, high = np.empty((2, len(order)))
    low[order], high[order] = bounds
    category, planned = spec.category_index, value.planned
    weight = value.units(planned).sum(axis=0)
    share = weight / np.bincount(category, weight)[category]

    def path(factor: Array) -> Array:
        log = np.log(factor)
        if rule == "level":
            log = log - np.stack([np.bincount(category, row) for row in log * share])[:, category]
            log = np.clip(log, -_MOST, _MOST)
        return np.clip(planned.price * np.exp(log)[:, None], low, high)

    factor, place = np.ones(len(order)), np.array([(category[:n] == one).sum() for n, one in enumerate(category)])
    turns = ([place >= 0] if rule == "bounds" else []) + [place == k for k in range(place.max() + 1)]
    for grid in (*_GRIDS, _GRIDS[-1]):
        for turn in turns:
            trial = factor * np.where(turn, grid[:, None], 1.0)
            prices = path(trial)
            deal = prices < DEAL * prices.max(axis=1, keepdims=True)
            money = value.money(Plan(prices, np.broadcast_to(planned.feature, prices.shape), deal))
            factor = trial[money.argmax(axis=0)[category], np.arange(category.size)]
    return path(factor[None])[0][:, order]


def charged(shop: DealTruth, path: Array, ratio: Array) -> tuple[DealTruth, pd.DataFrame]:
    """The shop after four weeks of a path of its prices times the ratios of an experiment, and their calendar.

    Args:
        shop: The shop.
        path: (W, N) planned prices, the mean over the stores; the highest of each product is its regular price.
        ratio: (W, S, N) test price over planned price; 1 in the control arm.
    """
    weeks, regular = slice(shop.weeks, shop.weeks + len(path)), path.max(axis=0)
    level = shop.history.listed[shop.weeks] / shop.listed[shop.weeks]
    depth = shop.deals.depth[shop.weeks :].copy()
    depth[: len(path)] = 1 - path / regular
    listed = np.round(level * regular * ratio, 2)
    later = shop.charging(listed, depth, after=np.round(level * regular, 2))
    week, store, product = (index.ravel() for index in np.indices(listed.shape))
    usual = np.round(level * regular, 2)[store, product]
    day = pd.Timestamp("2022-01-03") + pd.to_timedelta(7 * (weeks.start + week), unit="D")
    place = np.array([f"store-{s + 1}" for s in store]) if listed.shape[1] > 1 else "all"
    tested = ratio[week, store, product] != 1
    columns = {"store": place, "week": day, "product": np.array(names(shop))[product], "group": "all"}
    columns |= {"arm": np.where(tested, "test", "control"), "price": listed[week, store, product]}
    return later, pd.DataFrame(columns | {"planned_price": usual}).assign(
        planned_price=lambda table: table["planned_price"].where(tested, table["price"])
    )


def _ratios(arm: str, market: FittedMarket, shop: DealTruth, order: Sequence[int], path: Array, seed: int) -> Array:
    """(W, S, N) test price over planned price by an experiment of the planner; 1 where none is worth it."""
    ratio = np.ones((WEEKS, shop.history.level.size, path.shape[1]))
    if arm == "never":
        return ratio
    price = np.empty_like(path)
    price[:, order] = path
    spec = market.spec.with_changes(history={"price": price})
    choice = "best" if arm == "planned" else "random"
    try:
        plan = plan_experiment(spec, shop_tables(shop), weeks=WEEKS, seed=seed, choice=choice)
    except ValueError as error:
        if "worth more than it costs" not in str(error):
            raise
        return ratio
    table = plan.calendar
    places = (
        (pd.to_datetime(table["week"]) - pd.to_datetime(table["week"]).min()).dt.days // 7,
        [0 if store == "all" else int(store.removeprefix("store-")) - 1 for store in table["store"]],
        pd.Index(names(shop)).get_indexer(table["product"]),
    )
    ratio[tuple(np.asarray(place) for place in places)] = table["price"] / table["planned_price"]
    return ratio


def _fitted(shop: DealTruth, settings: StudySettings, seed: int, weeks: int, **options: Any) -> FittedMarket:
    with tempfile.TemporaryDirectory() as folder:
        return fitted_files(write_files(shop, Path(folder)), settings, seed, weeks=weeks, **options)


def _widths(market: FittedMarket) -> dict[str, float]:
    """Mean width of the 90% interval of the response to regular prices: of the products' own, over the products, of one product
    within its category, and of a whole category, over the categories.
    """
    report = market.report
    intervals = {"own": [row["elasticity_interval90"] for row in report["price_response"]]}
    intervals |= {
        name: [row[f"{key}_interval90"] for row in report["regular_prices"]]
        for name, key in (("relative", "relative"), ("category", "total"))
    }
    return {name: float(np.diff(rows).mean()) for name, rows in intervals.items()}
