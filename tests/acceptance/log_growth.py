"""The decision log as it grows: what ten million priced products take, and how long erasure and export need."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from repricer.scenarios import spec_from_table
from repricer.serving import DecisionLog, Predictor, example_state, export, load_bundle
from repricer.serving.decision import Decision
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.tests.serving.conftest import make_run

from .checks import check

ROWS = 10_000_000
PRODUCTS = 30
MARKETS = 10_000
"""Pseudonyms, each with a key."""
_DISTINCT = 500
"""Different states and answers; the log compresses each decision alone, so that repeating them gains nothing."""
_REPORTED = 10
"""Of so many decisions, one has outcomes; the export reads all, and writes these."""
_WAITING = 1_000
"""Decisions under way at a time."""


@dataclass(frozen=True)
class Grown:
    """Bytes of the log with decisions alone and with what they sold, and seconds and memory of what was done with it."""

    rows: int
    decided: int
    sold: int
    writing: float
    erasure: float
    verification: float
    later: float
    exported: int
    export: float
    memory: float


@functools.cache
def grown(rows: int = ROWS) -> Grown:
    """Write this many product rows by the service's own log writer, report what sold, erase a market, and export."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        place, decisions = folder / "decisions.db", _decisions(folder, _DISTINCT)
        started = time.perf_counter()
        count = rows // PRODUCTS
        with closing(DecisionLog(place)) as log:
            names = _written(log, decisions, count)
        writing, decided = time.perf_counter() - started, _size(folder)
        with closing(DecisionLog(place)) as log:
            _report(log, decisions, names)
        sold = _size(folder)
        with closing(DecisionLog(place)) as log:
            started = time.perf_counter()
            assert log.erase("shopper 7", "acceptance") > 0
            erasure = time.perf_counter() - started
            started = time.perf_counter()
            head = log.verify()
            verification = time.perf_counter() - started
            assert (head.rows, head.outcomes) == (count, -(-count // _REPORTED))
            started = time.perf_counter()
            assert log.verify(since=head) == head
            later = time.perf_counter() - started
        started = time.perf_counter()
        exported, memory = _exported(place, folder / "sales.parquet")
        export_time = time.perf_counter() - started
        return Grown(rows, decided, sold, writing, erasure, verification, later, exported, export_time, memory)


def _decisions(folder: Path, count: int) -> list[Decision]:
    """Decisions of a bundle with 30 products, two segments and the usual price rules, in random states."""
    generator = np.random.default_rng(0)
    regular = np.round(generator.uniform(1, 12, PRODUCTS), 2)
    names = [f"National Soft drinks 12/18&15pk can car 12 OZ ({5_569_230 + 17 * n})" for n in range(PRODUCTS)]
    spec = spec_from_table(
        {
            "name": "grown",
            "version": 1,
            "market": {"horizon_periods": 12, "period": "week", "first_day": "2024-01-01"},
            "products": {"names": names, "regular_price": regular, "unit_cost": regular / 2},
            "arrivals": {"rate": 50.0, "segments": ("thrifty", "loyal"), "segment_share": 0.5},
            "demand": {"quality": 3.0, "price_sensitivity": 0.8},
            "prices": {
                "floor": regular * 0.6,
                "ceiling": regular * 1.5,
                "tick": 0.01,
                "max_change": 0.15,
                "max_discount": 0.3,
            },
        }
    )
    predictor = Predictor(load_bundle(export(make_run(spec, product_wise=True), folder / "bundle")))
    decisions = []
    for _ in range(count):
        state = example_state(predictor.bundle.catalogue) | {
            "date": str(np.datetime64("2024-01-01") + int(generator.integers(84)))
        }
        state.pop("period", None)
        state["products"] = [
            {
                "product": name,
                "list_price": round(price * generator.uniform(0.9, 1.2), 2),
                "on_hand": int(generator.integers(500)),
                "on_order": int(generator.integers(100)),
                "reference_price": round(price * generator.uniform(0.9, 1.1), 4),
                "last_units": int(generator.integers(200)),
                "competitor_price": round(price * generator.uniform(0.8, 1.2), 2),
                "lowest_price_30_days": round(price * generator.uniform(0.7, 0.89), 2),
            }
            for name, price in zip(names, regular.tolist(), strict=True)
        ]
        decisions.append(Decision(state, predictor.price(state), "policy", 0.9, []))
    return decisions


def _written(log: DecisionLog, decisions: list[Decision], count: int) -> list[str]:
    """Submit decisions as the service does; returns their request ids."""
    waiting, names = deque[Future[Any]](), []
    for number in range(count):
        one = decisions[number % len(decisions)]
        named = replace(one, state={**one.state, "market": f"shopper {number % MARKETS}"})
        names.append(str(uuid.uuid4()))
        waiting.append(log.submit_decisions([(names[-1], named)]))
        if len(waiting) > _WAITING:
            waiting.popleft().result()
    for each in waiting:
        each.result()
    return names


def _report(log: DecisionLog, decisions: list[Decision], names: list[str]) -> None:
    """Report for every tenth decision what it sold."""
    generator = np.random.default_rng(1)
    for number in range(0, len(names), _REPORTED):
        name = names[number]
        prices, units = decisions[number % len(decisions)].answer.prices, generator.integers(0, 40, PRODUCTS).tolist()
        told = [ReportedOutcome(one.product, float(n), request_id=name) for one, n in zip(prices, units, strict=True)]
        assert log.record_outcomes(told) == PRODUCTS


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("decisions.db*"))


def _exported(log: Path, out: Path) -> tuple[int, float]:
    """Rows that `repricer log export` writes, and the most memory of its process, MiB."""
    code = (
        "import re, sys; from pathlib import Path; from repricer.serving import DecisionLog;"
        "from repricer.serving.decision_log.sales_table import write_sales;"
        "found = write_sales(DecisionLog(sys.argv[1]), Path(sys.argv[2]));"
        "print(found.rows, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", code, str(log), str(out)]
    rows, memory = subprocess.check_output(command, text=True).split()
    return int(rows), float(memory) / 1024


@check("serving", f"log of {ROWS:,} product rows, {PRODUCTS} products a decision", "<=", 1.5, "GB")
def size() -> float:
    return grown().decided / 1e9


@check("serving", f"erasure of one of its {MARKETS:,} markets", "<=", 60, "s")
def erasure() -> float:
    return grown().erasure


@check("serving", "export of a sales table from all of it, most memory of the process", "<=", 512, "MiB")
def export_memory() -> float:
    assert grown().exported > ROWS / _REPORTED * 0.999
    return grown().memory


if __name__ == "__main__":
    print(grown(int(sys.argv[1]) if sys.argv[1:] else ROWS))
