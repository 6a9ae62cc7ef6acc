"""The price response: known elasticities are found again; and Nevo's cereals, which other checks use."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
from repricer.tests.forecasting.price_response_recovery import Recovery, recover

from .checks import check

_MIDDLE, _HALF_WIDTH = 0.945, 0.045
"""A nominal 95% interval must cover between 90% and 99% of the truths."""


@functools.cache
def products(endogenous: bool) -> Recovery:
    """20 shops of 40 products: 800 elasticities in four categories that differ."""
    return recover(range(20), endogenous=endogenous)


@functools.cache
def pools(endogenous: bool) -> Recovery:
    """200 shops whose products are drawn around one elasticity."""
    return recover(range(1000, 1200), endogenous=endogenous, between=0.0)


def _register(case: str, endogenous: bool) -> None:
    """Register the checks of one case."""
    nominal = "distance of the 95% interval's coverage from 94.5%"

    @check("demand", f"{case}: pooled elasticity, relative bias over 200 shops", "<=", 0.05)
    def pooled_bias() -> float:
        return abs(pools(endogenous).bias["pooled"])

    @check("demand", f"{case}: pooled elasticity, {nominal}, 200 shops", "<=", _HALF_WIDTH)
    def pooled_coverage() -> float:
        return abs(pools(endogenous).coverage["pooled"] - _MIDDLE)

    for kind in ("raw", "shrunk"):

        @check("demand", f"{case}: {kind} elasticities, relative bias over 800 products", "<=", 0.05)
        def bias(kind: str = kind) -> float:
            return abs(products(endogenous).bias[kind])

        @check("demand", f"{case}: {kind} elasticities, {nominal}, 800 products", "<=", _HALF_WIDTH)
        def coverage(kind: str = kind) -> float:
            return abs(products(endogenous).coverage[kind] - _MIDDLE)


_register("prices that do not follow demand", endogenous=False)
_register("prices that follow demand, with the unit cost as instrument", endogenous=True)


@check("demand", "prices that follow demand: relative bias of least squares, to show that there is one", ">=", 0.1)
def least_squares_bias() -> float:
    return abs(pools(True).least_squares_bias)


@functools.cache
def nevo() -> pd.DataFrame:
    """Nevo's (2000) cereal data, read out of the wheel of pyblp.

    Not installed: that wheel also puts a package named `tests` into site-packages, which hides this one.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "download", "--no-deps", "--dest", folder, "pyblp==1.3.0"], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open("pyblp/data/nevo_products.csv") as file:
            table = pd.read_csv(file)
    names = {"market_ids": "market", "product_ids": "product", "shares": "share", "prices": "price"}
    return table.rename(columns=names)
