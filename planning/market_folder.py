"""A market in its folder: its fit there, here or on a cluster, and the folders of price zones and of parts of a catalogue."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from ..atomic import without_nan, write_json
from .progress import show_line, show_step

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables
    from ..fitting import Privacy
    from ..forecasting import Forecaster

PROOF = "proof"
"""Folder of the market of the held-out weeks, in that of the market."""
_Regression = Literal["log-log-regression", "pooled-regression"]
_Series = Literal["moving-average", "seasonal-naive", "exponential-smoothing", "intermittent", "sarimax"]
ForecasterName = Literal["selected", _Series, _Regression, "lstm"]
FORECASTERS: tuple[str, ...] = get_args(ForecasterName)
T = TypeVar("T")
PARTS = "parts.json"
"""File of the categories of each part, in the folder of their markets."""
ZONES = "zones.json"
"""File of the stores of each price zone, in the folder of their markets."""
_PART_FILE = "part.json"
_MOST_LEARNED = 8
"""Parts in which one policy learns; in more it would only learn less often in each."""
_CODE = ("planning", "data", "fitting", "forecasting", "profiles", "scenarios")


def tables_of(dataset: Path, plan: Path | None, experiments: Sequence[str] = ()) -> Tables:
    """The imported tables, with the shop's plan from a file of its own if one is given, and price experiments from folders."""
    from ..data import import_table, load_experiments, load_tables

    tables = load_tables(dataset)
    if experiments:
        tables = replace(tables, experiments=load_experiments(experiments))
    if plan is None:
        return tables
    ids = None if tables.products is None else tables.products["product"]
    return replace(tables, plan=import_table("plan", plan, products=ids))


