"""Rendering of the episode so far: lines of text, or a plot of prices, stock and sales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..kernels.outcome import Outcome
from ..kernels.state import Floats
from ..simulator import Market

Seen = tuple[Outcome, Floats]
"""A period's outcome and the stock after it, (N,) units."""
_SHOWN = 6
MODES = ("ansi", "rgb_array")


def check_render_mode(mode: str | None) -> None:
    """Refuse a mode that is neither None nor one of `MODES`."""
    if mode not in (None, *MODES):
        raise ValueError(f"render_mode must be None, 'ansi' or 'rgb_array'; got {mode!r}; choose one of them")


def lines(market: Market, path: Sequence[Seen]) -> str:
    """Text: the period, and the price, stock and last sales of each product, in the first market."""
    state, spec = market.state, market.spec
    head = f"{spec.name}, {spec.market.period} {state.period[0]} of {market.catalogue.horizon}"
    if market.catalogue.regimes:
        head += f", {market.catalogue.regimes[int(state.regime[0])]}"
    text = [head]
    for n, name in enumerate(market.catalogue.products):
        units = f"{path[-1][0].units[0, n]:.0f} sold" if path else "initial state"
        text.append(f"  {name}: price {state.list_price[0, n]:.2f}, {state.on_hand[0, n]:g} on hand, {units}")
    if spec.competitors is not None:
        for name, price in zip(spec.competitors.names, state.rival_price[0], strict=True):
            text.append(f"  {name} (rival): price {price:.2f}")
    return "\n".join(text)


def draw(market: Market, path: Sequence[Seen], *, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """(height, width, 3) plot of the episode so far: prices above, stock and sales below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    prices, stock = figure.subplots(2, 1, sharex=True)
    spec, state = market.spec, market.state
    periods = np.arange(1, len(path) + 1)
    for n, name in enumerate(market.catalogue.products[:_SHOWN]):
        colour = f"C{n}"
        prices.step(periods, [o.list_price[0, n] for o, _ in path], color=colour, label=name, where="mid")
        stock.bar(periods, [o.units[0, n] for o, _ in path], color=colour, alpha=0.4)
        if np.isfinite(state.on_hand[0, n]):
            stock.plot(periods, [on_hand[n] for _, on_hand in path], color=colour, linewidth=1)
    for r, name in enumerate(spec.competitors.names[:_SHOWN] if spec.competitors is not None else ()):
        charged = [o.rival_price[0, r] for o, _ in path]
        prices.step(periods, charged, color="grey", linestyle="--", linewidth=1, where="mid", label=f"{name} (rival)")
    prices.set_ylabel(f"price, {spec.market.currency}")
    stock.set_ylabel("units sold; line: on hand")
    stock.set_xlabel(spec.market.period)
    stock.set_xlim(0.5, market.catalogue.horizon + 0.5)
    if path:
        prices.legend(fontsize="small", loc="upper right")
    prices.set_title(f"{spec.name}: {spec.market.period} {int(state.period[0])} of {market.catalogue.horizon}")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
