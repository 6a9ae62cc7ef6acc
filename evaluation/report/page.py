"""The report: one offline HTML file with the results of a comparison, for a pricing manager."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from ...agents.posterior import current_prices
from ...atomic import write_whole
from ...envs import Episodes
from ...scenarios import MarketSpec
from ..comparison import BASELINE, Comparison, Estimate, Row
from ..explanation import demand_curve, view_at
from ..fairness import COLUMNS
from ..figures import currency_of, known, number, percent
from ..policies import POLICY_NAMES
from ..uncertainty import plan_beside_past
from .plots import (
    LINES,
    Plot,
    bridge_plot,
    calibration_plot,
    changes_plot,
    demand_plot,
    fidelity_plot,
    index_plot,
    interval_plot,
    learning_plot,
    map_plot,
    path_plot,
    planned_plot,
    sales_plot,
    spread_plot,
    trend_plot,
)
from .price_map import PriceMap, price_maps
from .verdict import (
    HISTORICAL,
    SAME,
    ReportData,
    estimate,
    explanations,
    has_discounts,
    labeller,
    relative,
    row_of,
    second_look,
    standing,
    verdict,
    warnings,
)

SECTIONS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "comparison": ("Comparison", lambda _: True),
    "uncertainty": ("Uncertainty of the gain", lambda page: page["uncertain"]),
    "list": ("Price list", lambda page: page["price_list"]),
    "rule_costs": ("What each rule costs", lambda page: page["rule_costs"]),
    "image": ("Price image", lambda page: page["key_items"] or page["price_index"]),
    "paths": ("Prices and stock", lambda _: True),
    "map": ("Price by stock and time", lambda page: page["run"] and page["learned"]),
    "rules": ("Prices as rules", lambda page: page["tree"]),
    "shown": ("Recommendations by segment", lambda page: page["shown"] or page["fit"].get("recommender")),
    "paid": ("Prices paid by segment", lambda _: True),
    "groups": ("Prices and surplus by group", lambda page: page["groups"]),
    "learning": ("Learning curve", lambda page: page["plots"]["learning"]),
    "response": ("Price responses", lambda page: _any(page["fit"], "price_response", "category_response", "deals")),
    "checks": (
        "Checks of the price responses",
        lambda page: _any(page["fit"], "unidentified", "identification_checks") or page["proof"].get("price_changes"),
    ),
    "segments": ("Customer segments", lambda page: page["fit"].get("segments")),
    "forecast": ("Demand forecasts", lambda page: page["proof"].get("backtest")),
    "fidelity": ("Fidelity of the fitted market", lambda page: page["proof"].get("fidelity")),
    "sales": ("Sales and prices by week", lambda page: _any(page["plots"], "sales", "planned")),
    # A number of rows that is the same whatever is sold is no size of the market.
    "trend": ("Market trend", lambda page: (page["fit"].get("trend") or {"counted": "rows"}).get("counted") != "rows"),
    "stress": ("Stress tests", lambda page: page["stress"]),
    "assumptions": ("Assumptions", lambda page: page["assumptions"]),
    "made": ("How this report was made", lambda _: True),
}
"""The sections below the verdict in order, with their titles and what each is left out without."""
_PATHS = 6
_MAPS = 3
_ROWS_SHOWN = 5
_PAIRS = 12
FOREST = 40
# A price that moves by less in a map makes it one colour.
_FLAT = 0.005
_LEAST_STEP_SHARE = 1e-4
# The price cut that cross-elasticities are explained by.
_LOWER = 0.1
_KIND_WORDS = {
    "learned": "learned",
    "paid": "learned, price paid after personal discounts",
    "best-fixed": "best fixed",
    "historical": "current",
}
"""The key of the path plots."""
_OWN_VERSIONS = {name: version(name) for name in ("repricer", "numpy")}


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
    environment.filters |= {"number": number, "percent": percent, "estimate": estimate}
    environment.filters |= {"sentence": _sentence, "span": _span}
    return environment.get_template("page.html.jinja")


def _sentence(text: str) -> str:
    """A clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def _span(prices: list[float]) -> str:
    """One price, or the lowest and the highest."""
    low, high = (number(price, 2) for price in (min(prices), max(prices)))
    return low if low == high else f"{low} to {high}"


