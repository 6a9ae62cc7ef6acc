"""A chain of 24 stores through files and commands alone: its calendar is followed, broken by a store, and stopped early."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner
from repricer.cli import main

from ..planning.experiments.shop import Shop
from .checks import check

WEEKS, BROKEN, STOPPED = 8, "store-05", 4
TRUTH = ("followed", "broken", "stopped")


def run(*arguments: str) -> dict[str, Any]:
    """The JSON of a command."""
    result = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@functools.cache
def readings() -> dict[str, dict[str, Any]]:
    """What is read in each case, with the elasticity that is true of the tested products."""
    shop = Shop(days=7 * WEEKS, seed=int(os.environ.get("FIELD_SEED", "11")))
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shop.product_table().to_csv(folder / "products.csv", index=False)

        def imported(name: str, days: int) -> Path:
            shop.sales(days).to_csv(folder / "sales.csv", index=False)
            files = ("--sales", folder / "sales.csv", "--products", folder / "products.csv")
            run("data", "import", *map(str, files), "--out", str(folder / name))
            return folder / name

        past = imported("tables", 0)
        run("fit", str(past), "--out", str(folder / "market"), "--forecaster", "moving-average")
        plan = run("experiment", "plan", str(folder / "market"), "--out", str(folder / "autumn"), "--weeks", str(WEEKS))
        own = dict(zip(shop.products, shop.elasticity, strict=True))
        tested = [product for group in plan["groups"] for product in group["products"]]
        calendar = pd.read_csv(folder / "autumn" / "calendar.csv", dtype={"store": str}, parse_dates=["week"])
        middle = shop.first + pd.Timedelta(weeks=2)
        cases: dict[str, dict[str, Any]] = {
            "followed": {},
            "broken": {"skip": lambda store, week: store == BROKEN and week >= middle},
            "stopped": {"until": shop.first + pd.Timedelta(weeks=STOPPED)},
        }
        for name, how in cases.items():
            shop.follow(calendar, **how)
            sales = imported(f"tables-{name}", 7 * WEEKS)
            found[name] = run("experiment", "read", str(folder / "autumn"), "--dataset", str(sales))
            found[name]["truth"] = float(np.mean([own[product] for product in tested]))
        with_it = ("--experiment", str(folder / "autumn"), "--forecaster", "moving-average")
        found["fit"] = run("fit", str(folder / "tables-followed"), "--out", str(folder / "learned"), *with_it)
    return found


def right(name: str) -> bool:
    """Whether the true elasticity lies inside the interval, which leaves 0 out."""
    first = readings()[name]["effects"][0]
    return first["low"] <= readings()[name]["truth"] <= first["high"] < 0


@check("field", "chain of 24 stores, calendar followed: the response is found, nothing is lost", "==", 1)
def _() -> float:
    found = readings()["followed"]
    return float(
        right("followed") and found["days"] == 7 * WEEKS and not any("calendar" in line for line in found["lost"])
    )


@check("field", "chain of 24 stores: 90% intervals of the response to regular prices narrower by, mean", ">=", 30, "%")
def _() -> float:
    """Of both elasticities of each tested category, without and with the experiment."""
    tested = [row["experiment"] for row in readings()["fit"]["regular_prices"] if "experiment" in row]
    widths = np.array(
        [[np.ptp(row[when][which]) for when in ("before", "after")] for row in tested for which in row["before"]]
    )
    return 100 * float(1 - (widths[:, 1] / widths[:, 0]).mean())


@check("field", "a store charges other prices: it is named and left out, the response is right", "==", 1)
def _() -> float:
    lines = [line for line in readings()["broken"]["lost"] if "charged other prices" in line]
    return float(right("broken") and len(lines) == 1 and lines[0].startswith(f"{BROKEN} ("))


@check("field", "stopped after half of the weeks: it says so, the response is right", "==", 1)
def _() -> float:
    found = readings()["stopped"]
    return float(right("stopped") and found["stopped"] and found["days"] == 7 * STOPPED)
