"""The fit of a market into a folder: what `repricer fit` and `repricer cycle` do, and a job of a cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ..atomic import without_nan, write_json
from ._compile_ahead import CompileAhead
from ._options import show_step

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables
    from ..fitting import Assumptions, Priors, Privacy, Zone
    from ..forecasting import Forecaster
    from ..forecasting.models.random_coefficients import Common

PROOF = "proof"
"""Folder of the market of the held-out weeks, in that of the market."""
FORECASTERS = (
    "selected",
    "moving-average",
    "seasonal-naive",
    "exponential-smoothing",
    "intermittent",
    "sarimax",
    "log-log-regression",
    "pooled-regression",
    "lstm",
)


class FitArguments(TypedDict, total=False):
    """What a command passes on to `repricer.fit`; see there."""

    name: str
    seed: int
    currency: str
    weeks: int | None
    holdout_weeks: int | None
    period: str
    promotions: bool
    objective: str | None
    assumptions: Assumptions | None
    priors: Priors | None
    draws: int
    zone: Zone | None
    privacy: Privacy | None


def tables_of(dataset: Path, plan: Path | None) -> Tables:
    """The imported tables, with the shop's plan from a file of its own if one is given."""
    from ..data import import_table, load_tables

    tables = load_tables(dataset)
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
    compiler: CompileAhead | None = None,
    **options: Unpack[FitArguments],
) -> dict[str, Any]:
    """Fit, prove the fit on held-out weeks, write both markets and the report; return the report."""
    from ..data import traffic_unit
    from ..evaluation import fidelity
    from ..evaluation.uncertainty import plan_beside_past, proof_spread
    from ..fitting import fit
    from ..scenarios import save_scenario

    seed = options.get("seed", 0)
    model = _forecaster(forecaster, seed, shared)
    fitted = fit(tables, products, forecaster=model, on_step=lambda what: show_step(f"fitting {what}"), **options)
    report, proof = fitted.report, fitted.report["proof"]
    report["trend"]["counted"] = traffic_unit(tables)
    held_out = {row["forecaster"]: row["wape"] for row in proof["backtest"]}
    if compiler is not None:
        compiler.wait()
    proof["fidelity"] = fidelity(fitted.proof, seed=seed) | {"benchmark_wape": held_out["moving-average"]}
    report["scores"] = _scores(report)
    held = {"proof_bias": proof["fidelity"]["bias"], "proof_spread": proof_spread(fitted.proof, seed)}
    report["refit"] |= held
    spec = fitted.spec.with_changes(history=held)
    report["plan_beside_past"] = plan_beside_past(spec)
    save_scenario(spec, out)
    save_scenario(fitted.proof, out / PROOF)
    write_json(out / "fit.json", without_nan(report))
    return report


def _forecaster(name: str, seed: int, shared: Path | None) -> Forecaster | None:
    """The forecaster of this name, None for the choice among all."""
    from ..forecasting import PooledRegression, candidates

    model = candidates(seed=seed).get(name)
    if shared is not None:
        if not isinstance(model, PooledRegression):
            raise ValueError(
                f"--shared needs --forecaster pooled-regression; got {name}; name it, or leave the option out"
            )
        model.set_params(common=_shared(shared))
    return model


def _shared(path: Path) -> Common:
    from ..forecasting.models.random_coefficients import Common

    try:
        return Common.of(json.loads(path.read_bytes())["common"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a file of `repricer federate join`; got: {error}; make it anew") from error


def _scores(report: dict[str, Any]) -> dict[str, Any]:
    """How well each model fits, in a few numbers."""
    proof, response = report["proof"], report["price_response"]
    held_out = {row["forecaster"]: row["wape"] for row in proof["backtest"]}
    return {
        "forecaster": report["chosen_forecaster"],
        "forecast_wape": held_out[report["chosen_forecaster"]],
        "moving_average_wape": held_out["moving-average"],
        "log_log_wape": held_out["log-log-regression"],
        "simulated_wape": proof["fidelity"]["wape"],
        "simulated_bias": proof["fidelity"]["bias"],
        "simulated_cover80": proof["fidelity"]["calibration"]["cover80"],
        "simulated_cover95": proof["fidelity"]["calibration"]["cover95"],
        "simulated_p_value": proof["fidelity"]["calibration"]["p_value"],
        "median_elasticity": sorted(row["elasticity"] for row in response)[len(response) // 2],
        "implausible_elasticities": sum(bool(row["implausible"]) for row in response),
        "trend_error": report["trend"]["score"],
        "trend_error_naive": report["trend"]["naive"],
        **{name: report[name] for name in ("segment_stability", "segment_fidelity") if name in report},
        **report.get("recommender", {}),
    }
