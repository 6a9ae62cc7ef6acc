"""The report: one offline HTML file that tells a pricing manager what the learned prices are worth, and why."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from ..agents import Run
from ..envs import Episodes
from .comparison import BASELINE, Comparison, Estimate, Row
from .plots import LINES, Plot, calibration_plot, fidelity_plot, interval_plot, learning_plot, path_plot, trend_plot
from .policies import RULES

SECTIONS = {
    "comparison": "Comparison",
    "paths": "Prices and stock",
    "shown": "What is shown to whom",
    "learning": "Learning curve",
    "response": "Price responses",
    "segments": "Customer segments",
    "forecast": "Demand forecasts",
    "fidelity": "Fidelity of the fitted market",
    "trend": "Market trend",
    "assumptions": "What was assumed",
    "made": "How it was made",
}
"""The sections under the verdict in their order; one without data is left out."""
_TEMPLATE = "report.html.jinja"
_HISTORICAL = "historical"
_PATHS, _SHOWN, _FOREST = 6, 5, 40
_NORMAL95 = 1.96


@dataclass(frozen=True)
class ReportData:
    """What a report is made of.

    learned: the learned policy's row in the comparison, or None. fit: the fit report (fit.json), whose parts are all
    optional. timings: {"stage", "seconds"} each.
    """

    comparison: Comparison
    run: Run | None = None
    learned: str | None = None
    fit: dict[str, Any] | None = None
    timings: list[dict[str, Any]] | None = None


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write the report as one HTML file that needs nothing else, whole or not at all.

    Raises ValueError where `learned` is no policy of the comparison.
    """
    path = Path(path)
    html = _template().render(_context(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(html)
        os.chmod(name, 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def verdict(comparison: Comparison, learned: str | None) -> str:
    """What the learned prices are worth, in plain sentences with the paired 95% interval.

    They earn more or less than the best fixed prices only where the interval lies on one side of zero. Raises
    ValueError where `learned` is no policy of the comparison.
    """
    market, base = comparison.spec.market, comparison.row(BASELINE)
    if learned is None:
        earned = f"{_number(base.objective.mean)}{_currency(comparison)} {market.objective} an episode"
        said = [f"No learned prices were judged; the best fixed prices earn {earned}."]
    else:
        row = _row(comparison, learned)
        advice = "" if _standing(row) == "more" else "; keep the fixed prices"
        said = [f"The learned prices {_earn(comparison, row)}{advice}."]
        if row.constant:
            said.append(_constant_sentence(comparison, row))
        if row.share_of_optimum is not None:
            said.append(f"They reach {_percent(row.share_of_optimum)} of the exact optimum.")
    if _HISTORICAL in comparison.episodes and learned != _HISTORICAL:
        said.append(f"The historical prices {_earn(comparison, _row(comparison, _HISTORICAL))}.")
    if comparison.spec.assumptions:
        said.append(f"The {market.objective} rests on what was assumed beside the data.")
    return " ".join(said).replace("−", "-")  # a terminal may lack the sign


def _earn(comparison: Comparison, row: Row) -> str:
    """`earn 2.1% more profit than the best fixed prices (95% interval 1.6% to 2.6%)`, or that nobody can tell."""
    objective, standing = comparison.spec.market.objective, _standing(row)
    amount, interval = _gap(comparison, row, -1 if standing == "less" else 1)
    if standing == "level":
        what = "cannot be told apart from the best fixed prices"
        return f"{what}: the difference in {objective} is {amount} {interval}"
    return f"earn {amount} {standing} {objective} than the best fixed prices {interval}"


def _constant_sentence(comparison: Comparison, row: Row) -> str:
    if row.price_changes == 0:
        what = "list price ever changes, only personal discounts do" if _discounts(comparison) else "price ever changes"
        return f"In truth they are a constant: no {what}."
    return f"In truth they are a constant: {_percent(row.at_bound_share)} of the prices stand at a bound of the rules."


def _standing(row: Row) -> str:
    """Whether a policy earns `more` or `less` than the best fixed prices, or is `level` with them."""
    gap = row.vs_best_fixed
    return "more" if gap.low > 0 else "less" if gap.high < 0 else "level"


def _gap(comparison: Comparison, row: Row, sign: int = 1) -> tuple[str, str]:
    """The paired difference, times `sign`, and its interval in brackets, as text."""
    mean, low, high, unit = _relative(comparison, row)
    low, high = sorted((sign * low, sign * high))
    tail = "%" if unit == "%" else unit and f" {unit}"
    finite = [abs(x) for x in (mean, low, high) if x and math.isfinite(x)]
    # As many digits as the smallest of the three needs, so that nothing that is not zero reads as zero, and as the two
    # ends of the interval need to differ.
    width = high - low if 0 < high - low < math.inf else 1.0
    digits = min(4, max(1, math.ceil(-math.log10(min([*finite, width], default=1.0)))))
    amount, *ends = (f"{_number(x, digits)}{tail}" for x in (sign * mean, low, high))
    known = math.isfinite(low) and math.isfinite(high)
    return amount, f"(95% interval {ends[0]} to {ends[1]})" if known else "(one episode gives no interval)"


def _relative(comparison: Comparison, row: Row) -> tuple[float, float, float, str]:
    """Mean, low, high and unit of the paired difference: percent of what the best fixed prices earn, else money."""
    base, gap = comparison.row(BASELINE).objective.mean, row.vs_best_fixed
    scale, unit = (100 / base, "%") if base > 0 else (1.0, _currency(comparison).strip())
    return gap.mean * scale, gap.low * scale, gap.high * scale, unit


def _row(comparison: Comparison, policy: str) -> Row:
    if policy not in comparison.episodes:
        known = ", ".join(comparison.episodes)
        raise ValueError(f"learned must be a policy of the comparison ({known}); got '{policy}'; evaluate it first")
    return comparison.row(policy)


def _currency(comparison: Comparison) -> str:
    """The currency after a space, or nothing where the scenario does not name it."""
    name = comparison.spec.market.currency
    return "" if name == "currency" else f" {name}"


def _discounts(comparison: Comparison) -> bool:
    return comparison.spec.prices.max_discount > 0


# What the template sees.


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "estimate": _estimate}
    return environment.from_string((resources.files(__package__ or __name__) / _TEMPLATE).read_text(encoding="utf-8"))


def _context(data: ReportData) -> dict[str, Any]:
    comparison, fit = data.comparison, data.fit or {}
    learned = None if data.learned is None else _row(comparison, data.learned)
    plots, paths, shown = _plots(data, fit), _paths(data), _shown(data)
    assumptions = list(dict.fromkeys([*comparison.spec.assumptions, *fit.get("assumptions", [])]))
    present = {
        "comparison": True,
        "paths": paths,
        "shown": shown or fit.get("recommender"),
        "learning": plots["learning"],
        "response": fit.get("price_response") or fit.get("category_response") or fit.get("reference_effect"),
        "segments": fit.get("segments"),
        "forecast": fit.get("backtest"),
        "fidelity": fit.get("fidelity"),
        "trend": fit.get("trend"),
        "assumptions": assumptions,
        "made": True,
    }
    return {
        "verdict": verdict(comparison, data.learned),
        "standing": "none" if learned is None else _standing(learned),
        "sections": {key: title for key, title in SECTIONS.items() if present[key]},
        "comparison": comparison,
        "spec": comparison.spec,
        "market": comparison.spec.market,
        "currency": _currency(comparison).strip(),
        "base": comparison.row(BASELINE),
        "learned": learned,
        "label": _labeller(data),
        "relative": lambda row: _relative(comparison, row),
        "rules": _meanings(comparison),
        "kinds": _line_kinds(data),
        "elasticity": _middle(fit.get("price_response") or []),
        "spread": _FOREST if len(fit.get("price_response") or []) > _FOREST else 0,
        "facts": data.run.facts if data.run else {},
        "versions": _versions(data),
        "timings": data.timings or [],
        **{"fit": fit, "plots": plots, "paths": paths, "shown": shown, "assumptions": assumptions},
    }


def _meanings(comparison: Comparison) -> dict[str, str]:
    """What each rule policy of the comparison does."""
    rules = {rule.partition(":")[0]: meaning for rule, meaning in RULES.items()}
    kinds = {row.policy: row.policy.partition(":")[0] for row in comparison.rows}
    return {policy: rules[kind] for policy, kind in kinds.items() if kind in rules}


def _line_kinds(data: ReportData) -> dict[str, str]:
    """The key of the path plots."""
    words = {
        "learned": "learned",
        "paid": "learned, price paid after personal discounts",
        "best-fixed": "best fixed",
        "historical": "historical",
    }
    return {kind: words[kind] for kind in _price_lines(_runs(data), 0, _discounts(data.comparison))}


def _middle(products: list[dict[str, Any]]) -> float | None:
    """The median of the elasticities that were used."""
    values = [row["shrunk"] for row in products if _known(row["shrunk"])]
    return float(np.median(values)) if values else None


def _plots(data: ReportData, fit: Mapping[str, Any]) -> dict[str, Plot | None]:
    """The plots that stand once, None where there is nothing to draw."""
    market, history = data.comparison.spec.market, data.run.history if data.run else []
    scaled = bool(history) and all(row["best_fixed"] > 0 for row in history)
    unit = "%" if scaled else _currency(data.comparison).strip() or "units of money"
    fidelity, trend = fit.get("fidelity") or {}, fit.get("trend") or {}
    drawable = all(trend.get(name) for name in ("weeks", "history", "forecast_weeks", "traffic", "low", "high"))
    return {
        "gaps": _gap_plot(data),
        "learning": learning_plot(history, objective=market.objective, unit=unit) if history else None,
        "response": _response_plot(fit.get("price_response") or []),
        "fidelity": fidelity_plot(fidelity["products"]) if fidelity.get("products") else None,
        "calibration": calibration_plot(fidelity["calibration"]) if fidelity.get("calibration") else None,
        "trend": trend_plot(trend) if drawable else None,
    }


def _gap_plot(data: ReportData) -> Plot | None:
    """The paired difference of every other policy to the best fixed prices."""
    comparison, label = data.comparison, _labeller(data)
    rows = [row for row in comparison.rows if row.policy != BASELINE]
    if not rows or comparison.count < 2:
        return None
    mean, low, high, units = zip(*(_relative(comparison, row) for row in rows), strict=True)
    strong = [data.learned is None or row.policy == data.learned for row in rows]
    title = f"{comparison.spec.market.objective} against the best fixed prices" + (f" ({units[0]})" if units[0] else "")
    return interval_plot([label(row.policy) for row in rows], mean, low, high, label=title, strong=strong, room=1.5)


def _response_plot(products: list[dict[str, Any]]) -> Plot | None:
    """Own-price elasticities, shrunk with their intervals and raw; evenly thinned where there are too many."""
    rows = sorted((row for row in products if _known(row["shrunk"])), key=lambda row: -row["shrunk"])
    if not rows:
        return None
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _FOREST)).round().astype(int))]
    shrunk, error, raw = (np.array([row[name] for row in rows], dtype=float) for name in ("shrunk", "shrunk_se", "raw"))
    return interval_plot(
        [row.get("name") or row["product"] for row in rows],
        shrunk,
        shrunk - _NORMAL95 * error,
        shrunk + _NORMAL95 * error,
        label="own-price elasticity",
        strong=np.ones(len(rows), dtype=bool),
        hollow=raw,
        crossed=[bool(row["implausible"]) for row in rows],
    )


