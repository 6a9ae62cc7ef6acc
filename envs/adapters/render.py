"""Rendering of a market as lines of text."""

from __future__ import annotations

from ..kernels.outcome import Outcome
from ..simulator import Market

MODES = ("ansi",)


def check_render_mode(mode: str | None) -> None:
    """Refuse a mode that is neither None nor one of `MODES`."""
    if mode not in (None, *MODES):
        raise ValueError(f"render_mode must be None, or 'ansi' for lines of text; got {mode!r}; choose one of them")


def lines(market: Market, last: Outcome | None) -> str:
    """Text: the period, and the price, stock and last sales of each product, in the first market."""
    state, spec = market.state, market.spec
    head = f"{spec.name}, {spec.market.period} {state.period[0]} of {market.catalogue.horizon}"
    if market.catalogue.regimes:
        head += f", {market.catalogue.regimes[int(state.regime[0])]}"
    text = [head]
    for n, name in enumerate(market.catalogue.products):
        units = "initial state" if last is None else f"{last.units[0, n]:.0f} sold"
        text.append(f"  {name}: price {state.list_price[0, n]:.2f}, {state.on_hand[0, n]:g} on hand, {units}")
    if spec.competitors is not None:
        for name, price in zip(spec.competitors.names, state.rival_price[0], strict=True):
            text.append(f"  {name} (rival): price {price:.2f}")
    return "\n".join(text)
