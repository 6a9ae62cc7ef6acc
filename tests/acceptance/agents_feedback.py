"""What feedback earns beside the best path of prices by period, in the markets of `repricer bench feedback`."""

from __future__ import annotations

import functools
import sys
from typing import Any

from repricer.benchmarks.feedback import Gain, cells, table

from .checks import check


@functools.cache
def ahead() -> list[dict[str, Any]]:
    """The rows in which PPO or recurrent PPO beats the best path by .5% or more and by more than chance."""
    rows = table()
    for row in rows:
        print(" | ".join(cells(row)), file=sys.stderr)
    return [row for row in rows if any(Gain(**gain).counts for gain in row["gains"].values())]


@check("agents", "markets in which PPO or recurrent PPO beats the best path of prices by .5%, and chance", ">=", 2)
def markets() -> float:
    return len(ahead())


@check("agents", "those of them that are fitted to tables", ">=", 1)
def fitted() -> float:
    return sum(row["fitted"] for row in ahead())
