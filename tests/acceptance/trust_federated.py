"""A fit over shops that share no rows: as good as one of all rows, better than alone, and begun again without a shop that fails.

`python -m repricer.benchmarks.federated` prints the errors of more kinds of shops.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from repricer.benchmarks.federated import FAMILIES, SHOPS, errors, federated, panels, shop_tables
from repricer.data import import_tables, product_weeks, save_tables

from .checks import check

_PRODUCTS, _WEEKS, _SETS = 4, (16,) * SHOPS, 3
_KEY = b"pseudonyms of federated shops"
_RUN = [sys.executable, "-m", "repricer.cli", "federate"]


@functools.cache
def _found() -> pd.DataFrame:
    """Mean WAPE of each set of five small shops with 16 weeks of history, by way of fitting."""
    some = [errors(panels(family, 10 * n, _PRODUCTS, _WEEKS)) for family in FAMILIES for n in range(_SETS)]
    return pd.DataFrame([rows.mean() for rows in some])


@check("trust", "a federated fit of 5 small shops, its WAPE over that of the pooled fit (mean of 12 sets)", "<=", 1.05)
def against_pooled() -> float:
    return float((_found()["federated"] / _found()["pooled"]).mean())


@check("trust", "a federated fit of 5 small shops, its WAPE over that of each alone (mean of 12 sets)", "<=", 0.999)
def against_alone() -> float:
    return float((_found()["federated"] / _found()["alone"]).mean())


@check(
    "trust", "a federated fit with a shop killed: all others name it, and fit together again without it (1)", "==", 1
)
def goes_on() -> float:
    with tempfile.TemporaryDirectory() as place:
        folder, pasts = Path(place), {}
        for n in range(SHOPS):
            (folder / f"files-{n}").mkdir()
            tables, paths = shop_tables("clean", n, _PRODUCTS, _WEEKS[n]), {}
            for name in ("sales", "products"):
                paths[name] = folder / f"files-{n}" / f"{name}.csv"
                getattr(tables, name).to_csv(paths[name], index=False)
            kept = import_tables(paths, key=_KEY)
            save_tables(*kept, folder / f"shop-{n}")
            pasts[f"shop-{n}"] = product_weeks(kept[0])
        return float(_goes_on(folder, pasts))


def _goes_on(folder: Path, pasts: dict[str, pd.DataFrame]) -> bool:
    environment = os.environ | {"SHOPS_KEY": "07" * 32}
    start = functools.partial(
        subprocess.Popen, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def join(name: str, dataset: str, shops: int, wait: int) -> subprocess.Popen[str]:
        place = folder / f"meeting-of-{shops}"
        place.mkdir(exist_ok=True)
        words = [str(folder / dataset), "--folder", str(place), "--name", name, "--shops", str(shops)]
        more = ["--shops-key", "env:SHOPS_KEY", "--wait", str(wait), "--out", str(folder / f"{name}.json")]
        return start([*_RUN, "join", *words, *more])

    doomed = join("doomed", "shop-0", SHOPS + 1, 60)
    assert doomed.stderr is not None
    while "waits in" not in (line := doomed.stderr.readline()):
        assert line, "the shop ended before it wrote that it was there"
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    ended = [other.communicate(timeout=240)[1] for other in [join(name, name, SHOPS + 1, 60) for name in pasts]]
    named = all("shop 'doomed' must write doomed.1 within 60 s" in said for said in ended)
    again = [join(name, name, SHOPS, 120) for name in pasts]
    codes = [other.wait(timeout=240) for other in again]
    documents, known = [json.loads((folder / f"{name}.json").read_text())["common"] for name in pasts], federated(pasts)
    same = np.allclose(documents[0]["mean"], known.mean, rtol=1e-9, atol=1e-12)
    return named and codes == [0] * SHOPS and same and documents == documents[:1] * SHOPS
