"""Synthetic shops with known customers, for checking what a recommendation really earns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data import Tables
from .deal_history import SIZE, draw_deal_history, is_chain
from .deal_responses import deal_parameters, draw_responses, draw_stocking_up
from .deals import DealTruth
from .families import DEALS, FAMILIES, STOCKPILING, draw_choices, draw_shocks, draw_traffic, weeks_of
from .history import draw_history
from .parameters import draw_parameters, generator
from .stocking_up import StockingUp
from .tables import shop_tables
from .truth import AHEAD, Truth


@dataclass(frozen=True)
class Shop(Truth):
    """A shop whose customers are known, and the tables that it leaves behind.

    Example:
        >>> shop = draw_shop("clean", seed=0, products=12)
        >>> best = shop.optimum(low=0.5 * shop.regular, high=1.3 * shop.regular)
        >>> shop.realised(best) > shop.realised(shop.regular)
        True
    """

    def tables(self) -> Tables:
        """The canonical tables, as `import_tables` returns them but for pseudonyms.

        Example:
            >>> draw_shop("clean", seed=0, products=12).tables().products.shape
            (12, 4)
        """
        return shop_tables(self)


@dataclass(frozen=True)
class DealShop(DealTruth, Shop):
    """A shop with deals, and its tables.

    Example:
        >>> shop = draw_shop("nested-deals", seed=0)
        >>> kept = shop.optimum(0.5 * shop.regular, 1.3 * shop.regular, calendar=False)
        >>> shop.realised(kept) > shop.realised(shop.own_prices())
        True
    """


def draw_shop(family: str, seed: int, products: int = 12, weeks: int | None = None) -> Shop:
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
    """
    if family not in FAMILIES:
        raise ValueError(f"truth must be one of {', '.join(FAMILIES)}; got '{family}'; choose one of them")
    parameters = draw_parameters(seed, products)
    length = weeks_of(family) if weeks is None else weeks
    if length < 1:
        raise ValueError(f"weeks must be 1 or more; got {length}; leave it out for the family's own")
    categories, whole = parameters.outside.size, length + AHEAD
    traffic = draw_traffic(family, categories, whole, generator(2, seed, products))
    lift = generator(5, seed, products).uniform(0.3, 0.8, products)
    if family in DEALS:
        parameters = deal_parameters(parameters, SIZE if is_chain(seed) else 1.0, generator(8, seed, products))
        stocking_up = draw_stocking_up(generator(7, seed, products))
        return DealShop(
            family=family,
            seed=seed,
            weeks=length,
            model=family,
            parameters=parameters,
            choices=(),
            traffic=traffic,
            shocks=np.ones((whole, categories)),
            history=draw_deal_history(parameters, seed, length, whole, generator(4, seed, products)),
            lift=lift,
            stocking_up=stocking_up,
            responses=draw_responses(family, parameters, stocking_up, generator(1, seed, products)),
        )
    shocks = draw_shocks(family, categories, whole, generator(3, seed, products))
    choices, model = draw_choices(family, parameters, generator(1, seed, products))
    return Shop(
        family=family,
        seed=seed,
        weeks=length,
        model=model,
        parameters=parameters,
        choices=choices,
        traffic=traffic,
        shocks=shocks,
        history=draw_history(family, parameters, shocks, generator(4, seed, products)),
        lift=lift,
        stocking_up=StockingUp.drawn(generator(7, seed, products)) if family == STOCKPILING else None,
    )
