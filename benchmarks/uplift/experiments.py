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
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from ...agents.posterior.deals import DEAL, Plan, PlanValue
from ...data import Tables, load_experiments
from ...fitting import FittedMarket, refit
from ...fitting.refit import Refit
from ...jobs import Place
from ...planning.experiments.plan import plan_experiment
from ...scenarios import MarketSpec
from .deals import DealTruth
from .parameters import Array
from .settings import StudySettings
from .shop import FIRST_DAY, draw_shop, fitted_files, imported, names, shop_tables, write_files
from .study import displayed, run_shops, weeks_of

WEEKS = 4
AFTER = 22
ARMS = ("never", "planned", "random", "varied")
"""No experiment; the planner's; one of its size drawn at random; and all prices moved at random by store and week."""
_STEP = 0.1
_GRIDS = np.linspace(0.8, 1.6, 17), np.linspace(0.96, 1.04, 9), np.linspace(0.96, 1.04, 9)


def run_experiments(
    settings: StudySettings, seeds: Iterable[int], out: Path, *, place: Place, firm: bool = False
) -> list[dict[str, Any]]:
    """What `compare_arms` finds of some shops, except those whose results lie in a folder already.

    Args:
        settings: How the shops are drawn and fitted.
        seeds: One per shop.
        out: Folder of the results.
        place: Where the shops are compared.
        firm: As for `compare_arms`.

    Example:
        >>> run_experiments(StudySettings("regular-and-deal"), [0], Path("runs/uplift"), place=Place())  # doctest: +SKIP
    """
    return run_shops(f"{__name__}:compared", settings, seeds, out, place=place, firm=firm)


def compared(inputs: dict[str, Any], _: Path) -> dict[str, Any]:
    """The result of one shop, as a job; it keeps nothing for a second start."""
    with joblib.parallel_config(backend="sequential"):
        return compare_arms(StudySettings(**inputs["settings"]), inputs["seed"], firm=inputs["firm"])


def compare_arms(settings: StudySettings, seed: int, *, firm: bool = False) -> dict[str, Any]:
    """What a shop earns in 26 weeks by each of `ARMS`.

    Args:
        settings: How the shop is drawn and fitted; of a family with deals.
        seed: Selects the shop, and seeds fits and experiments.
        firm: Whether test prices keep the bounds that come from the sales, too, as recommended prices do; the planner may
            leave these.

    Returns:
        By arm, `earned` in 26 weeks, `first`, that of the four weeks, `tested`, the number of tested products, and
        `interval`, mean widths of 90% intervals: of the `own` response of the products to regular prices, the `relative` one
        within a category, and that of a whole `category`; `refused`, why the planner plans none, so that there is none; and
        `cpu_seconds`, as plain data for JSON.

    Example:
        >>> compare_arms(StudySettings("regular-and-deal"), seed=0)["tested"]["never"]  # doctest: +SKIP
        0
    """
    started = time.process_time()
    shop = draw_shop(settings.truth, seed, settings.products, settings.weeks)
    assert isinstance(shop, DealTruth), "the family has deals"
    with tempfile.TemporaryDirectory() as folder:
        first = fitted_files(write_files(shop, Path(folder)), settings, seed, weeks=WEEKS + AFTER)
    rules = first.spec.guardrails
    order = [first.spec.products.names.index(name) for name in displayed(shop)]
    bounds = tuple(np.asarray(bound, np.float64)[order] for bound in (rules.low, rules.high))
    path = recommended(first.spec, order, bounds)
    row: dict[str, Any] = {"seed": seed, "stores": shop.history.level.size}
    row |= {name: {} for name in ("earned", "first", "interval", "tested", "refused")}
    for arm in ARMS:
        try:
            ratio = _ratios(arm, first, shop, order, path, seed, firm=firm)
        except ValueError as error:
            ratio, row["refused"][arm] = np.ones((WEEKS, shop.history.level.size, len(order))), str(error)
        later, calendar = charged(shop, path[:WEEKS], ratio)
        with tempfile.TemporaryDirectory() as folder:
            calendar.to_csv(Path(folder) / "calendar.csv", index=False)
            Path(folder, "plan.json").write_text(json.dumps({"washout_days": 0}), encoding="utf-8")
            tables = replace(_imported(later), experiments=load_experiments([folder]))
        again = refit(tables, first.report["refit"], weeks=AFTER)
        then = recommended(again.spec, order, bounds)
        horizon = weeks_of(again.spec)
        row["first"][arm] = later.earned()
        row["earned"][arm] = later.earned() + later.realised(then, first=horizon[0], horizon=len(horizon))
        row["interval"][arm] = _widths(again)
        row["tested"][arm] = int((ratio != 1).any(axis=(0, 1)).sum())
    return row | {"cpu_seconds": time.process_time() - started}


