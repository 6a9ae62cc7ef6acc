"""From a shop's files to a recommendation, as a user gets there: import, fit, train, evaluate."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...data import Tables, import_tables
from ...fitting import Assumptions, fit
from ...forecasting import candidates
from ...scenarios import MarketSpec
from .families import DEALS
from .settings import StudySettings
from .shop import Shop

_WIDENING = {"free": None, "charged": 0.0, "charged+10%": 0.1, "charged+20%": 0.2}
_KEY = b"pseudonyms of a synthetic shop"


@dataclass(frozen=True)
class Fitted:
    """The fitted market of a shop.

    Attributes:
        seconds: CPU seconds by stage.
    """

    spec: MarketSpec
    seconds: dict[str, float]


def write_files(shop: Shop, folder: Path) -> dict[str, Path]:
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
    tables, paths = shop.tables(), {}
    for name in (field.name for field in fields(Tables)):
        table = getattr(tables, name)
        if table is not None:
            paths[name] = folder / f"{name}.csv"
            unknown = ["regular_price"] if shop.family in DEALS and name == "sales" else []
            table.drop(columns=unknown).to_csv(paths[name], index=False)
    return paths


def fit_files(paths: dict[str, Path], settings: StudySettings, seed: int) -> Fitted:
    """Import the files of a shop and fit a market on all of its products.

    Raises:
        ValueError: The import rejects a row, or there is no market to fit.
    """
    started = time.process_time()
    tables, imported = import_tables(paths, key=_KEY)
    if len(imported.rejects):
        raise AssertionError(f"a synthetic shop must import whole; got rejects: {imported.lines()}")
    between = time.process_time()
    fitted = fit(
        tables,
        tables.products,
        name="shop",
        assumptions=_assumptions(settings.bounds),
        seed=seed,
        forecaster=candidates(seed=seed).get(settings.forecaster),
    )
    return Fitted(fitted.spec, {"import": between - started, "fit": time.process_time() - between})


def _assumptions(bounds: str) -> Assumptions:
    """The defaults of `fit`, but the shop has no personal discounts and recommends nothing."""
    given: dict[str, Any] = {"max_discount": 0.0, "recommendation_lift": 0.0}
    if bounds != "default":
        given |= {"lowest_price": 0.5, "highest_price": 1.3, "price_widening": _WIDENING[bounds]}
    return Assumptions(**given)