def _paths(data: ReportData) -> list[tuple[str, Plot]]:
    """(product, plot) of the products that bring the most money under the learned prices."""
    spec = data.comparison.spec
    episodes = _runs(data)
    first = next(iter(episodes.values()))
    cost = spec.products.unit_cost if spec.market.objective == "profit" else 0.0
    worth = (first.units_path * (first.paid_path - cost)).sum(axis=0)
    unit, period = _currency(data.comparison).strip(), spec.market.period
    drawn = []
    for n in np.argsort(-worth, kind="stable")[:_PATHS]:
        limited = bool(np.isfinite(first.stock_path[:, n]).all())
        units = {kind: (run.stock_path if limited else run.units_path)[:, n] for kind, run in episodes.items()}
        plot = path_plot(
            spec.products.names[n],
            _price_lines(episodes, n, _discounts(data.comparison)),
            units,
            period=period,
            price_label="list price" + (f" ({unit})" if unit else ""),
            units_label="units on hand" if limited else f"units sold a {period}",
        )
        drawn.append((spec.products.names[n], plot))
    return drawn


def _runs(data: ReportData) -> dict[str, Episodes]:
    """The episodes whose paths are drawn, by the kind of line."""
    names = {"learned": data.learned, "best-fixed": BASELINE, "historical": _HISTORICAL}
    known = data.comparison.episodes
    return {kind: known[name] for kind, name in names.items() if name in known}


