"""Synthetic shops with known customers, for checking what a recommendation really earns."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy import stats

from ...data import Tables, import_tables
from ...fitting import Assumptions, FittedMarket, fit
from ...forecasting import candidates
from .choice import StockingUp
from .deals import EXTRA, DealTruth, chain_of, deal_parameters, draw_deal_history, draw_responses
from .history import DEALS, FAMILIES, STOCKPILING, draw_choices, draw_history, draw_shocks, draw_traffic, weeks_of
from .parameters import Array, draw_parameters, generator
from .settings import StudySettings
from .truth import AHEAD, Truth

FIRST_DAY = pd.Timestamp("2022-01-03")
_CUSTOMERS = 300
_SHORT_SUPPLY = 0.12
_SUPPLY = (0.3, 1.0)
_AMPLE = 2.5
_WIDENING = {"free": None, "charged": 0.0, "charged+10%": 0.1, "charged+20%": 0.2}
_KEY = b"pseudonyms of a synthetic shop"


def draw_shop(family: str, seed: int, products: int = 12, weeks: int | None = None) -> Truth:
    """Draw a shop; the same arguments give the same shop.

    Args:
        family: One of `FAMILIES`.
        seed: Selects the shop; the families of a seed share their parameters.
        products: 12 in 2 categories, or 30 in 5.
        weeks: Weeks of history; by default 104, for `short` 40.

    Raises:
        ValueError: The family or the number of products is unknown, or there are too few weeks.

    Example:
        >>> draw_shop("misspecified", seed=1).model
        'constant-elasticity'
        >>> shop = draw_shop("nested-deals", seed=0)
        >>> kept = shop.optimum(0.5 * shop.regular, 1.3 * shop.regular, calendar=False)
        >>> shop.realised(kept) > shop.realised(shop.own_prices())
        True
    """
    if family not in FAMILIES:
        raise ValueError(f"truth must be one of {', '.join(FAMILIES)}; got '{family}'; choose one of them")
    parameters = draw_parameters(seed, products)
    length = weeks_of(family) if weeks is None else weeks
    if length < 1:
        raise ValueError(f"weeks must be 1 or more; got {length}; leave it out for the family's own")
    categories = parameters.outside.size
    whole = length + AHEAD

    def part(number: int) -> Generator:
        return generator(number, seed, products)

    given: dict[str, Any] = {
        "family": family,
        "seed": seed,
        "weeks": length,
        "traffic": draw_traffic(family, categories, whole, part(2)),
        "lift": part(5).uniform(0.3, 0.8, products),
    }
    if family in DEALS:
        chain = chain_of(family, seed)
        parameters = deal_parameters(family, parameters, chain.size, part(8))
        stocking_up = StockingUp.drawn(part(7), EXTRA)
        responses = draw_responses(family, parameters, stocking_up, part(1))
        history = draw_deal_history(chain, parameters, seed, length, whole, part(4))
        given |= {"choices": (), "shocks": np.ones((whole, categories)), "stocking_up": stocking_up}
        return DealTruth(model=family, parameters=parameters, history=history, responses=responses, **given)
    shocks = draw_shocks(family, categories, whole, part(3))
    choices, model = draw_choices(family, parameters, part(1))
    history = draw_history(family, parameters, shocks, part(4))
    stocking_up = StockingUp.drawn(part(7)) if family == STOCKPILING else None
    given |= {"choices": choices, "shocks": shocks, "stocking_up": stocking_up}
    return Truth(model=model, parameters=parameters, history=history, **given)


# The sales and other tables that a synthetic shop leaves behind.


def shop_tables(truth: Truth) -> Tables:
    """The canonical tables, as `import_tables` returns them but for pseudonyms: one row per product, week and, where there
    are any, store and customer, and what the family adds.

    Example:
        >>> shop_tables(draw_shop("clean", seed=0, products=12)).products.shape
        (12, 4)
    """
    random = generator(6, truth.seed, truth.regular.size)
    means = mean_units(truth)
    shape = 1 / truth.parameters.dispersion
    charged = truth.charged if isinstance(truth, DealTruth) else 0
    past = means[: len(means) - charged]
    # Poisson draws with a gamma multiplier by product, store and week.
    multiplier = random.gamma(shape, 1 / shape, (*past.shape[:2], 1, past.shape[3]))
    demand = random.poisson(past * multiplier).astype(np.float64)
    if charged:
        # The same customers at any prices: what differs in the sales is what prices do.
        later = generator(10, truth.seed, truth.regular.size)
        of = means[len(past) :]
        multiplier = later.gamma(shape, 1 / shape, of.shape)
        demand = np.concatenate([demand, stats.poisson.ppf(later.random(of.shape), of * multiplier)])
    stock = None
    if truth.family == "scarce":
        available = _available(means, random)
        demand = np.minimum(demand, available)
        stock = _stock(truth, (available - demand)[:, 0, 0])
    return Tables(
        sales=_sales(truth, demand, random),
        products=_products(truth),
        stock=stock,
        promotions=_promotions(truth) if truth.history.display.any() else None,
        plan=_plan(truth) if not isinstance(truth, DealTruth) or truth.deals.planned else None,
    )


def names(truth: Truth) -> list[str]:
    """Ids of the products, in the order of the truth."""
    return [f"product-{number + 1:02d}" for number in range(truth.regular.size)]


def mean_units(truth: Truth) -> Array:
    """(T, S, K, N) expected units of the history by store and segment, given its demand shocks."""
    if isinstance(truth, DealTruth):
        return truth.history_units()[:, :, None]
    history = truth.history
    weeks = np.arange(truth.weeks, dtype=np.float64)
    by_category = []
    for number, choice in enumerate(truth.choices):
        own = truth.parameters.category == number
        utility = (history.display * truth.lift + history.shock)[: truth.weeks, own]
        customers = truth.parameters.arrivals[number] * (truth.traffic * truth.shocks)[: truth.weeks, number]
        of_stores = np.moveaxis(history.prices[: truth.weeks][..., own], 1, 0)
        pairs = zip(history.level, of_stores, strict=True)
        stores = [level * choice.by_segment(prices, weeks, utility, 1.0) for level, prices in pairs]
        by_category.append(customers[:, None, None, None] * np.stack(stores, axis=1))
    wanted = np.concatenate(by_category, axis=-1)
    if truth.stocking_up is None:
        return wanted
    reduction = 1 - history.prices[: truth.weeks] / truth.regular
    # Weeks are the second axis from the end there.
    return np.moveaxis(truth.stocking_up.units(np.moveaxis(wanted, 0, -2), np.moveaxis(reduction, 0, -2))[0], -2, 0)


def _available(means: Array, random: Generator) -> Array:
    """Stock of each week: usually ample, sometimes less than what usually sells."""
    usual = means.mean(axis=0, keepdims=True)
    short = random.random(means.shape) < _SHORT_SUPPLY
    share = np.where(short, random.uniform(*_SUPPLY, means.shape), _AMPLE)
    return np.ceil(usual * share)


def _days(weeks: np.ndarray) -> pd.DatetimeIndex:
    return FIRST_DAY + pd.to_timedelta(7 * weeks, unit="D")


def _sales(truth: Truth, units: Array, random: Generator) -> pd.DataFrame:
    week, store, segment, product = np.nonzero(units)
    sold = units[week, store, segment, product]
    columns = {
        "date": _days(week),
        "product": np.array(names(truth), dtype=object)[product],
        "units": sold,
        "price_paid": truth.history.prices[week, store, product],
        "regular_price": truth.history.listed[week, store, product],
    }
    if truth.family == "endogenous":
        columns["unit_cost"] = truth.history.unit_cost[week, product]
    if isinstance(truth, DealTruth):
        reduction = columns["regular_price"] - columns["price_paid"]
        # As `import_tables` does for files without regular prices.
        columns["regular_price"] = columns["price_paid"]
        if truth.deals.funding:
            columns["unit_cost"] = np.round(truth.history.unit_cost[week, product] - truth.deals.funding * reduction, 2)
    if units.shape[1] > 1:
        columns["store"] = _store_names(units.shape[1])[store]
    table = pd.DataFrame(columns)
    return table if units.shape[2] == 1 else _by_customer(table, segment, random)


def _by_customer(table: pd.DataFrame, segment: np.ndarray, random: Generator) -> pd.DataFrame:
    """One row per customer: each unit is bought by one of the segment's customers."""
    count = table["units"].to_numpy(dtype=int)
    rows = table.loc[np.repeat(table.index, count)].reset_index(drop=True)
    members = np.array_split(np.arange(_CUSTOMERS), segment.max() + 1)
    buyer = np.empty(len(rows), dtype=int)
    bought = np.repeat(segment, count)
    for number, ids in enumerate(members):
        lines = bought == number
        buyer[lines] = random.choice(ids, int(lines.sum()), p=random.dirichlet(np.full(ids.size, 2.0)))
    buyers = np.array([f"customer-{n:03d}" for n in range(_CUSTOMERS)], dtype=object)[buyer]
    rows = rows.assign(units=1.0, customer=buyers)
    keys = [str(column) for column in rows if column != "units"]
    return rows.groupby(keys, as_index=False).agg({"units": "sum"})[[str(column) for column in rows]]