def recommended(spec: MarketSpec, order: Sequence[int], bounds: tuple[Array, ...]) -> Array:
    """(T, N) planned prices times the factor of each product that earns the most in the mean market, products in the order
    of the shop: by coordinate ascent, all categories at a time.

    Args:
        spec: The fitted market.
        order: Numbers of the shop's products in it.
        bounds: (N,) lowest and highest prices, in the order of the shop.

    Example:
        >>> recommended(fitted.spec, range(12), (low, high)).shape  # doctest: +SKIP
        (26, 12)
    """
    value = PlanValue(spec)
    category = spec.category_index
    planned = value.planned
    low, high = np.empty((2, len(order)))
    low[order], high[order] = bounds
    factor = np.ones(len(order))
    place = np.array([(category[:n] == one).sum() for n, one in enumerate(category)])
    for grid in _GRIDS:
        for turn in (place >= 0, *(place == k for k in range(place.max() + 1))):
            trial = factor * np.where(turn, grid[:, None], 1.0)
            prices = np.clip(planned.price * trial[:, None], low, high)
            deal = prices < DEAL * prices.max(axis=1, keepdims=True)
            money = value.money(Plan(prices, np.broadcast_to(planned.feature, prices.shape), deal))
            factor = trial[money.argmax(axis=0)[category], np.arange(category.size)]
    return np.clip(planned.price * factor, low, high)[:, order]


def charged(shop: DealTruth, path: Array, ratio: Array) -> tuple[DealTruth, pd.DataFrame]:
    """The shop after four weeks of a path of its prices times the ratios of an experiment, and their calendar.

    Args:
        shop: The shop.
        path: (W, N) planned prices, the mean over the stores; the highest of each product is its regular price.
        ratio: (W, S, N) test price over planned price; 1 in the control arm.

    Example:
        >>> shop = draw_shop("regular-and-deal", seed=0)
        >>> later, calendar = charged(shop, shop.own_prices(horizon=4), np.full((4, 1, 12), 1.1))
        >>> later.weeks - shop.weeks, calendar["arm"].unique().tolist()
        (4, ['test'])
    """
    weeks = slice(shop.weeks, shop.weeks + len(path))
    regular = path.max(axis=0)
    level = shop.history.listed[shop.weeks] / shop.listed[shop.weeks]
    depth = shop.deals.depth[shop.weeks :].copy()
    depth[: len(path)] = 1 - path / regular
    listed = np.round(level * regular * ratio, 2)
    later = shop.charging(listed, depth, after=np.round(level * regular, 2))
    week, store, product = (index.ravel() for index in np.indices(listed.shape))
    usual = np.round(level * regular, 2)[store, product]
    day = FIRST_DAY + pd.to_timedelta(7 * (weeks.start + week), unit="D")
    place = np.array([f"store-{s + 1}" for s in store]) if listed.shape[1] > 1 else "all"
    tested = ratio[week, store, product] != 1
    columns = {"store": place, "week": day, "product": np.array(names(shop))[product], "group": "all"}
    columns |= {"arm": np.where(tested, "test", "control"), "price": listed[week, store, product]}
    return later, pd.DataFrame(columns | {"planned_price": usual}).assign(
        planned_price=lambda table: table["planned_price"].where(tested, table["price"])
    )


def _ratios(
    arm: str, market: FittedMarket, shop: DealTruth, order: Sequence[int], path: Array, seed: int, *, firm: bool
) -> Array:
    """(W, S, N) test price over planned price. Raises ValueError where the planner plans no experiment."""
    ratio = np.ones((WEEKS, shop.history.level.size, path.shape[1]))
    if arm == "never":
        return ratio
    if arm == "varied":
        half = np.repeat([1 - _STEP, 1 + _STEP], ratio.shape[2] // 2)
        return np.random.default_rng(seed).permuted(np.broadcast_to(half, ratio.shape), axis=2)
    price = np.empty_like(path)
    price[:, order] = path
    spec = market.spec.with_changes(plan={"price": price})
    if firm:
        spec = spec.with_changes(prices={"bounds_from_sales": ()})
    choice = "best" if arm == "planned" else "random"
    plan = plan_experiment(spec, shop_tables(shop), weeks=WEEKS, seed=seed, choice=choice)
    table = plan.calendar
    places = (
        (pd.to_datetime(table["week"]) - pd.to_datetime(table["week"]).min()).dt.days // 7,
        [0 if store == "all" else int(store.removeprefix("store-")) - 1 for store in table["store"]],
        pd.Index(names(shop)).get_indexer(pd.Index(table["product"])),
    )
    ratio[tuple(np.asarray(place) for place in places)] = table["price"] / table["planned_price"]
    return ratio


def _imported(shop: DealTruth) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        return imported(write_files(shop, Path(folder)))


def _widths(market: Refit) -> dict[str, float]:
    """Mean width of the 90% interval of the response to regular prices: of the products' own, over the products, of one product
    within its category, and of a whole category, over the categories.
    """
    intervals = {"own": [row["elasticity_interval90"] for row in market.price_response]}
    for name, key in (("relative", "relative"), ("category", "total")):
        intervals[name] = [row[f"{key}_interval90"] for row in market.regular_prices]
    return {name: float(np.diff(rows).mean()) for name, rows in intervals.items()}