def _any(parts: Mapping[str, Any], *names: str) -> bool:
    return any(parts.get(name) for name in names)


def _context(data: ReportData) -> dict[str, Any]:
    """Everything that the template uses: the report's data, the verdict on it, and what the sections show."""
    comparison = data.comparison
    spec = data.comparison.spec
    fit = data.fit or {}
    learned = None if data.learned is None else row_of(comparison, data.learned)
    uncertain = comparison.uncertainty
    products = fit.get("price_response") or []
    facts = data.run.facts if data.run else {}
    map_pictures, maps = map_plots(data)
    context = vars(data) | {
        "verdict": uncertain.headline if uncertain else verdict(comparison, data.learned),
        "explanations": explanations(comparison, data.learned) if uncertain else [],
        "standing": _standing(comparison, learned),
        "past": plan_beside_past(spec),
        "unfitted": data.fit is None and spec.posterior is not None,
        "uncertain": uncertain,
        "warnings": warnings(comparison, data.learned),
        "second_look": "" if data.learned is None else second_look(comparison, data.learned),
        "limit": "optimum" if comparison.optimum else "bound" if comparison.bound else None,
        "spec": spec,
        "market": spec.market,
        "currency": unit_of(data),
        "unit": currency_of(spec),
        "base": comparison.row(BASELINE),
        "learned": learned,
        "label": labeller(data),
        "relative": lambda gap: relative(comparison, gap),
        "rules": _meanings(comparison),
        "fit": fit,
        "proof": fit.get("proof") or {},
        "plots": single_plots(data, fit),
        "same": SAME,
        "paths": path_plots(data),
        "demand": demand_plots(data, fit),
        "kinds": {kind: _KIND_WORDS[kind] for kind in _price_lines(data, 0)},
        "map_pictures": map_pictures,
        "index_pictures": [(path, index_plot(path)) for path in data.price_index],
        "maps": maps,
        "shown": shown_products(data),
        "payers": payers(data),
        "headings": [name.replace("_", " ") for name in COLUMNS],
        "elasticity": middle_elasticity(products),
        "pairs": strongest_pairs(fit.get("cross_elasticities") or []),
        "spread": FOREST if len(products) > FOREST else 0,
        "stress_sentences": stress_sentences(data),
        "assumptions": list(dict.fromkeys([*spec.assumptions, *fit.get("assumptions", [])])),
        "facts": facts,
        "versions": {"python": facts["python"]} | facts["versions"] if facts else _OWN_VERSIONS,
    }
    return context | {"sections": {key: title for key, (title, present) in SECTIONS.items() if present(context)}}


def _standing(comparison: Comparison, learned: Row | None) -> str:
    """Whether the verdict is one of more: `more`, `less`, `level` or `none`."""
    if comparison.uncertainty is not None:
        return "more" if comparison.uncertainty.recommendation.change and not comparison.uncertainty.doubt else "none"
    return "none" if learned is None else standing(learned)


def _meanings(comparison: Comparison) -> dict[str, str]:
    """What each rule policy of the comparison does."""
    rules = {rule.partition(":")[0]: meaning for rule, meaning in POLICY_NAMES.items()}
    kinds = {row.policy: row.policy.partition(":")[0] for row in comparison.rows}
    return {policy: rules[kind] for policy, kind in kinds.items() if kind in rules}


# Contents of the sections: their plots and figures.


def single_plots(data: ReportData, fit: Mapping[str, Any]) -> dict[str, Plot | None]:
    """The plots that occur once, None where there is nothing to draw."""
    market = data.comparison.spec.market
    history = data.run.history if data.run else []
    best = data.run.facts["best"] if data.run and history else {}
    scaled = bool(history) and all(row["best_fixed"] > 0 for row in history)
    unit = "%" if scaled else unit_of(data) or "units of money"
    proof = fit.get("proof") or {}
    trend = fit.get("trend") or {}
    fidelity = proof.get("fidelity") or {}
    changes = (proof.get("price_changes") or {}).get("changes")
    drawable = all(trend.get(name) for name in ("weeks", "history", "forecast_weeks", "traffic", "low", "high"))
    return {
        "gaps": _gap_plot(data),
        "uncertainty": _uncertainty_plot(data),
        "sales": sales_plot(fit["sales_by_week"]) if fit.get("sales_by_week") else None,
        "planned": planned_plot(fit["prices_by_week"], unit=unit_of(data)) if fit.get("prices_by_week") else None,
        "bridge": _bridge_plot(data),
        "stress": _stress_plot(data),
        "learning": learning_plot(history, best, objective=market.objective, unit=unit) if history else None,
        "response": _response_plot(fit.get("price_response") or []),
        "changes": changes_plot(changes) if changes else None,
        "fidelity": fidelity_plot(fidelity["products"]) if fidelity.get("products") else None,
        "calibration": calibration_plot(fidelity["calibration"]) if fidelity.get("calibration") else None,
        "trend": trend_plot(trend) if drawable else None,
    }


