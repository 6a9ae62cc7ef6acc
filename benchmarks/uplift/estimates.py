"""What a chain's sales tell of its customers' response to regular prices, beside the true response: with the weeks in which
most of its stores are on deal left out, as `fitting.demand.lasting_response` does, and without that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import xarray as xr

from ...fitting.demand import Problem, SalesGrids, between_stores
from ...fitting.split import Split, held_out, regular_price, weeks_to_come
from ...jobs import Place
from .deals import DealTruth
from .history import CHAIN_DEALS
from .parameters import Array
from .settings import StudySettings
from .shop import draw_shop, imported, names, write_files
from .study import OnShop, run_shops

_HOLDOUT = 12
_AHEAD = 12
_MANY = 1e5
"""Times as many customers, so that half a unit, which the estimate adds, is nothing."""


def run_estimates(
    settings: StudySettings,
    seeds: Iterable[int],
    out: Path,
    *,
    place: Place = Place(),  # noqa: B008  it is frozen
    on_shop: OnShop = lambda row, done, total: None,
) -> list[dict[str, Any]]:
    """What `estimate_shop` finds of some shops, except those whose results lie in a folder already.

    Args:
        settings: How the shops are drawn.
        seeds: One per shop.
        out: Folder of the results.
        place: Where the shops are estimated.
        on_shop: As for `run_study`.

    Raises:
        ValueError: The family is another one, or there are no shops.

    Example:
        >>> run_estimates(StudySettings("chain-deals"), range(24), Path("runs/uplift"))  # doctest: +SKIP
    """
    if settings.truth != CHAIN_DEALS:
        raise ValueError(
            f"truth must be {CHAIN_DEALS}, whose stores sit out deals; got '{settings.truth}'; "
            "take run_study for other families"
        )
    return run_shops(f"{__name__}:estimated", settings, seeds, out, place=place, on_shop=on_shop)


def estimated(inputs: dict[str, Any], _: Path) -> dict[str, Any]:
    """The result of one shop, as a job; it keeps nothing for a second start."""
    with joblib.parallel_config(backend="sequential"):
        return estimate_shop(StudySettings(**inputs["settings"]), inputs["seed"])


def estimate_shop(settings: StudySettings, seed: int, *, draws: int = 200) -> dict[str, Any]:
    """The true response of a shop's customers to regular prices, and what its sales tell of it.

    Args:
        settings: How the shop is drawn.
        seed: Selects the shop, and seeds the posterior.
        draws: Number of draws of the posterior.

    Returns:
        By category, elasticities of a product's share between stores: `true`, `estimate`, and `without`, the estimate if the
        chain's deals were not left out. Of all products, weighed by units at regular prices, the own-price elasticity:
        `response`, its true mean, `interval90`, that of the fitted demand, and whether that is `covered`. All as plain
        data for JSON, with the settings and `cpu_seconds`.

    Example:
        >>> estimate_shop(StudySettings("chain-deals"), seed=0)["covered"]  # doctest: +SKIP
        True
    """
    started = time.process_time()
    shop = draw_shop(settings.truth, seed, settings.products, settings.weeks)
    assert isinstance(shop, DealTruth), "the family has deals"
    split = split_of(shop)
    row: dict[str, Any] = {"seed": seed, **settings.to_dict(), **by_category(shop, split)}
    weight = shop.parameters.units / shop.parameters.units.sum()
    response = -float(weight @ shop.parameters.elasticity)
    drawn = _elasticities(shop, split, draws, seed) @ weight
    low, high = np.quantile(drawn, [0.05, 0.95]).tolist()
    row |= {"response": response, "interval90": [low, high], "covered": low <= response <= high}
    return row | {"cpu_seconds": time.process_time() - started}


def split_of(shop: DealTruth) -> Split:
    """The shop's sales as `fit` takes them, from its files.

    Example:
        >>> split_of(draw_shop("chain-deals", seed=0, weeks=60)).past_stores.sizes["store"]
        24
    """
    with tempfile.TemporaryDirectory() as folder:
        tables = imported(write_files(shop, Path(folder)))
    assert tables.products is not None, "every shop has a table of products"
    return weeks_to_come(tables, held_out(tables, tables.products, _HOLDOUT), _AHEAD)


def by_category(shop: DealTruth, split: Split) -> dict[str, list[float]]:
    """Elasticities of a product's share between stores, as `estimate_shop` returns them.

    Args:
        shop: The shop.
        split: Its sales.

    Example:
        >>> shop = draw_shop("chain-deals", seed=0, weeks=60)
        >>> found = by_category(shop, split_of(shop))
        >>> found["without"] < found["true"]
        True
    """
    assert split.past_stores is not None, "the shop is a chain"
    found: dict[str, list[float]] = {"true": [], "estimate": [], "without": []}
    for number in range(len(shop.responses)):
        own = [names(shop)[product] for product in np.flatnonzero(shop.parameters.category == number)]
        found["true"].append(_between_stores(_at_regular_prices(shop, number, own), own))
        found["estimate"].append(_between_stores(split.past_stores, own))
        found["without"].append(_between_stores(split.past_stores, own, without_chain_deals=False))
    return found


def _between_stores(panel: xr.Dataset, products: Sequence[str], *, without_chain_deals: bool = True) -> float:
    """The mean over the definitions of a deal."""
    found = between_stores(panel, products, without_chain_deals=without_chain_deals)
    return float(np.mean([each.value for each in found]))


def _at_regular_prices(shop: DealTruth, number: int, products: Sequence[str]) -> xr.Dataset:
    """What a category would sell, by store and on average, if it had no deals: what is estimated of it weighs stores and
    products by how much their regular prices moved.
    """
    own = shop.parameters.category == number
    history = shop.deals
    listed = np.moveaxis(history.listed[: shop.weeks][..., own], 1, 0)
    regular = np.log(listed / history.base[:, own][:, None])
    none = np.zeros_like(regular[0])
    stores = zip(history.level, history.sensitivity, regular, strict=True)
    bought = [level * shop.responses[number].bought(logs, none, none, factor) for level, factor, logs in stores]
    values = {"units": _MANY * np.stack(bought), "price": listed, "regular_price": listed}
    grids = {name: (("store", "week", "product"), value) for name, value in values.items()}
    return xr.Dataset(grids, coords={"product": list(products)})


def _elasticities(shop: DealTruth, split: Split, draws: int, seed: int) -> Array:
    """(M, N) draws of the own-price elasticities of the fitted demand, products in the order of the shop."""
    order = list(split.products["product"])
    problem = Problem(
        SalesGrids.of(split.past, order, split.past_places),
        split.products,
        regular_price(split.past)[order].to_numpy(dtype=np.float64),
        stores=split.past_stores,
    )
    found = problem.solve(draws=draws, seed=seed).elasticity
    return found[:, [order.index(name) for name in names(shop)]]


def summarise_estimates(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over some shops.

    Args:
        rows: Results of `estimate_shop`.

    Returns:
        `shops`; over all of their categories, the mean `true` elasticity between stores, `error` and `error_without`, the mean
        absolute errors of the estimates with the rule and without it, and `bias` and `bias_without`, the mean errors, negative where
        customers seem to mind prices more than they do; the number of shops `covered`; and `cpu_seconds` per shop.

    Example:
        >>> row = {"true": [-2.0], "estimate": [-2.1], "without": [-3.5], "covered": True, "cpu_seconds": 9.0}
        >>> round(summarise_estimates([row])["error_without"], 2)
        1.5
    """
    true, estimate, without = (np.concatenate([row[name] for row in rows]) for name in ("true", "estimate", "without"))
    return {
        "shops": len(rows),
        "true": float(true.mean()),
        "error": float(np.abs(estimate - true).mean()),
        "bias": float((estimate - true).mean()),
        "error_without": float(np.abs(without - true).mean()),
        "bias_without": float((without - true).mean()),
        "covered": sum(row["covered"] for row in rows),
        "cpu_seconds": float(np.mean([row["cpu_seconds"] for row in rows])),
    }
