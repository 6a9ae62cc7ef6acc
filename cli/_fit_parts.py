"""The parts of a catalogue that is fitted as several markets."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_json
from ._options import progress_console, say

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables

PARTS = "parts.json"
"""File of the categories of each part, in the folder of their markets."""
_KEY = "part.json"
_CODE = ("data", "fitting", "forecasting", "profiles", "scenarios")


def fit_parts(tables: Tables, parts: dict[str, pd.DataFrame], out: Path, **options: Any) -> dict[str, Any]:
    """Fit a market of each part into a folder of its own, those that are missing; return their reports.

    A part without a name is the whole catalogue: its market and its report are those of `out`.
    """
    from ..scenarios import scenario_name
    from .fit import fit_to_folder

    if list(parts) == [""]:
        return fit_to_folder(tables, parts[""], out, **options)
    name, reports = options.pop("name"), {}
    for part, products in parts.items():
        started, folder = time.perf_counter(), out / part
        key = {"inputs": _fingerprint(tables, products, options), "products": len(products)}
        report = _fitted_before(folder, key)
        if report is None:
            report = fit_to_folder(tables, products, folder, name=scenario_name(f"{name} {part}"), **options)
            write_json(folder / _KEY, key)
            took = f"{time.perf_counter() - started:.0f} s"
        else:
            took = "fitted before"
        progress_console.print(f"{part} of {len(parts)}: {len(products):,} products, {took}", soft_wrap=True)
        reports[part] = report
    write_json(out / PARTS, {part: list(dict.fromkeys(products["category"])) for part, products in parts.items()})
    return {"parts": reports}


def part_folders(folder: Path) -> list[Path]:
    """The folders of a market's parts; the folder alone if it has none."""
    file = folder / PARTS
    return [folder / part for part in json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else [folder]


def show_parts(reports: dict[str, dict[str, Any]], folder: Path) -> None:
    """A line for each part, and what to do next; the report of a part is in its folder."""
    for part, report in reports.items():
        s = report["scores"]
        say(
            f"{part}: {len(report['price_response']):,} products; WAPE on the held-out weeks {s['forecast_wape']:.1%} (moving "
            f"average {s['moving_average_wape']:.1%}); median elasticity {s['median_elasticity']:.2f}; market of the held-out "
            f"weeks: bias {s['simulated_bias']:+.1%}, {s['simulated_cover80']:.0%} of sales inside the 80% intervals"
        )
    say(f"Scenarios: {folder / next(iter(reports))} and so on, each with its fit.json. Next: repricer train {folder}")


def _fitted_before(folder: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The report of a part that an earlier call fitted from the same inputs."""
    file = folder / _KEY
    if not file.is_file() or json.loads(file.read_text(encoding="utf-8")) != key:
        return None
    return json.loads((folder / "fit.json").read_text(encoding="utf-8"))


def _fingerprint(tables: Tables, products: pd.DataFrame, options: dict[str, Any]) -> str:
    """Hash of all that a part's market depends on."""
    from ..jobs import code_fingerprint

    given = {name: repr(value) for name, value in options.items() if name not in ("compiler", "privacy")}
    text = json.dumps(
        [tables.fingerprint(), list(products["product"]), given, code_fingerprint(*_CODE)], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