def _gap_plot(data: ReportData) -> Plot | None:
    """The paired difference of every other policy to the best fixed prices."""
    comparison = data.comparison
    label = labeller(data)
    rows = [row for row in comparison.rows if row.policy != BASELINE]
    if not rows or comparison.count < 2:
        return None
    mean, low, high, units = zip(*(relative(comparison, row.vs_best_fixed) for row in rows), strict=True)
    strong = [data.learned is None or row.policy == data.learned for row in rows]
    title = _with_unit(f"{comparison.spec.market.objective} against the best fixed prices", units[0])
    return interval_plot([label(row.policy) for row in rows], mean, low, high, label=title, strong=strong, room=1.5)


def _uncertainty_plot(data: ReportData) -> Plot | None:
    """The distribution of each candidate's gain over the posterior draws."""
    found = data.comparison.uncertainty
    label = labeller(data)
    if found is None:
        return None
    chosen = found.recommendation
    names = [standing.policy for standing in found.recommendation.standings]
    gains = [found.gain(name) for name in names]
    shares = [100 * gain.relative_draws for gain in gains if gain.relative_draws is not None]
    draws, unit = (shares, "%") if len(shares) == len(gains) else ([gain.draws for gain in gains], unit_of(data))
    title = _with_unit(f"expected {found.metric} against current prices", unit)
    shown = [label(name).removesuffix(f":{chosen.current}") for name in names]
    return spread_plot(shown, draws, label=title, strong=[name == chosen.policy for name in names])


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label


def _stress_plot(data: ReportData) -> Plot | None:
    """The learned policy's gain over the best fixed prices of the market without stress, under each stress."""
    rows = [row for row in data.stress.rows if row.policy == data.learned] if data.stress else []
    gaps = [row.vs_fixed for row in rows]
    if all(gap.low == gap.high == 0 for gap in gaps):
        return None
    label = _with_unit(f"{data.comparison.spec.market.objective} against the fixed prices", unit_of(data))
    ends = ([getattr(gap, end) for gap in gaps] for end in ("mean", "low", "high"))
    return interval_plot([row.stress for row in rows], *ends, label=label, strong=np.ones(len(rows), dtype=bool))


def unit_of(data: ReportData) -> str:
    """The currency, or nothing where the scenario does not name it."""
    return currency_of(data.comparison.spec).strip()


def _bridge_plot(data: ReportData) -> Plot | None:
    """From what current prices are expected to earn to what the recommended ones are."""
    found = data.comparison.uncertainty
    now = data.current
    if found is None or now is None or not data.price_list or not found.recommendation.change:
        return None

    def column(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in data.price_list])

    before = getattr(now, found.metric).mean.T.ravel()
    after = column(f"expected_{found.metric}")
    units = now.units.mean.T.ravel()
    sold = column("expected_units")
    old = column("current_price")
    new = column("new_price")
    # What the units that are sold bring more or less, and the rest: what other units bring.
    margin = (new - old) * sold
    steps = [("current prices", before.sum())]
    for word, price, moved in (
        ("raised", "higher", new > old),
        ("lowered", "lower", new < old),
        ("other", "", new == old),
    ):
        if price:
            steps.append((f"{word}: {price} price", margin[moved].sum()))
        what = f"{'more' if (sold - units)[moved].sum() > 0 else 'fewer'} units"
        steps.append((f"{word}: {what}", (after - before - margin * (new != old))[moved].sum()))
    steps = [step for step in steps if abs(step[1]) > _LEAST_STEP_SHARE * abs(before.sum())]
    label = _with_unit(f"expected {found.metric}", unit_of(data))
    return bridge_plot([*steps, ("recommended prices", after.sum())], label=label)