def fit_to_folder(
    tables: Tables,
    products: pd.DataFrame,
    out: Path,
    *,
    forecaster: str = FORECASTERS[0],
    shared: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Fit, prove the fit on held-out weeks, write both markets and the report; return the report.

    Args:
        forecaster: One of `FORECASTERS`.
        shared: File of what the products of many shops have in common.
        options: As for `repricer.fit`.
    """
    from ..data import traffic_unit
    from ..evaluation import fidelity
    from ..evaluation.uncertainty import plan_beside_past
    from ..fitting import fit
    from ..scenarios import save_scenario
    from .account import proof_spread

    seed = options.get("seed", 0)
    model = _forecaster(forecaster, seed, shared)
    fitted = fit(tables, products, forecaster=model, on_step=lambda what: show_step(f"fitting {what}"), **options)
    report = fitted.report
    proof = fitted.report["proof"]
    report["trend"]["counted"] = traffic_unit(tables)
    held_out = {row["forecaster"]: row["wape"] for row in proof["backtest"]}
    proof["fidelity"] = fidelity(fitted.proof, seed=seed) | {"benchmark_wape": held_out["moving-average"]}
    report["scores"] = _scores(report)
    held = {"proof_bias": proof["fidelity"]["bias"], "proof_spread": proof_spread(fitted.proof, seed)}
    held |= _evidence(report)
    report["refit"] |= held
    spec = fitted.spec.with_changes(evidence=held)
    report["plan_beside_past"] = plan_beside_past(spec)
    save_scenario(spec, out)
    save_scenario(fitted.proof, out / PROOF)
    write_json(out / "fit.json", without_nan(report))
    return report


def _evidence(report: dict[str, Any]) -> dict[str, Any]:
    """What speaks for or against the fit beside its proof, as the market keeps it."""
    scores = report["scores"]
    placebo = report["identification_checks"]["lead_price"]["pooled"]
    found = {"proof_wape": scores["forecast_wape"], "yardstick_wape": scores["log_log_wape"]}
    if placebo["effect"] is not None:
        found |= {"placebo_effect": placebo["effect"], "placebo_p": placebo["p_value"]}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _forecaster(name: str, seed: int, shared: Path | None) -> Forecaster | None:
    """The forecaster of this name, None for the choice among all."""
    from ..forecasting import PooledRegression, candidates
    from ..forecasting.models.random_coefficients import Common

    model = candidates(seed=seed).get(name)
    if shared is not None:
        if not isinstance(model, PooledRegression):
            fix = "name it, or leave the option out"
            raise ValueError(f"--shared needs --forecaster pooled-regression; got {name}; {fix}")
        try:
            model.set_params(common=Common.of(json.loads(shared.read_bytes())["common"]))
        except (ValueError, KeyError, TypeError) as error:
            must = f"{shared} must be a file of `repricer federate join`"
            raise ValueError(f"{must}; got: {error}; make it anew") from error
    return model


def _scores(report: dict[str, Any]) -> dict[str, Any]:
    """How well each model fits, in a few numbers."""
    proof = report["proof"]
    response = report["price_response"]
    chosen = report["chosen_forecaster"]
    wape = {row["forecaster"]: row["wape"] for row in proof["backtest"]}
    named = {"forecast": chosen, "moving_average": "moving-average", "log_log": "log-log-regression"}
    scores = {"forecaster": chosen, **{f"{name}_wape": wape[model] for name, model in named.items()}}
    market = proof["fidelity"] | proof["fidelity"]["calibration"]
    scores |= {f"simulated_{name}": market[name] for name in ("wape", "bias", "cover80", "p_value")}
    scores["median_elasticity"] = sorted(row["elasticity"] for row in response)[len(response) // 2]
    names = ("segment_stability", "segment_fidelity")
    return scores | {name: report[name] for name in names if name in report} | report.get("recommender", {})


def privacy_of(dataset: Path, epsilon: float | None, shares: Mapping[Any, float], *, zones: int = 1) -> Privacy | None:
    """The privacy budget of the fit of one zone; None without an epsilon.

    The zones share epsilon equally, as a customer may buy in all of them.
    """
    from ..fitting import Privacy
    from ..privacy.ledger import PrivacyLedger

    if epsilon is None:
        if shares:
            raise ValueError(f"shares of epsilon need an epsilon; got {', '.join(shares)} alone; give epsilon too")
        return None
    return Privacy(epsilon / zones, PrivacyLedger(dataset), shares)


def fit_parts(
    tables: Tables, parts: dict[str, pd.DataFrame], out: Path, *, name: str, **options: Any
) -> dict[str, Any]:
    """Fit a market of each part into a folder of its own, those that are missing; return their reports.

    Args:
        parts: The products of each part; one without a name is the whole catalogue, whose market is that of `out`.
        options: As for `fit_to_folder`.
    """
    from ..scenarios import scenario_name

    # Until all parts of this call are there, those of an earlier one are no catalogue.
    (out / PARTS).unlink(missing_ok=True)
    if list(parts) == [""] and options.get("zone") is None:
        (out / _PART_FILE).unlink(missing_ok=True)
        return fit_to_folder(tables, parts[""], out, name=name, **options)
    for part, products in parts.items():
        folder = out / part
        own = scenario_name(f"{name} {part}".strip())
        started = time.perf_counter()
        file = folder / _PART_FILE
        key = {"key": fit_key(tables, products, own, options)}
        if file.is_file() and json.loads(file.read_text(encoding="utf-8")) == key:
            show_line(f"{part or name}: fitted before")
            continue
        # An interrupted fit leaves neither the old market nor the new one.
        file.unlink(missing_ok=True)
        fit_to_folder(tables, products, folder, name=own, **options)
        write_json(file, key)
        show_line(f"{part or name}: {len(products):,} products, {time.perf_counter() - started:.0f} s")
    if list(parts) == [""]:
        return fit_report(out)
    write_json(out / PARTS, {part: list(dict.fromkeys(products["category"])) for part, products in parts.items()})
    return {"parts": {part: fit_report(out / part) for part in parts}}


def fit_key(tables: Tables, products: pd.DataFrame, name: str, options: Mapping[str, Any]) -> str:
    """Hash of all that a fitted market depends on, the code included."""
    from ..fitting import Assumptions, Priors
    from ..fitting.customers import records
    from ..fitting.refit import assumed
    from ..jobs import Job, code_fingerprint

    own = dict(options)
    plain = assumed(own.pop("assumptions", Assumptions()), own.pop("priors", None) or Priors())
    zone, privacy, shared = (own.pop(key, None) for key in ("zone", "privacy", "shared"))
    plain |= own | {"name": name, "products": records(products), "tables": tables.fingerprint()}
    plain["zone"] = zone and [zone.name, {store: list(stores) for store, stores in zone.stores.items()}]
    plain["private"] = privacy and [privacy.epsilon, dict(privacy.shares)]
    # The file's content, as its path says nothing of a later round of the shops.
    plain["shared"] = shared and Path(shared).read_text(encoding="utf-8")
    return Job("repricer.planning.market_folder:fit_to_folder", plain, code_fingerprint(*_CODE)).key


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


def fit_report(folder: Path) -> dict[str, Any]:
    """The report beside a fitted market."""
    return json.loads((folder / "fit.json").read_text(encoding="utf-8"))


def zone_of(market: Path) -> str | None:
    """The price zone that a market is of; None for all stores.

    Args:
        market: Folder of the market, or of a policy that learned in it.
    """
    record = fit_report(market).get("refit", {}) if (market / "fit.json").is_file() else {}
    return (record.get("zone") or {}).get("name")
