"""The fit of a whole catalogue of 10,008 products, in parts, by the command that an analyst runs."""

from __future__ import annotations

import atexit
import functools
import sys
import tempfile
import threading
from pathlib import Path

from .checks import check
from .weeks_catalogue import run_command, write_chain

_SHOPS, _FEW = 834, 84
"""Drawn shops of twelve products each; with 84 shops, 1,008 products."""
_STEPS = "100000"


class _Memory(threading.Thread):
    """Watches the memory of the processes that this one has started, each page counted once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest, self._ended = 0.0, threading.Event()

    def __enter__(self) -> _Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(2):
            self.largest = max(self.largest, sum(_gib(process) for process in _children("self")))


def _children(process: str) -> list[str]:
    """Numbers of the processes that a process has started, and of those that they have."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [child, *_children(child)]
    return found


def _gib(process: str) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**20


@functools.cache
def _fitted(shops: int) -> tuple[Path, float, float]:
    """The folder of a fitted catalogue, the seconds of its fit and the largest memory of its processes in GiB."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    home = Path(made.name)
    write_chain(home, shops)
    tables = ("--sales", str(home / "sales.csv"), "--products", str(home / "products.csv"))
    run_command("data", "import", *tables, "--out", str(home / "tables"))
    how = ("--categories", str(2 * shops), "--per-category", "6")
    with _Memory() as memory:
        seconds = run_command("fit", str(home / "tables"), "--out", str(home / "market"), *how)
    print(f"{12 * shops:,} products: {seconds:.0f} s, {memory.largest:.2f} GiB", file=sys.stderr)
    return home, seconds, memory.largest


@check("scale", "10,008 products, two years: the whole fit, with proof, in parts", "<=", 60, "min")
def whole_fit() -> float:
    return _fitted(_SHOPS)[1] / 60


@check("scale", "the same: memory of all its processes", "<=", 6, "GiB")
def memory() -> float:
    return _fitted(_SHOPS)[2]


@check("scale", "the same: time, for each product, over that of 1,008 products", "<=", 1.1)
def linear() -> float:
    return _fitted(_SHOPS)[1] / _fitted(_FEW)[1] * _FEW / _SHOPS


@functools.cache
def _priced() -> tuple[float, float]:
    """Seconds of the first price list, with its comparison, and of the next one, after one training."""
    home = _fitted(_SHOPS)[0]
    run_command("train", str(home / "market"), "--steps", _STEPS, "--out", str(home / "run"))
    words = ("prices", str(home / "market"), "--policy", str(home / "run"), "--out")
    seconds = [run_command(*words, str(home / f"{when}.csv")) for when in ("first", "next")]
    if (home / "first.csv").read_bytes() != (home / "next.csv").read_bytes():
        raise RuntimeError("a kept list must be written as it was computed; got another")
    print(f"price list: {seconds[0]:.0f} s with the comparison, then {seconds[1]:.1f} s", file=sys.stderr)
    return seconds[0], seconds[1]


@check("scale", "10,008 products: their price list in one call, after its comparison", "<=", 5, "s")
def price_list() -> float:
    return _priced()[1]