def _products(truth: Truth) -> pd.DataFrame:
    category = [f"category-{number + 1}" for number in truth.parameters.category]
    shown = [name.replace("-", " ") for name in names(truth)]
    return pd.DataFrame({"product": names(truth), "category": category, "name": shown, "unit_cost": truth.unit_cost})


def _by_week(truth: Truth, rows: np.ndarray, first: int = 0) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """Columns with week and product of each cell of a mask (weeks, N), and the cells."""
    week, product = cells = np.nonzero(rows)
    return {"date": _days(first + week), "product": np.array(names(truth), dtype=object)[product]}, cells


def _stock(truth: Truth, left: Array) -> pd.DataFrame:
    """The count at the end of each week."""
    columns, cells = _by_week(truth, np.ones_like(left))
    return pd.DataFrame(columns | {"date": columns["date"] + pd.Timedelta(days=6), "on_hand": left[cells]})


def _plan(truth: Truth) -> pd.DataFrame:
    """The prices that the shop would charge by its own rule after the tables end."""
    prices = truth.own_prices(horizon=AHEAD)
    shown = truth.history.display[truth.weeks :] & isinstance(truth, DealTruth)
    columns, cells = _by_week(truth, np.ones_like(prices), truth.weeks)
    return pd.DataFrame(columns | {"price": prices[cells], "promotion": 1.0 * shown[cells]})


