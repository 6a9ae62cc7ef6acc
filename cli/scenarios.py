"""`repricer scenarios`: list the scenarios, or describe one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ._options import emit, json_option, say, seed_option

if TYPE_CHECKING:
    from ..scenarios import MarketSpec


@click.command(name="scenarios")
@click.argument("name", required=False)
@seed_option
@json_option
def command(name: str | None, seed: int, as_json: bool) -> None:
    """List the registered scenarios, or describe NAME (a registered name or a path) with its known optimum."""
    from ..scenarios import load_scenario, registered

    if name is None:
        specs = [load_scenario(known) for known in registered()]
        if as_json:
            emit([{"name": s.name, "version": s.version, "summary": s.summary} for s in specs])
            return
        for s in specs:
            say(f"{s.name} (version {s.version})\n  {s.summary}")
        return
    card = _card(load_scenario(name), seed)
    if as_json:
        emit(card)
        return
    say(f"{card['name']}, version {card['version']}\n{card['summary']}\n")
    for heading in ("market", "optimum", "best_fixed"):
        say(f"{heading.replace('_', ' ')}: {_text(card[heading])}")
    for heading in ("sources", "traps", "assumptions"):
        for line in card[heading]:
            say(f"{heading.removesuffix('s')}: {line}")


def _card(spec: MarketSpec, seed: int) -> dict[str, Any]:
    from ..agents import best_fixed
    from ..evaluation import exact_value, solve
    from ..pricing import FixedPrice

    optimum = solve(spec)
    card = {
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "market": {
            "horizon": f"{spec.market.horizon_periods} {spec.market.period}s",
            "objective": spec.market.objective,
            "products": len(spec.products.names),
            "categories": len(spec.category_names),
            "segments": len(spec.arrivals.segments),
            "demand": spec.demand.family,
        },
        "optimum": None if optimum is None else {"value": optimum.value, "method": optimum.method},
        "best_fixed": None,
        "sources": list(spec.sources),
        "traps": list(spec.traps),
        "assumptions": list(spec.assumptions),
    }
    if optimum is not None:
        fixed: FixedPrice = best_fixed(spec, seed=seed)
        share = (exact_value(spec, fixed) or 0.0) / optimum.value
        card["best_fixed"] = {"price": float(fixed.price[0]), "share_of_optimum": share}  # pyright: ignore[reportIndexIssue]
    return card


def _text(content: Any) -> str:
    if content is None:
        return "no exact solver reaches this market"
    parts = [f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in content.items()]
    return ", ".join(parts).replace("_", " ")
