"""`repricer scenarios`: list the scenarios, or describe one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import emit, json_option, output, say, seed_option

if TYPE_CHECKING:
    from ..evaluation import Optimum
    from ..scenarios import MarketSpec

_OTHERS = "other packages"


@click.command(name="scenarios")
@click.argument("name", required=False)
@seed_option
@json_option
def command(name: str | None, seed: int, as_json: bool) -> None:
    """List the registered scenarios, or describe NAME with its known optimum.

    NAME is a registered name, a path or catalogue:N:SEED; NAME@STRESS is any of these under a
    stress test.
    """
    from ..scenarios import load_scenario
    from ..scenarios.card import card

    if name is None:
        rows = _rows()
        (emit if as_json else _say_list)(rows)
        return
    spec = load_scenario(name)
    document = _card(spec, seed)
    columns = max(shutil.get_terminal_size((120, 24)).columns, 60)
    output(as_json, document, card(spec, columns=columns, known=_known(document)))


def _rows() -> list[dict[str, Any]]:
    """One row per registered scenario."""
    from ..scenarios import load_scenario, registered
    from ..scenarios.card import group

    rows = []
    for name, source in registered().items():
        spec = load_scenario(name)
        facts = {"name": name, "group": group(spec) if isinstance(source, Path) else _OTHERS, "version": spec.version}
        size = {"products": len(spec.products.names), "periods": spec.market.horizon_periods}
        rows.append(facts | size | {"summary": spec.summary})
    return rows


def _say_list(rows: list[dict[str, Any]]) -> None:
    from ..scenarios import STRESSES
    from ..scenarios.card import GROUPS

    columns = shutil.get_terminal_size((160, 24)).columns
    width = max(len(name) for name in [*(row["name"] for row in rows), *STRESSES])
    for group, meaning in {**GROUPS, _OTHERS: "registered by installed packages"}.items():
        chosen = [row for row in rows if row["group"] == group]
        if not chosen:
            continue
        say(f"{group}: {meaning}")
        for row in chosen:
            _say_row(row["name"], width, f"{row['products']:>3} x {row['periods']:<5} {row['summary']}", columns)
        say("")
    say("stress tests, for any scenario or file: NAME@STRESS")
    for name, stress in STRESSES.items():
        _say_row(name, width, stress.meaning, columns)
    say("\nSizes are products x periods. catalogue:N:SEED is a random shop of N products.")


def _say_row(name: str, width: int, text: str, columns: int) -> None:
    line = f"  {name:<{width}}  {text}"
    say(line if len(line) <= columns else line[: columns - 1] + "…")


def _card(spec: MarketSpec, seed: int) -> dict[str, Any]:
    from ..evaluation import solve
    from ..scenarios.card import describe

    optimum = solve(spec)
    facts = {name: getattr(spec, name) for name in ("name", "version", "summary", "sources", "traps", "assumptions")}
    return facts | {
        "market": {
            "horizon": f"{spec.market.horizon_periods} {spec.market.period}s",
            "objective": spec.market.objective,
            "products": len(spec.products.names),
            "categories": len(spec.category_names),
            "segments": len(spec.arrivals.segments),
            "demand": spec.demand.family,
        },
        "parts": describe(spec),
        "optimum": None if optimum is None else {"value": optimum.value, "method": optimum.method},
        "best_fixed": None if optimum is None else _best_fixed(spec, optimum, seed),
    }


def _best_fixed(spec: MarketSpec, optimum: Optimum, seed: int) -> dict[str, Any] | None:
    """The best fixed prices and their exact share of the optimum; None if that is unknown, or no share."""
    from ..agents import best_fixed
    from ..evaluation import exact_value

    fixed = best_fixed(spec, seed=seed)
    value = exact_value(spec, fixed)
    if value is None or optimum.value <= 0:
        return None
    prices = [float(price) for price in fixed.price]  # pyright: ignore[reportGeneralTypeIssues]
    return {"price": prices[0] if len(prices) == 1 else prices, "share_of_optimum": value / optimum.value}


def _known(document: dict[str, Any]) -> dict[str, str]:
    """What is known of the optimum, as entries of the card."""
    optimum = document["optimum"]
    fixed = document["best_fixed"]
    if optimum is None:
        return {"optimum": "unknown: no exact method covers this market"}
    known = {"optimum": f"{optimum['value']:,.6g} ({optimum['method']})"}
    if fixed is not None:
        prices = fixed["price"] if isinstance(fixed["price"], list) else [fixed["price"]]
        listed = ", ".join(f"{price:.6g}" for price in prices)
        known["best fixed price"] = f"{listed}; earns {fixed['share_of_optimum']:.1%} of the optimum"
    return known