def demand_plots(data: ReportData, fit: Mapping[str, Any]) -> list[tuple[str, Plot]]:
    """Units against price of the best sellers, as (product, plot), with the market's curve at the level of these weeks."""
    spec = data.comparison.spec
    drawn = []
    if not fit.get("charged") or spec.plan is None:
        return []
    policy = current_prices(spec)
    view = view_at(spec, policy, period=0)
    for row in fit["charged"]:
        if row["product"] not in spec.products.names:
            continue
        price, units = (np.array(row[name], dtype=float) for name in ("price", "units"))
        curve = demand_curve(spec, view, policy.act(view), spec.products.names.index(row["product"]))
        level = np.median(units / np.interp(price, curve.price, curve.units))
        at_level = (curve.price, level * curve.units)
        drawn.append((row["product"], demand_plot(row["product"], (price, units), at_level, unit=unit_of(data))))
    return drawn


def stress_sentences(data: ReportData) -> list[str]:
    """The worst stress for the learned policy, and how often it beats the prices that were best without stress."""
    rows = [row for row in data.stress.rows if row.policy == data.learned] if data.stress else []
    known_losses = [row for row in rows if known(row.loss.mean)]
    if not known_losses:
        return []
    objective = data.comparison.spec.market.objective
    worst = max(known_losses, key=lambda row: row.loss.mean)
    cost = f"costs them {percent(worst.loss.mean)} of" if worst.loss.mean > 0 else "costs them none of"
    first = f"The worst stress for the learned prices is {worst.stress}, which {cost} their {objective}."
    if all(row.vs_fixed.low == row.vs_fixed.high == 0 for row in rows):
        return [f"{first} They are the best fixed prices, so that no stress tells the two apart."]
    ahead = sum(row.vs_fixed.low > 0 for row in rows)
    behind = sum(row.vs_fixed.high < 0 for row in rows)
    counts = {"more": ahead, "less": behind, "about as much": len(rows) - ahead - behind}
    found = ", ".join(f"{what} under {count}" for what, count in counts.items() if count)
    then = f"Compared with the prices that were the best fixed ones without stress, they earn {found} of {len(rows)} stresses."
    return [first, then]


def _response_plot(products: list[dict[str, Any]]) -> Plot | None:
    """Own-price elasticities with their intervals, and the regression's; evenly thinned where there are too many."""
    rows = sorted((row for row in products if known(row["elasticity"])), key=lambda row: -row["elasticity"])
    if not rows:
        return None
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), FOREST)).round().astype(int))]
    low, high = zip(*(row["elasticity_interval90"] for row in rows), strict=True)
    names = [row.get("name") or row["product"] for row in rows]
    values = [row["elasticity"] for row in rows]
    marks = {"hollow": [row["raw"] for row in rows], "crossed": [bool(row["implausible"]) for row in rows]}
    known_ones = [row.get("identified", True) for row in rows]
    label = "own-price elasticity"
    return interval_plot(names, values, low, high, label=label, interval="90%", strong=known_ones, **marks)


def middle_elasticity(products: list[dict[str, Any]]) -> float | None:
    """The median of the elasticities of the simulated market."""
    values = [row["elasticity"] for row in products if known(row["elasticity"])]
    return float(np.median(values)) if values else None


