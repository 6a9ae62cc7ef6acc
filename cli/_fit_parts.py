"""The parts of a catalogue that is fitted as several markets, here or on a cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..atomic import write_json
from ._fit_lines import cost_lines
from ._options import progress_console, say

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables
    from ..fitting import ShopRules, Zone
    from ..jobs import Job, Place

T = TypeVar("T")
PARTS = "parts.json"
"""File of the categories of each part, in the folder of their markets."""
ZONES = "zones.json"
"""File of the stores of each price zone, in the folder of their markets."""
_KEY = "part.json"
_FOR_OTHERS = ("dataset", "plan", "products", "tables", "out", "epsilon", "shares", "in_common")
_ASSUMED = ("assumptions", "rules", "priors")
_MOST_LEARNED = 8
"""Parts in which one policy learns; in more it would only learn less often in each."""
_CODE = ("cli", "data", "fitting", "forecasting", "profiles", "scenarios")


def chosen_parts(
    tables: Tables,
    rules: ShopRules,
    zone: Zone | None,
    *,
    categories: int,
    per_category: int,
    at_once: int | None,
    period: str,
) -> dict[str, pd.DataFrame]:
    """The products to price, part by part; one without a name is the whole catalogue. Options as of `repricer fit`."""
    from ..fitting import catalogue_parts, priced_products
    from ..fitting.catalogue_parts import MOST_PRODUCTS

    categories = max(categories, len(rules.shop.categories))
    products = priced_products(tables, rules, zone, n_categories=categories, per_category=per_category)
    return catalogue_parts(products, at_once or MOST_PRODUCTS[period], rules.links_by_name)


def fit_parts(
    tables: Tables,
    parts: dict[str, pd.DataFrame],
    out: Path,
    *,
    name: str,
    place: Place,
    source: dict[str, Any],
    **options: Any,
) -> dict[str, Any]:
    """Fit a market of each part into a folder of its own, those that are missing; return their reports.

    Args:
        parts: The products of each part; one without a name is the whole catalogue, whose market is that of `out`.
        place: Where the parts are fitted.
        source: What gives another process the same tables: `dataset` and `plan`.
        options: As for `fit_to_folder`.
    """
    from ._fit_market import fit_to_folder

    # Until all parts of this call are there, those of an earlier one are no catalogue.
    (out / PARTS).unlink(missing_ok=True)
    if list(parts) == [""] and place.on == "local" and options.get("zone") is None:
        (out / _KEY).unlink(missing_ok=True)
        return fit_to_folder(tables, parts[""], out, name=name, **options)
    if place.on != "local" and options.get("privacy") is not None:
        raise ValueError(
            f"a private fit pays from the budget in its dataset on this machine; got --on {place.on}; leave it out"
        )
    jobs = {part: _job(tables, part, products, out, name, source | options) for part, products in parts.items()}
    left = {part: job for part, job in jobs.items() if not _is_fitted(out / part, job)}
    for part in jobs:
        if part in left:
            # An interrupted fit leaves neither the old market nor the new one.
            (out / part / _KEY).unlink(missing_ok=True)
        else:
            progress_console.print(f"{part or name}: fitted before", soft_wrap=True)
    started = time.perf_counter()
    for part in _fitted_elsewhere(left, place, out) if place.on != "local" else left:
        if place.on == "local":
            fit_to_folder(tables, parts[part], out / part, name=left[part].inputs["name"], **options)
        write_json(out / part / _KEY, {"key": left[part].key})
        took = f"{len(parts[part]):,} products, {time.perf_counter() - started:.0f} s after the start"
        progress_console.print(f"{part or name}: {took}", soft_wrap=True)
    if list(parts) == [""]:
        return fit_report(out)
    write_json(out / PARTS, {part: list(dict.fromkeys(products["category"])) for part, products in parts.items()})
    return {"parts": {part: fit_report(out / part) for part in parts}}


def fit_part(inputs: dict[str, Any], scratch: Path) -> None:
    """Fit a part in a process of a cluster whose nodes share the folders of the tables and of the market.

    Args:
        inputs: As `fit_parts` makes them.
        scratch: Not used: a fit is done at once.
    """
    import pandas as pd

    from ..fitting import Zone
    from ..fitting.refit import assumed_in
    from ._fit_market import fit_to_folder, tables_of

    given = {name: value for name, value in inputs.items() if name not in (*_FOR_OTHERS, *_ASSUMED)}
    given["assumptions"], given["priors"] = assumed_in(inputs)
    given["shared"] = inputs["shared"] and Path(inputs["shared"])
    given["zone"] = inputs["zone"] and Zone(**inputs["zone"])
    tables = tables_of(Path(inputs["dataset"]), inputs["plan"] and Path(inputs["plan"]))
    if tables.fingerprint() != inputs["tables"]:
        raise ValueError(f"{inputs['dataset']} must hold the same tables on every node; got others; share the folder")
    fit_to_folder(tables, pd.DataFrame(inputs["products"]), Path(inputs["out"]), **given)


def part_folders(folder: Path) -> list[Path]:
    """The folders of a market's parts; the folder alone if it has none."""
    file = folder / PARTS
    return [folder / part for part in json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else [folder]


def zone_folders(folder: str | Path) -> dict[str, Path]:
    """The folders of the markets of price zones, by the names of the zones; none for one market."""
    file = Path(folder) / ZONES
    names = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else ()
    return {name: Path(folder) / name for name in names}


def in_zone(policy: str, zone: str) -> str:
    """The run or bundle of a zone in a folder of several; what has none of that zone holds for all zones."""
    return str(own) if (own := Path(policy) / zone).is_dir() else policy


def spread(parts: Sequence[T]) -> list[T]:
    """The parts of a catalogue in which its policy learns: all of a few, else some over its whole length.

    Example:
        >>> spread(range(15))
        [0, 2, 4, 6, 8, 10, 12, 14]
    """
    last = len(parts) - 1
    return [parts[i] for i in sorted({round(n * last / (_MOST_LEARNED - 1)) for n in range(_MOST_LEARNED)})]


def show_parts(reports: dict[str, dict[str, Any]], folder: Path) -> None:
    """A line for each part, and what to do next; the report of a part is in its folder."""
    for part, report in reports.items():
        s = report["scores"]
        say(
            f"{part}: {len(report['price_response']):,} products; WAPE on the held-out weeks {s['forecast_wape']:.1%} (moving "
            f"average {s['moving_average_wape']:.1%}, pooled log-log regression {s['log_log_wape']:.1%}); median elasticity {s['median_elasticity']:.2f}; market of the held-out "
            f"weeks: bias {s['simulated_bias']:+.1%}, {s['simulated_cover80']:.0%} of sales inside the 80% intervals"
        )
        for line in cost_lines(report):
            say(f"  {line}")
    say(f"Scenarios: {folder / next(iter(reports))} and so on, each with its fit.json. Next: repricer train {folder}")


def _job(tables: Tables, part: str, products: pd.DataFrame, out: Path, name: str, options: dict[str, Any]) -> Job:
    """A part as a job: all that its market depends on, as plain data."""
    from ..fitting import Assumptions, Priors
    from ..fitting.customers import records
    from ..fitting.refit import assumed
    from ..jobs import Job, code_fingerprint
    from ..scenarios import scenario_name

    zone, privacy = options.get("zone"), options.get("privacy")
    plain = {
        key: value for key, value in options.items() if key not in ("compiler", "privacy", "assumptions", "priors")
    }
    plain |= {key: str(Path(value).resolve()) for key in ("dataset", "plan", "shared") if (value := options.get(key))}
    plain |= assumed(options.get("assumptions") or Assumptions(), options.get("priors") or Priors())
    plain["zone"] = zone and {"name": zone.name, "stores": {key: list(value) for key, value in zone.stores.items()}}
    plain |= {"epsilon": privacy and privacy.epsilon, "shares": privacy and dict(privacy.shares)}
    # The file's content, as its path says nothing of a later round of the shops.
    plain["in_common"] = plain["shared"] and Path(plain["shared"]).read_text(encoding="utf-8")
    plain |= {"products": records(products), "tables": tables.fingerprint(), "out": str((out / part).resolve())}
    plain["name"] = scenario_name(f"{name} {part}".strip())
    return Job("repricer.cli._fit_parts:fit_part", plain, code_fingerprint(*_CODE))


def _fitted_elsewhere(left: dict[str, Job], place: Place, out: Path) -> Iterator[str]:
    """The parts in the order in which a cluster has fitted them."""
    from ..jobs import Failure, results

    part_of = {job.key: part for part, job in left.items()}
    for job, failed in results(left.values(), place, out):
        if isinstance(failed, Failure):
            raise ValueError(f"{part_of[job.key] or 'the market'} could not be fitted on {place.on}: {failed.reason}")
        yield part_of[job.key]


def _is_fitted(folder: Path, job: Job) -> bool:
    """Whether an earlier call fitted a part from the same inputs."""
    file = folder / _KEY
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["key"] == job.key


def fit_report(folder: Path) -> dict[str, Any]:
    """The report beside a fitted market."""
    return json.loads((folder / "fit.json").read_text(encoding="utf-8"))


def zone_of(market: Path) -> str | None:
    """The price zone that a market is of; None for all stores.

    Args:
        market: Folder of the market, or of a policy that learned in it.
    """
    file = market / "fit.json"
    record = json.loads(file.read_text(encoding="utf-8")).get("refit", {}) if file.is_file() else {}
    return (record.get("zone") or {}).get("name")
