"""Ten million sale lines: made, imported and added up to product-weeks, timed in a process of their own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from .checks import check

LINES = 10_000_000
RETURNS = 1_000
_PRODUCTS, _STORES, _CUSTOMERS, _DAYS = 20_000, 50, 200_000, 728


def write_sales(path: Path, lines: int = LINES, seed: int = 0) -> None:
    """Write a shop's sale lines as CSV or Parquet: stores one after the other, each in order of time; 1,000 are returns."""
    rng = np.random.default_rng(seed)
    receipts = lines // 8 + 1
    basket = np.sort(rng.integers(0, receipts, lines))
    store = np.arange(receipts) * _STORES // receipts
    day = (np.arange(receipts) * _STORES % receipts) * _DAYS // receipts
    product = np.minimum(rng.zipf(1.2, lines) - 1, rng.integers(0, _PRODUCTS, lines))
    regular = np.round(0.5 + 20 * rng.random(_PRODUCTS), 2)[product]
    price = np.round(regular * np.where(rng.random(lines) < 0.2, 0.8, 1.0), 2)
    units = rng.poisson(0.3, lines) + 1.0
    units[rng.choice(lines, min(RETURNS, lines // 100), replace=False)] = -1
    customer = rng.integers(0, _CUSTOMERS, receipts)
    frame = pl.DataFrame(
        {
            "date": (np.datetime64("2023-01-02") + day[basket]).astype("datetime64[D]"),
            "product": pl.Series(product).cast(pl.String).str.zfill(8),
            "units": units,
            "price_paid": price,
            "regular_price": regular,
            "customer": pl.Series(customer[basket]).cast(pl.String),
            "store": pl.Series(store[basket]).cast(pl.String),
            "basket": pl.Series(basket).cast(pl.String),
            "line": np.arange(lines),
        }
    )
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)


_SCRIPT = """
import json, resource, sys, time
from pathlib import Path
folder, suffix = Path(sys.argv[1]), sys.argv[2]
start = time.perf_counter()
from repricer.data import import_tables, product_weeks, save_tables
tables, report = import_tables({"sales": folder / f"sales{suffix}"}, key=b"only for this measurement")
imported = time.perf_counter()
save_tables(tables, report, folder / f"shop{suffix}")
saved = time.perf_counter()
panel = product_weeks(tables)
end = time.perf_counter()
scale = 2**30 if sys.platform == "darwin" else 2**20
print(json.dumps({
    "seconds": end - start, "cpu": time.process_time(), "import": imported - start, "save": saved - imported, "panel": end - saved,
    "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale,
    "units": float(panel["units"].sum()), "kept": report.kept["sales"], "rejected": len(report.rejects)}))
"""


@functools.cache
def measured(suffix: str, lines: int = LINES) -> dict[str, Any]:
    """Seconds, peak GiB and counts of import, saving and aggregation of a file of `lines`."""
    with tempfile.TemporaryDirectory() as folder:
        write_sales(Path(folder) / f"sales{suffix}", lines)
        return json.loads(subprocess.check_output([sys.executable, "-c", _SCRIPT, folder, suffix]))


def _register(suffix: str) -> None:
    kind = suffix[1:]

    @check("demand", f"10,000,000 sale lines ({kind}): import, save and add up, wall time", "<=", 60, "s")
    def seconds() -> float:
        return measured(suffix)["seconds"]

    @check("demand", f"10,000,000 sale lines ({kind}): import, save and add up, peak memory", "<=", 3, "GiB")
    def memory() -> float:
        return measured(suffix)["gib"]

    @check("demand", f"10,000,000 sale lines ({kind}): lines kept or rejected", "==", LINES, "lines")
    def lines() -> float:
        return float(measured(suffix)["kept"] + measured(suffix)["rejected"])


for _suffix in (".csv", ".parquet"):
    _register(_suffix)