def strongest_pairs(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs of products that respond most to one another's prices, as the change in units at a 10% lower price."""
    shown = []
    for row in sorted(pairs, key=lambda row: -row["elasticity"])[:_PAIRS]:
        low, high = row["interval90"]
        change = (float((1 - _LOWER) ** elasticity - 1) for elasticity in (row["elasticity"], high, low))
        shown.append(row | {"change": Estimate(*change)})
    return shown


def _main_products(data: ReportData) -> list[int]:
    """Index of every product, those that earn most under the learned prices first."""
    spec = data.comparison.spec
    first = next(iter(drawn_runs(data).values()))
    cost = spec.products.unit_cost if spec.market.objective == "profit" else 0.0
    earned = (first.units_path * (spec.products.net(first.paid_path) - cost)).sum(axis=0)
    return np.argsort(-earned, kind="stable").tolist()


def map_plots(data: ReportData) -> tuple[list[tuple[str, Plot]], list[PriceMap]]:
    """Maps of the learned prices, as (product, plot) and as data: of the main products whose
    price moves most.

    Empty without a run.
    """
    if data.run is None or data.learned is None:
        return [], []
    spec = data.comparison.spec
    unit = unit_of(data)
    maps = price_maps(spec, data.run.policy, _main_products(data)[:_PATHS], seed=data.comparison.seed)
    moved = {found.product: np.nanmin(found.price) / np.nanmax(found.price) for found in maps}
    maps = sorted(maps, key=lambda found: moved[found.product])[:_MAPS]
    maps = [found for found in maps if moved[found.product] < 1 - _FLAT]
    labels: dict[str, Any] = {"period": spec.market.period, "dates": _dates(spec), "unit": unit}
    return [(found.product, map_plot(found, **labels)) for found in maps], maps


def path_plots(data: ReportData) -> list[tuple[str, Plot]]:
    """Plots of the price paths, as (product, plot), of the products that earn most under the learned prices."""
    spec = data.comparison.spec
    episodes = drawn_runs(data)
    first = next(iter(episodes.values()))
    drawn = []
    period = spec.market.period
    price_label = _with_unit("list price", unit_of(data))
    for n in _main_products(data)[:_PATHS]:
        limited = bool(np.isfinite(first.stock_path[:, n]).all())
        units = {kind: (run.stock_path if limited else run.units_path)[:, n] for kind, run in episodes.items()}
        labels = (price_label, "units on hand" if limited else f"units sold per {period}")
        given: dict[str, Any] = {"period": period, "dates": _dates(spec), "labels": labels}
        drawn.append((spec.products.names[n], path_plot(spec.products.names[n], _price_lines(data, n), units, **given)))
    return drawn


def _dates(spec: MarketSpec) -> list[str]:
    """The first day of each period; empty where the market has no calendar."""
    return [] if spec.calendar is None else spec.calendar.labels


def drawn_runs(data: ReportData) -> dict[str, Episodes]:
    """The episodes whose paths are drawn, by the kind of line."""
    names = {"learned": data.learned, "best-fixed": BASELINE, "historical": HISTORICAL}
    known = data.comparison.episodes
    return {kind: known[name] for kind, name in names.items() if name in known}


def _price_lines(data: ReportData, product: int) -> dict[str, NDArray[np.float64]]:
    episodes = drawn_runs(data)
    lines = {kind: run.price_path[:, product] for kind, run in episodes.items()}
    if has_discounts(data.comparison) and "learned" in episodes:
        lines["paid"] = episodes["learned"].paid_path[:, product]
    return {kind: lines[kind] for kind in LINES if kind in lines}


def shown_products(data: ReportData) -> list[dict[str, Any]]:
    """One row per segment: the recommender's own choice, as with the best fixed prices, and the products shown most."""
    spec = data.comparison.spec
    if spec.recommendation is None or data.learned is None:
        return []
    now, own = (data.comparison.episodes[name].shown for name in (data.learned, BASELINE))
    rows = []
    for k, segment in enumerate(spec.arrivals.segments):
        most = [n for n in np.argsort(-now[k], kind="stable")[:_ROWS_SHOWN] if now[k, n] > 0]
        shown = [(spec.products.names[n], float(now[k, n])) for n in most]
        row = {"segment": segment, "own": spec.products.names[own[k].argmax()] if own[k].any() else None, "most": shown}
        left = {"rest": now[k].sum() - now[k, most].sum(), "nothing": 1.0 - now[k].sum()}
        rows.append(row | {name: max(0.0, float(share)) for name, share in left.items()})
    return rows


def payers(data: ReportData) -> dict[str, Any]:
    """One row per segment with (price paid, surplus) under each policy whose paths are drawn, and the price ratios."""
    comparison = data.comparison
    rows = [comparison.row(run.policy) for run in drawn_runs(data).values()]
    segments = comparison.spec.arrivals.segments
    return {
        "policies": [labeller(data)(row.policy) for row in rows],
        "segments": [(name, [(row.price_paid[name], row.consumer_surplus[name]) for row in rows]) for name in segments],
        "together": [sum(row.consumer_surplus.values()) for row in rows],
        "ratios": [row.segment_price_ratio for row in rows],
    }
