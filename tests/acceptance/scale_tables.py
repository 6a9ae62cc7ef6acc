"""Sale lines by the hundred million: a folder of daily Parquet files, imported and added up in bounded memory."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg

from .checks import Skip, check
from .kills import postgres, postgres_programs

_FEW, _MANY = 10_000_000, 100_000_000
_DAYS, _PRODUCTS, _STORES, _CUSTOMERS = 728, 20_000, 400, 200_000


@dataclass
class Made:
    """What was written: good lines with their units and revenue, and lines that must be left out."""

    good: int = 0
    bad: int = 0
    units: float = 0.0
    revenue: float = 0.0


def write_days(folder: Path, lines: int, days: int = _DAYS, seed: int = 0) -> Made:
    """Write a chain's sale lines, one Parquet file a day: `date=2023-01-02/sales.parquet`.

    One line in ten thousand has no price, one is a return that cancels a line of its own receipt, and one copies
    another line.
    """
    made, regular = Made(), np.round(0.5 + 20 * np.random.default_rng(seed).random(_PRODUCTS), 2)
    for day in range(days):
        count = lines * (day + 1) // days - lines * day // days
        rows = _day(np.random.default_rng([seed, day]), count, day, regular)
        wrong = max(1, count // 10_000)
        good = rows.head(count - 3 * wrong)
        returned = good.head(wrong).with_columns(units=-pl.col("units"))
        unpriced = rows.tail(wrong).with_columns(price_paid=pl.lit(None, pl.Float64))
        place = folder / f"date={np.datetime64('2023-01-02') + day}"
        place.mkdir(parents=True)
        pl.concat([good, returned, unpriced, good.tail(wrong)]).write_parquet(place / "sales.parquet")
        kept = good.tail(len(good) - wrong)
        made.good, made.bad = made.good + len(kept), made.bad + 4 * wrong
        made.units += kept["units"].sum()
        made.revenue += (kept["units"] * kept["price_paid"]).sum()
    return made


def _day(rng: np.random.Generator, count: int, day: int, regular: np.ndarray) -> pl.DataFrame:
    receipt = np.sort(rng.integers(0, count // 8 + 1, count))
    product = np.minimum(rng.zipf(1.2, count) - 1, rng.integers(0, _PRODUCTS, count))
    price = np.round(regular[product] * np.where(rng.random(count) < 0.2, 0.8, 1.0), 2)
    text = pl.String
    return pl.DataFrame(
        {
            "product": pl.Series(product).cast(text).str.zfill(8),
            "units": rng.poisson(0.3, count) + 1.0,
            "price_paid": price,
            "regular_price": regular[product],
            "customer": pl.Series(rng.integers(0, _CUSTOMERS, count // 8 + 1)[receipt]).cast(text),
            "store": pl.Series(rng.integers(0, _STORES, count // 8 + 1)[receipt]).cast(text),
            "basket": pl.Series(day * 10**9 + receipt).cast(text),
            "line": np.arange(count),
        }
    )


def ran(*words: Any, folder: Path) -> tuple[dict[str, Any], float, float]:
    """What a command prints as JSON, its seconds of wall time, and its peak GiB."""
    started = time.perf_counter()
    with (folder / "answer.json").open("w+b") as answer:
        command = [sys.executable, "-m", "repricer.cli", *map(str, words), "--json"]
        process = subprocess.Popen(command, stdout=answer)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        answer.seek(0)
        told = json.loads(answer.read())
    return told, time.perf_counter() - started, usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


@functools.cache
def measured(lines: int) -> dict[str, float]:
    """Import and summary of so many sale lines: seconds, peak GiB, and how far their sums are off."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = write_days(folder / "sales", lines)
        imported, import_seconds, import_gib = ran(
            "data", "import", "--sales", folder / "sales", "--out", folder / "shop", folder=folder
        )
        summary, summary_seconds, summary_gib = ran("data", "summary", folder / "shop", folder=folder)
        left_out = sum(imported["dropped"]["sales"].values())
        off = [
            imported["kept"]["sales"] - made.good,
            left_out - made.bad,
            summary["units"] - made.units,
            summary["revenue"] / made.revenue - 1,
        ]
        return {
            "seconds": import_seconds + summary_seconds,
            "import": import_seconds,
            "import_gib": import_gib,
            "summary_gib": summary_gib,
            "gib": max(import_gib, summary_gib),
            "off": float(np.abs(off).max()),
        }


@check("scale", "100,000,000 sale lines imported and added up, peak memory", "<=", 3, "GiB")
def memory() -> float:
    return measured(_MANY)["gib"]


@check("scale", "the same, over the peak memory of 10,000,000", "<=", 1.3)
def more_memory() -> float:
    return measured(_MANY)["gib"] / measured(_FEW)["gib"]


@check("scale", "the same, over the wall time of 10,000,000", "<=", 11)
def more_time() -> float:
    return measured(_MANY)["seconds"] / measured(_FEW)["seconds"]


@check("scale", "the same: largest error of lines kept, lines left out, units and revenue (a share)", "<=", 1e-9)
def sums() -> float:
    return max(measured(_MANY)["off"], measured(_FEW)["off"])


@check("scale", "sale lines of PostgreSQL that come through other than from files", "==", 0, "lines")
def postgres_lines() -> float:
    if postgres_programs() is None:
        raise Skip("PostgreSQL is not installed")
    with postgres() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_days(folder / "sales", 100_000, days=7)
        rows = pl.read_parquet(folder / "sales" / "**" / "*.parquet", hive_partitioning=True).sort("date", "line")
        rows.write_csv(folder / "sales.csv")
        columns = ", ".join(f'"{column}" {_TYPES.get(column, "text")}' for column in rows.columns)
        with psycopg.connect(url) as connection:
            connection.execute(f"create table sales ({columns})")
            with connection.cursor().copy("copy sales from stdin (format csv, header)") as copy:
                copy.write((folder / "sales.csv").read_bytes())
        key = ("--key-file", folder / "key")
        for out, source in {"csv": folder / "sales.csv", "table": f"{url}#sales"}.items():
            ran("data", "import", "--sales", source, "--out", folder / out, *key, folder=folder)
        return _differing(folder / "csv", folder / "table")


_TYPES = {"date": "date", "units": "double precision", "price_paid": "numeric", "regular_price": "numeric"}


def _differing(one: Path, other: Path) -> float:
    """Lines of two folders of tables that are not the same."""
    rows, others = (pl.read_parquet(folder / "sales.parquet") for folder in (one, other))
    apart = (rows.hash_rows() != others.hash_rows()).sum() if len(rows) == len(others) else len(rows) + len(others)
    return float(apart)


@check("scale", "sale lines that differ after imports killed by SIGKILL and run again", "==", 0, "lines")
def killed() -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_days(folder / "sales", 3_000_000, days=60)
        words = ["data", "import", "--sales", folder / "sales", "--update", "--key-file", folder / "key"]
        ran(*words, "--out", folder / "whole", folder=folder)
        command = [sys.executable, "-m", "repricer.cli", *map(str, words), "--out", str(folder / "shop")]
        for part in (5, 30):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while len(list((folder / "shop.parts").glob("sales/*/facts.json"))) < part and process.poll() is None:
                time.sleep(0.02)
            process.kill()
            process.wait()
            if (folder / "shop").exists():
                raise RuntimeError("the import ended before it was killed, or left a part of its tables")
        ran(*words, "--out", folder / "shop", folder=folder)
        return _differing(folder / "whole", folder / "shop")