def _price_lines(episodes: Mapping[str, Episodes], product: int, discounts: bool) -> dict[str, NDArray[np.float64]]:
    lines = {kind: run.price_path[:, product] for kind, run in episodes.items()}
    if discounts and "learned" in episodes:
        lines["paid"] = episodes["learned"].paid_path[:, product]
    return {kind: lines[kind] for kind in LINES if kind in lines}


def _shown(data: ReportData) -> list[dict[str, Any]]:
    """A row a segment: the recommender's own favourite (as the best fixed prices show it) and what is shown most."""
    spec = data.comparison.spec
    if spec.recommendation is None or data.learned is None:
        return []
    now, own = (data.comparison.episodes[name].shown for name in (data.learned, BASELINE))
    rows = []
    for k, segment in enumerate(spec.arrivals.segments):
        most = [n for n in np.argsort(-now[k], kind="stable")[:_SHOWN] if now[k, n] > 0]
        rows.append(
            {
                "segment": segment,
                "own": spec.products.names[own[k].argmax()] if own[k].any() else None,
                "most": [(spec.products.names[n], float(now[k, n])) for n in most],
                "rest": max(0.0, float(now[k].sum() - now[k, most].sum())),
                "nothing": max(0.0, 1.0 - float(now[k].sum())),
            }
        )
    return rows


def _labeller(data: ReportData) -> Callable[[str], str]:
    return lambda policy: f"learned ({policy})" if policy == data.learned else policy


def _versions(data: ReportData) -> dict[str, str]:
    if data.run is None:
        return {name: version(name) for name in ("repricer", "numpy")}
    return {"python": data.run.facts["python"]} | data.run.facts["versions"]


def _known(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _number(value: Any, digits: int | None = None) -> str:
    """With thousands separated and a true minus sign; a dash where the value is not known."""
    if not _known(value):
        return "–"
    if digits is None:
        digits = 0 if isinstance(value, int) or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def _percent(value: Any, digits: int = 1) -> str:
    return f"{_number(100 * value, digits)}%" if _known(value) else "–"


def _estimate(mean: Any, error: Any) -> Estimate:
    """A figure with a standard error as a mean with its 95% interval."""
    half = _NORMAL95 * error if _known(error) else math.inf
    return Estimate(mean, mean - half, mean + half) if _known(mean) else Estimate(math.nan, math.nan, math.nan)
