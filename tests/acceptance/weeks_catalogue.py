"""The weekly job on a whole catalogue: seconds and memory of the commands that an analyst runs."""

from __future__ import annotations

import atexit
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from repricer.benchmarks.uplift import draw_shop
from repricer.benchmarks.uplift.shop import write_files
from repricer.serving.price_list.files import read_list

from .checks import check

_SHOPS, _SEED, _WEEKS = 42, 30_000, 105
_CONFIG = """
name = "catalogue"
[tables]
sales = "sales.csv"
products = "products.csv"
[fit]
categories = 84
per_category = 6
[train]
steps = 20000
[evaluate]
episodes = 50
"""


def write_chain(folder: Path, shops: int) -> None:
    """Twelve products in two categories each of so many drawn shops, as one chain."""
    parts: dict[str, list[pd.DataFrame]] = {"sales": [], "products": []}
    for number in range(shops):
        with tempfile.TemporaryDirectory() as made:
            paths = write_files(draw_shop("clean", _SEED + number, weeks=_WEEKS), Path(made))
            for name, tables in parts.items():
                table = pd.read_csv(paths[name], dtype={"product": str})
                named = {key: f"{number}-" + table[key].astype(str) for key in ("product", "category") if key in table}
                tables.append(table.assign(**named))
    for name, tables in parts.items():
        pd.concat(tables).to_csv(folder / f"{name}.csv", index=False)


def run_command(*words: str) -> float:
    """Run a command of the tool, and return its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "repricer.cli", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def _stage(folder: Path, name: str) -> float:
    stages = json.loads((folder / "stages.json").read_text(encoding="utf-8"))["done"]
    return next(float(facts["seconds"]) for stage, facts in stages.items() if stage.startswith(name))


@functools.cache
def catalogue() -> dict[str, float]:
    """Seconds of the fit, of the refresh a week later and of a price list alone, and the largest GiB of a process."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    home = Path(made.name)
    write_chain(home, _SHOPS)
    (home / "cycle.toml").write_text(_CONFIG, encoding="utf-8")
    sales = pd.read_csv(home / "sales.csv", dtype={"product": str})
    last = sales["date"].max()
    sales[sales["date"] < last].to_csv(home / "sales.csv", index=False)
    run_command("cycle", str(home / "cycle.toml"))
    first = next((home / "cycles").glob("2*"))
    found = {"fit": _stage(first, "fit")}
    found["list"] = run_command("prices", str(first / "run"), "--out", str(home / "prices.xlsx"))
    if read_list(home / "prices.xlsx") != read_list(first / "prices.xlsx"):
        raise RuntimeError("`repricer prices` must write the list of the cycle; got another")
    sales.to_csv(home / "sales.csv", index=False)
    run_command("cycle", str(home / "cycle.toml"))
    found["refresh"] = _stage(max((home / "cycles").glob("2*")), "refresh")
    found["GiB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return found


@check("weeks", "504 products, 104 weeks, every forecaster: fit, with proof", "<=", 240, "s")
def fit() -> float:
    return catalogue()["fit"]


@check("weeks", "504 products: refresh a week later, with its list", "<=", 60, "s")
def refresh() -> float:
    return catalogue()["refresh"]


@check("weeks", "504 products: `repricer prices`, over the 200 draws of the cycle", "<=", 5, "s")
def price_list() -> float:
    return catalogue()["list"]


@check("weeks", "504 products: memory of the largest process", "<=", 4, "GiB")
def memory() -> float:
    return catalogue()["GiB"]
