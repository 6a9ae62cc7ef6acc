"""What does another per cent off add? Orange juice: deals on the saturating scale against deals in logarithms, by evidence."""

from __future__ import annotations

import functools
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from repricer.data import load_tables, product_weeks
from repricer.fitting.demand.candidate_models import RememberedPrice
from repricer.fitting.demand.problem import Problem
from repricer.fitting.demand.sales_grids import SalesGrids
from repricer.fitting.zones import price_zones

from .checks import check
from .shops import CUT
from .shops_data import juice, juice_tables

Array = NDArray[np.float64]


def _in_logs(own: RememberedPrice, charged: Array, remembered: Array | None = None) -> Array:
    reference = own.price(charged) if remembered is None else remembered
    return np.log(reference / charged)


def _log_evidence(panel: pd.DataFrame) -> float:
    """Of the likeliest model in which customers answer to deals in their own way."""
    products = panel[["product", "category"]].drop_duplicates().sort_values("product", ignore_index=True)
    grids = SalesGrids.of(panel, list(products["product"]))
    found = Problem(grids, products, np.nanmedian(grids.regular[0], axis=0)).solve(draws=20)
    assert found.remembered is not None, "orange juice has deals"
    return sum(posterior.log_evidence for posterior in found.likeliest)


@functools.cache
def more_evidence() -> dict[str, float]:
    """Log evidence of the saturating scale less that of logarithms, by zone."""
    rows = juice()[juice()["week"] <= CUT]
    whole = load_tables(juice_tables(rows, "deals-juice"))
    found = {}
    for zone, stores in price_zones(whole.sales).items():
        panel = product_weeks(load_tables(juice_tables(rows[rows["store"].astype(str).isin(stores)], f"deals-{zone}")))
        saturating = _log_evidence(panel)
        with patch.object(RememberedPrice, "gap", _in_logs):
            found[zone] = saturating - _log_evidence(panel)
        print(f"  {zone}: {found[zone]:+.1f}")
    return found


@check("shops", "orange juice, log evidence that deals saturate, all zones together", ">=", 3)
def evidence() -> float:
    return float(sum(more_evidence().values()))
