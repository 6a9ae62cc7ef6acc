"""One product without stock limits whose customers remember prices.

The reference price is the state. Where demand is linear in the price and in its distance from the
reference price, with equal weights on gains and losses, the value is quadratic and the price linear
in the state (a Riccati recursion): Fibich, Gavious and Lowengart (2003), Explicit Solutions of
Optimization Models and Differential Games with Nonsmooth (Asymmetric) Reference-Price Effects,
Operations Research 51(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..envs import expected_units
from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from . import dynamic_program
from .problem import (
    Array,
    Costs,
    Optimum,
    has_horizon,
    is_infinite_horizon,
    is_stationary,
    prices_are_free,
    sections_on,
    stock_settings,
)

_AGREEMENT = 1e-5
# Weight of the initial guess of an infinite-horizon value below which it is negligible.
_NEGLIGIBLE = 1e-15
# Periods after which the reference price over an infinite horizon has settled.
_SETTLED = 1000


def covers(spec: MarketSpec) -> bool:
    """Whether the reference price is the whole state."""
    return (
        len(spec.products.names) == 1
        and stock_settings(spec) <= {"lead_time_periods"}
        and sections_on(spec) == {"reference_price"}
        and prices_are_free(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class ReferencePriceLine:
    """Prices by period and reference price, interpolated.

    Attributes:
        reference: (G,) reference prices, rising.
        table: (T, G), or (1, G) for all periods, currency per unit.
        name: Name of the policy.
    """

    reference: Array
    table: Array
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Interpolate the price."""
        price, row = np.empty(view.num_markets), np.minimum(view.period, len(self.table) - 1)
        for period in np.unique(row):
            here = row == period
            price[here] = np.interp(view.reference_price[here, 0], self.reference, self.table[period])
        return Action(price.astype(np.float32)[:, None])


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market whose customers' demand is linear, else None.

    It is exact where the interpolated values of the general program agree to five digits. Where they do not, demand
    truncated at zero or a price bound makes another policy better, and that program has the optimum.
    """
    quadratic = _quadratic(spec) if covers(spec) else None
    searched = None if quadratic is None else dynamic_program.solve(spec)
    if quadratic is None or searched is None:
        return None
    return quadratic if abs(quadratic.value - searched.value) <= _AGREEMENT * abs(searched.value) else None


def _memory(spec: MarketSpec) -> float:
    assert spec.reference_price is not None
    return spec.reference_price.memory


def _range(spec: MarketSpec) -> tuple[float, float, float]:
    """The lowest and highest reference price that can be reached, and the initial one."""
    initial = float(spec.initial_reference[0])
    return min(initial, float(spec.guardrails.low[0])), max(initial, float(spec.guardrails.high[0])), initial


class _Quadratic(NamedTuple):
    """Value constant + slope * r + curve * r**2 at a reference price r; the best price is intercept + tilt * r."""

    constant: float = 0.0
    slope: float = 0.0
    curve: float = 0.0
    intercept: float = 0.0
    tilt: float = 0.0

    def value(self, reference: Array) -> Array:
        """At reference prices."""
        return self.constant + reference * (self.slope + reference * self.curve)

    def price(self, reference: Array) -> Array:
        """At reference prices."""
        return self.intercept + self.tilt * reference


def _is_linear_quadratic(spec: MarketSpec) -> bool:
    effect = spec.reference_price
    return (
        effect is not None
        and not spec.stocks_up
        and effect.scale == "linear"
        and effect.gain[0] == effect.loss[0]
        and spec.demand.family == "linear"
        and len(spec.arrivals.segments) == 1
        and spec.guardrails.allowed_prices() is None
        and (is_stationary(spec) or not is_infinite_horizon(spec))
    )


def _quadratic(spec: MarketSpec) -> Optimum | None:
    """The optimum by the Riccati recursion, or None where it runs into a bound of prices or probabilities."""
    if not _is_linear_quadratic(spec):
        return None
    periods = _fixed_point(spec) if is_infinite_horizon(spec) else _recursion(spec)
    if periods is None or not _stays_within(spec, periods):
        return None
    ends = np.array(_range(spec)[:2])
    table = np.array([quadratic.price(ends) for quadratic in periods])
    initial = np.array(_range(spec)[2])
    return Optimum(float(periods[0].value(initial)), "Riccati recursion", ReferencePriceLine(ends, table))


def _before(spec: MarketSpec, period: int, after: _Quadratic) -> _Quadratic | None:
    """The quadratic of a period, given that of the next; None where no price is best.

    The value of a price p is (p - c) * n * (q + g r - (s + g) p) + discount * after(m r + (1 - m)
    p) = square p**2 + (flat + cross r) p + terms without p.
    """
    effect, demand, cost = spec.reference_price, spec.demand, float(Costs.of(spec).sold[0])
    assert effect is not None
    customers, gain = float(spec.arrivals.rate[period, 0]), float(effect.gain[0])
    quality = float(demand.quality[0, 0] + demand.season[period, 0] + demand.quality_path[period, 0])
    steep = gain + float(demand.price_sensitivity[0, 0] * demand.sensitivity_path[period, 0])
    memory, fresh = effect.memory, 1 - effect.memory
    constant, slope, curve = spec.market.discount_factor * np.array(after[:3])
    square = curve * fresh**2 - customers * steep
    if square >= 0:
        return None
    flat = customers * (quality + cost * steep) + slope * fresh
    cross = customers * gain + 2 * curve * memory * fresh
    return _Quadratic(
        constant=constant - customers * cost * quality - flat**2 / (4 * square),
        slope=slope * memory - customers * cost * gain - flat * cross / (2 * square),
        curve=curve * memory**2 - cross**2 / (4 * square),
        intercept=-flat / (2 * square),
        tilt=-cross / (2 * square),
    )


def _recursion(spec: MarketSpec) -> list[_Quadratic] | None:
    """One quadratic per period, backwards from an end with value zero."""
    found: list[_Quadratic] = []
    for period in reversed(range(spec.market.horizon_periods)):
        now = _before(spec, period, found[-1] if found else _Quadratic())
        if now is None:
            return None
        found.append(now)
    return found[::-1]


def _fixed_point(spec: MarketSpec) -> list[_Quadratic] | None:
    """The stationary quadratic of an infinite horizon."""
    now, left = _before(spec, 0, _Quadratic()), 1.0
    while now is not None and left > _NEGLIGIBLE:
        now, left = _before(spec, 0, now), left * spec.market.discount_factor
    return None if now is None else [now]


def _stays_within(spec: MarketSpec, periods: list[_Quadratic]) -> bool:
    """Whether prices from the initial state on respect the bounds and no purchase probability is truncated."""
    memory, reference = _memory(spec), np.array([_range(spec)[2]])
    for period in [0] * _SETTLED if is_infinite_horizon(spec) else range(spec.market.horizon_periods):
        price = periods[period].price(reference)
        sold = expected_units(spec, period, price[:, None], reference=reference[:, None]).sum()
        inside = spec.guardrails.low[0] <= price[0] <= spec.guardrails.high[0]
        if not (inside and 0 < sold < spec.arrivals.rate[period, 0]):
            return False
        reference = memory * reference + (1 - memory) * price
    return True