def _store_names(count: int) -> np.ndarray:
    return np.array([f"store-{number + 1}" for number in range(count)], dtype=object)


def _promotions(truth: Truth) -> pd.DataFrame:
    """The displays of the whole shop or, where stores sit out deals, of each store."""
    shown = truth.history.display[: truth.weeks]
    if isinstance(truth, DealTruth) and truth.deals.sat_out.any():
        week, store, product = np.nonzero(shown[:, None] & ~truth.deals.sat_out[: truth.weeks])
        columns = {"date": _days(week), "product": np.array(names(truth), dtype=object)[product]}
        columns["store"] = _store_names(truth.history.level.size)[store]
    else:
        columns, _ = _by_week(truth, shown)
    days = columns.pop("date")
    return pd.DataFrame({"start_date": days, "end_date": days + pd.Timedelta(days=6)} | columns | {"kind": "display"})


# From a shop's files to a recommendation, as a user gets there: import, fit, train, evaluate.


def write_files(shop: Truth, folder: Path) -> dict[str, Path]:
    """Write the shop's tables as CSV files.

    Args:
        folder: Where to; it must exist.

    Returns:
        The file of each table.

    Example:
        >>> import tempfile
        >>> from repricer.benchmarks.uplift import draw_shop
        >>> sorted(write_files(draw_shop("promoted", seed=0), Path(tempfile.mkdtemp())))
        ['plan', 'products', 'promotions', 'sales']
    """
    tables = shop_tables(shop)
    paths = {}
    for name in (field.name for field in fields(Tables)):
        table = getattr(tables, name)
        if table is not None:
            paths[name] = folder / f"{name}.csv"
            unknown = ["regular_price"] if shop.family in DEALS and name == "sales" else []
            table.drop(columns=unknown).to_csv(paths[name], index=False)
    return paths


def imported(paths: dict[str, Path]) -> Tables:
    """The tables in the files of a shop; no row may be rejected."""
    tables, report = import_tables(paths, key=_KEY)
    assert not len(report.rejects), f"a synthetic shop must import whole; got rejects: {report.lines()}"
    return tables


def fitted_files(paths: dict[str, Path], settings: StudySettings, seed: int, **options: Any) -> FittedMarket:
    """Import the files of a shop and fit a market on all of its products: the defaults of `fit`, but the shop has no
    personal discounts and recommends nothing.

    Args:
        paths: The files, by table.
        settings: Price bounds and forecaster.
        seed: Of the fit.
        options: Further arguments of `fit`.

    Raises:
        ValueError: The import rejects a row, or there is no market to fit.
    """
    tables = imported(paths)
    assumed: dict[str, Any] = {"max_discount": 0.0, "recommendation_lift": 0.0}
    if settings.bounds != "default":
        assumed |= {"lowest_price": 0.5, "highest_price": 1.3, "price_widening": _WIDENING[settings.bounds]}
        assumed["max_step"] = None
    forecaster = candidates(seed=seed).get(settings.forecaster)
    assumptions = Assumptions(**assumed)
    options |= {"assumptions": assumptions, "seed": seed, "forecaster": forecaster}
    return fit(tables, tables.products, name="shop", **options)
