"""The demand of each half of a shop's sales: prices are found by one half, and scored by the other.

What was estimated from some sales fits their noise too, and prices that are searched in such a market take that noise for
gain. Stores are halved, as the sales of all of them show the same weeks; the weeks of a few stores are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..data import with_prices
from ..data.panel.aggregation import WHOLE_SHOP
from ..data.weeks import YEAR_WEEKS
from .demand import FittedDemand, Problem, SalesGrids
from .demand.lasting_response import BLOCK_WEEKS
from .split import Split

LEAST_STORES = 8
"""With fewer stores, weeks are halved."""
_MONEY = ("revenue", "regular_revenue")
_COLUMNS = ["units", "price", "regular_price"]
# Between the seeds of both halves: draws are then no pairs.
_APART = 1_000


class HalvedDemand(NamedTuple):
    """The demand of two halves of the sales.

    Attributes:
        of: What was halved, `stores` or `weeks`; `draws` where there is too little of both.
        demands: That by which prices are found, and that by which they are scored; none where draws are halved.
        note: What it means for a market, in a sentence.
    """

    of: str
    demands: tuple[FittedDemand, ...]
    note: str


def halved_demand(problem: Problem, split: Split, whole: FittedDemand, draws: int, seed: int) -> HalvedDemand:
    """The demand of each half of the stores, of fewer than eight stores of alternating blocks of eight weeks.

    The candidate models are weighed by all sales; those in use are estimated anew.

    Args:
        problem: The demand problem of all sales.
        split: The sales.
        whole: Its posterior.
        draws: M, number of draws of all sales; each half has half as many.
        seed: Seed of the draws.

    Example:
        >>> halved_demand(problem, split, problem.solve(), draws=200, seed=0).of  # doctest: +SKIP
        'stores'
    """
    stores = _stores(split)
    weeks = len(problem.grids.weeks) // split.per_week
    if len(stores) >= LEAST_STORES and (problems := _by_stores(problem, split, stores)) is not None:
        of = "stores"
        both = f"{len(stores[0::2])} of the {len(stores)} stores"
        note = f"by the demand of {both}, and their gain is that by the demand of the other {len(stores[1::2])}"
    elif weeks >= YEAR_WEEKS:
        of = "weeks"
        problems = _by_weeks(problem, split)
        note = f"by the demand of every other block of {BLOCK_WEEKS} weeks, and their gain is that of the weeks between"
    else:
        return HalvedDemand("draws", (), _too_little(weeks))
    count = max(2, -(-draws // 2))
    demands = tuple(
        each.solve(draws=count, seed=seed + _APART * number, like=whole)
        for number, each in enumerate(problems, start=1)
    )
    return HalvedDemand(of, demands, f"Prices are searched, learned and chosen {note}; all else is by all sales.")


def _too_little(weeks: int) -> str:
    return (
        f"The sales cover {weeks} weeks of fewer than {LEAST_STORES} stores, too little to be halved: prices are chosen on half "
        "of the posterior draws and scored on the other half, but both come from the same sales."
    )


def _stores(split: Split) -> list[str]:
    """The stores that sold anything, those of a zone together, by their units; none where the sales name no stores."""
    panel = split.past_stores
    if panel is None or WHOLE_SHOP in panel.indexes["store"]:
        return []
    sold = panel["units"].sum(["week", "product"]).to_series().sort_values(ascending=False, kind="stable")
    zones = _zone_of(split)
    names = sold.index.astype(str)
    # A store of no zone tells of regular prices alone.
    order = sorted(range(len(names)), key=lambda i: zones.get(names[i], ""))
    return [names[i] for i in order]


def _zone_of(split: Split) -> dict[str, str]:
    if split.zone is None:
        return {}
    return {str(store): name for name, stores in split.zone.stores.items() for store in stores}


# Half of the stores.


def _by_stores(problem: Problem, split: Split, stores: Sequence[str]) -> list[Problem] | None:
    """The problems of both halves; None where one would have no store of the zone whose sales are added up."""
    problems = list[Problem]()
    panel = split.past_stores
    assert panel is not None, "it names its stores"
    for own in (stores[0::2], stores[1::2]):
        here = panel.sel(store=own)
        grids = _grids(problem, split, here)
        if grids is None:
            return None
        problems.append(replace(problem, grids=grids, stores=here))
    return problems


def _grids(problem: Problem, split: Split, here: xr.Dataset) -> SalesGrids | None:
    """The sales of some stores in the places that the problem tells apart."""
    names = here.indexes["store"]
    products = list(problem.products["product"])
    if len(problem.grids.stores) == 1:
        own = (
            here
            if split.zone is None
            else here.sel(store=names.isin(list(map(str, split.zone.stores[split.zone.name]))))
        )
        return SalesGrids.of(_added_up(split.past, own), products) if own.sizes["store"] else None
    if split.zone is None:
        return problem.grids.of_stores(names)
    return SalesGrids.of(split.past, products, _in_zones(split, here))


def _added_up(past: pd.DataFrame, own: xr.Dataset) -> pd.DataFrame:
    """The panel with the units and prices of some stores together."""
    sold = with_prices(own.sum("store"))[_COLUMNS].to_dataframe()[_COLUMNS].reset_index()
    rows = past[["week", "product"]].merge(sold, on=["week", "product"], how="left").set_index(past.index)
    return past.assign(**{name: rows[name].fillna(past[name]) for name in _COLUMNS})


def _in_zones(split: Split, here: xr.Dataset) -> xr.Dataset:
    """The sales of some stores by zone, at the price level of all of the zone's."""
    whole = split.past_places
    stores = split.past_stores
    zones = _zone_of(split)
    assert whole is not None, "zones are told apart"
    assert stores is not None, "so are their stores"

    def together(panel: xr.Dataset) -> xr.Dataset:
        own = panel.sel(store=[str(name) in zones for name in panel.indexes["store"]])
        summed = own.assign_coords(store=[zones[str(name)] for name in own.indexes["store"]]).groupby("store").sum()
        return summed.transpose(*panel["units"].dims)

    part = together(here)
    every = together(stores)
    names = [name for name in whole.indexes["store"] if name in part.indexes["store"]]
    part = part.sel(store=names)
    level = {name: whole[name].sum("week") / every[name].sum("week") for name in _MONEY}
    part = with_prices(part.assign({name: part[name] * level[name].fillna(1.0) for name in _MONEY}))
    # Displays and stock-outs are known by zone.
    known = whole.sel(store=names)
    return part.assign({name: known[name] for name in known.data_vars if name not in stores.data_vars})


# Half of the weeks.


def _by_weeks(problem: Problem, split: Split) -> Iterator[Problem]:
    """The problems of alternating blocks of weeks, counted from the last week on, as those of regular prices are."""
    weeks = problem.grids.weeks
    block = np.arange(len(weeks))[::-1] // (BLOCK_WEEKS * split.per_week)
    for counts in (block % 2 == 0, block % 2 == 1):
        yield replace(problem, stores=_in_weeks(problem.stores, weeks[counts]), counts=counts)


def _in_weeks(stores: xr.Dataset | None, weeks: pd.DatetimeIndex) -> xr.Dataset | None:
    return None if stores is None else stores.sel(week=stores.indexes["week"].isin(weeks))
