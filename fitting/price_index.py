"""The basket index of a market's prices: what a year's customers bought, at the shop's prices and at reference prices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.schema import COMPETITOR_PRICE
from ..data.weeks import YEAR_WEEKS
from .shop_rules import IndexRule
from .split import Split, grid_of

Array = NDArray[np.float64]
REFERENCES = {"rival": "last_rival_price", "month": "month_ago_price", "year": "year_ago_price"}
"""The references of the index, and the field of the section `past` with the prices of each."""
UNITS = "basket_units"
_MONTH_WEEKS = 4


def basket_columns(split: Split) -> dict[str, Array]:
    """The basket of a split's products and its reference prices.

    Args:
        split: The past, and the weeks that the market simulates.

    Returns:
        `basket_units`, (N,) units sold in the last 52 weeks or in all there are, and by the names in `REFERENCES` (N,)
        prices, currency per unit, 0 where not known: the competing price last known, and what was charged in the week
        that began 28, and 364, days before the first one to simulate.

    Example:
        >>> basket_columns(split)["basket_units"]  # doctest: +SKIP
        array([812., 145.])
    """
    ids = split.products["product"]
    price, units = (grid_of(split.past, name, ids) for name in ("price", "units"))

    def ago(weeks: int) -> Array:
        rows = weeks * split.per_week
        return np.nan_to_num(price[-rows]) if rows <= len(price) else np.zeros(len(ids))

    found = {UNITS: np.nansum(units[-YEAR_WEEKS * split.per_week :], axis=0)}
    rival = past_rival_price(split)
    found[REFERENCES["rival"]] = np.zeros(len(ids)) if rival is None else rival[-1]
    return found | {"month_ago_price": ago(_MONTH_WEEKS), "year_ago_price": ago(YEAR_WEEKS)}


def past_rival_price(split: Split) -> Array | None:
    """(B, N) the competing prices known in each past week, currency per unit, 0 where not known; None where the tables
    give none.

    Args:
        split: The past, and the weeks that the market simulates.

    Example:
        >>> past_rival_price(split)[-1]  # doctest: +SKIP
        array([1.99, 0.  ])
    """
    if COMPETITOR_PRICE not in split.past:
        return None
    return np.nan_to_num(grid_of(split.past, COMPETITOR_PRICE, split.products["product"]))


def index_weights(units: Array, reference: Array) -> Array:
    """(N,) weights of a Laspeyres index, per unit of currency, so that `weights @ price` is the index.

    The index is the cost of the basket at the prices over its cost at the reference prices,
    sum of q_n p_n over sum of q_n r_n, over the products whose reference price is known (ILO et al. 2020, Consumer Price
    Index Manual, eq. 2.1). All weights are 0 where none is known.

    Args:
        units: (N,) units in the basket, q.
        reference: (N,) reference prices r, currency per unit, 0 where not known.

    Example:
        >>> weights = index_weights(np.array([10.0, 5.0, 7.0]), np.array([2.0, 4.0, 0.0]))
        >>> round(float(weights @ [2.2, 4.0, 9.0]), 4)
        1.05
    """
    known = np.where(reference > 0, units, 0.0)
    cost = float(known @ reference)
    return known / cost if cost > 0 else np.zeros_like(known)


def index_rules(rule: IndexRule, products: pd.DataFrame) -> dict[str, Any]:
    """The keys `index_weights`, `index_names` and `index_at_most` of a market's price rules.

    Args:
        rule: The largest index by reference.
        products: The products, with the columns that `basket_columns` gives. A reference of which no price is known has
            no rule.

    Example:
        >>> products = pd.DataFrame({"basket_units": [10.0, 5.0], "last_rival_price": [2.0, 4.0]})
        >>> index_rules(IndexRule(rival_at_most=1.02), products)["index_weights"].tolist()
        [[0.25, 0.125]]
    """
    bounds = {name: getattr(rule, f"{name}_at_most") for name in REFERENCES}
    at_most = {name: bound for name, bound in bounds.items() if bound is not None}
    columns = {name: products[[UNITS, REFERENCES[name]]].to_numpy(np.float64).T for name in at_most}
    rows = {name: row for name, column in columns.items() if (row := index_weights(*column)).any()}
    bounds = np.array([at_most[name] for name in rows])
    found = {"index_weights": np.array([*rows.values()]), "index_names": (*rows,), "index_at_most": bounds}
    return found if rows else {}
