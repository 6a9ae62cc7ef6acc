"""The report: one offline HTML file with the results of a comparison, for a pricing manager."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from ...atomic import write_whole
from ..compare.comparison import BASELINE, Comparison, Row
from ..policies import POLICY_NAMES
from ..uncertainty import plan_beside_past
from .data import ReportData, currency_of, labeller, row_of
from .formats import estimate, number, percent
from .recommended import candidate_rows, explanations, headline, list_rows, price_rows
from .sections import (
    FOREST,
    demand_plots,
    line_kinds,
    map_plots,
    middle_elasticity,
    path_plots,
    payers,
    shown_products,
    single_plots,
    stress_sentences,
    strongest_pairs,
)
from .verdict import relative, second_look, standing, verdict, warnings

SECTIONS = {
    "comparison": "Comparison",
    "uncertainty": "Uncertainty of the gain",
    "list": "Price list",
    "paths": "Prices and stock",
    "map": "Price by stock and time",
    "rules": "Prices as rules",
    "shown": "Recommendations by segment",
    "paid": "Prices paid by segment",
    "learning": "Learning curve",
    "response": "Price responses",
    "checks": "Checks of the price responses",
    "segments": "Customer segments",
    "forecast": "Demand forecasts",
    "fidelity": "Fidelity of the fitted market",
    "sales": "Sales and prices by week",
    "trend": "Market trend",
    "stress": "Stress tests",
    "assumptions": "Assumptions",
    "made": "How this report was made",
}
"""The sections below the verdict in order; one without data is left out."""


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write the report as one self-contained HTML file, completely or not at all.

    Args:
        path: Where to write it; missing folders are made.
        data: The contents.

    Returns:
        The path.

    Raises:
        ValueError: Where `data.learned` is no policy of the comparison.

    Example:
        >>> import tempfile
        >>> from repricer.evaluation import evaluate
        >>> from repricer.evaluation.report import ReportData, write_report
        >>> data = ReportData(evaluate("stationary-logit", ["fixed:9"], episodes=5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(f"{folder}/report.html", data).name
        'report.html'
    """
    path = Path(path)
    html = _template().render(_context(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html)
    return path


@functools.cache
def _template() -> jinja2.Template:
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "percent": percent, "estimate": estimate, "sentence": _sentence}
    return environment.get_template("page.html.jinja")


def _sentence(text: str) -> str:
    """A clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def _context(data: ReportData) -> dict[str, Any]:
    """Everything that the template uses."""
    context = _results(data) | _figures(data)
    present = _present(data, context)
    return context | {"sections": {key: title for key, title in SECTIONS.items() if present[key]}}


def _results(data: ReportData) -> dict[str, Any]:
    """The comparison, with its verdict and labels."""
    comparison, market = data.comparison, data.comparison.spec.market
    learned = None if data.learned is None else row_of(comparison, data.learned)
    uncertain = comparison.uncertainty
    said = {"verdict": verdict(comparison, data.learned), "explanations": [], "candidates": [], "price_rows": []}
    if uncertain is not None:
        said = {
            "verdict": headline(comparison),
            "explanations": explanations(comparison, data.learned),
            "candidates": candidate_rows(comparison),
            "price_rows": price_rows(comparison),
        }
    return said | {
        "standing": _standing(comparison, learned),
        "past": plan_beside_past(comparison.spec),
        "unfitted": data.fit is None and comparison.spec.posterior is not None,
        "uncertain": uncertain,
        "warnings": warnings(comparison, data.learned),
        "second_look": "" if data.learned is None else second_look(comparison, data.learned),
        "comparison": comparison,
        "limit": "optimum" if comparison.optimum else "bound" if comparison.bound else None,
        "spec": comparison.spec,
        "market": market,
        "currency": currency_of(comparison).strip(),
        "base": comparison.row(BASELINE),
        "learned": learned,
        "label": labeller(data),
        "relative": lambda gap: relative(comparison, gap),
        "rules": _meanings(comparison),
    }


def _standing(comparison: Comparison, learned: Row | None) -> str:
    """Whether the verdict is one of more: `more`, `less`, `level` or `none`."""
    if comparison.uncertainty is not None:
        return "more" if comparison.uncertainty.recommendation.change and not comparison.uncertainty.doubt else "none"
    return "none" if learned is None else standing(learned)


def _figures(data: ReportData) -> dict[str, Any]:
    """What the sections show."""
    fit = data.fit or {}
    products = fit.get("price_response") or []
    map_pictures, maps = map_plots(data)
    return {
        "fit": fit,
        "proof": fit.get("proof") or {},
        "plots": single_plots(data, fit),
        "price_list": list_rows(data),
        "paths": path_plots(data),
        "demand": demand_plots(data, fit),
        "kinds": line_kinds(data),
        "map_pictures": map_pictures,
        "maps": maps,
        "tree": data.tree,
        "tree_fidelity": data.tree_fidelity,
        "shown": shown_products(data),
        "payers": payers(data),
        "elasticity": middle_elasticity(products),
        "pairs": strongest_pairs(fit.get("cross_elasticities") or []),
        "spread": FOREST if len(products) > FOREST else 0,
        "stress": data.stress,
        "stress_sentences": stress_sentences(data),
        "assumptions": list(dict.fromkeys([*data.comparison.spec.assumptions, *fit.get("assumptions", [])])),
        "facts": data.run.facts if data.run else {},
        "versions": _versions(data),
        "timings": data.timings or [],
    }


def _present(data: ReportData, context: Mapping[str, Any]) -> dict[str, Any]:
    """Whether each section has something to show."""
    fit, proof = context["fit"], context["proof"]
    return {
        "comparison": True,
        "uncertainty": context["uncertain"],
        "list": context["price_list"],
        "paths": True,
        "map": data.run and data.learned,
        "rules": data.tree,
        "shown": context["shown"] or fit.get("recommender"),
        "paid": True,
        "learning": context["plots"]["learning"],
        "response": fit.get("price_response") or fit.get("category_response") or fit.get("deals"),
        "checks": fit.get("unidentified") or fit.get("identification_checks") or proof.get("price_changes"),
        "segments": fit.get("segments"),
        "forecast": proof.get("backtest"),
        "fidelity": proof.get("fidelity"),
        "sales": context["plots"]["sales"] or context["plots"]["planned"],
        # A number of rows that is the same whatever is sold is no size of the market.
        "trend": fit.get("trend") and fit["trend"].get("counted") != "rows",
        "stress": data.stress,
        "assumptions": context["assumptions"],
        "made": True,
    }


def _meanings(comparison: Comparison) -> dict[str, str]:
    """What each rule policy of the comparison does."""
    rules = {rule.partition(":")[0]: meaning for rule, meaning in POLICY_NAMES.items()}
    kinds = {row.policy: row.policy.partition(":")[0] for row in comparison.rows}
    return {policy: rules[kind] for policy, kind in kinds.items() if kind in rules}


def _versions(data: ReportData) -> dict[str, str]:
    if data.run is None:
        return {name: version(name) for name in ("repricer", "numpy")}
    return {"python": data.run.facts["python"]} | data.run.facts["versions"]
