"""At which unit costs, and at which price elasticities, a gain is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...envs import catalogue_of
from ...pricing import Policy
from ...scenarios import MarketSpec
from ...scenarios.sections import Posterior
from .draws import compare_draws
from .gain import Floats

ELASTICITY_FACTORS = (0.4, 2.5)
COST_SHARES = (0.0, 0.95)
_POINTS = 9


@dataclass(frozen=True)
class Crossing:
    """Where a gain over the current prices is gone, on either side of what the market assumes.

    Attributes:
        now: What the market assumes.
        below: The nearest smaller value at which the gain is gone, or None in the range tried.
        above: The nearest larger value, or None in the range tried.
        tried: The range that was tried.

    Example:
        >>> Crossing(0.6, 0.3, None, (0.0, 0.95)).words("{:.0%}")
        'at 30%'
    """

    now: float
    below: float | None
    above: float | None
    tried: tuple[float, float]

    def words(self, form: str) -> str:
        """As a clause, `at 30% and at 80%`; `form` writes one value."""
        found = [form.format(value) for value in (self.below, self.above) if value is not None]
        low, high = map(form.format, self.tried)
        return "at " + " and at ".join(found) if found else f"nowhere in the range tried ({low} to {high})"


@dataclass(frozen=True)
class BreakEven:
    """Break-even points of recommended prices against the current ones, in the mean market.

    Attributes:
        cost_share: Unit cost as a share of the regular price (mean over the units sold) at which
            the gain in profit is gone, all unit costs in proportion; None in a market without unit
            costs.
        elasticity: Factor on all price elasticities at which the gain in `objective` is gone.
        objective: revenue or profit.

    Example:
        >>> BreakEven(None, Crossing(1.0, 0.7, None, (0.4, 2.5)), "revenue").to_dict()["unit_cost_share"] is None
        True
    """

    cost_share: Crossing | None
    elasticity: Crossing
    objective: str

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        cost = self.cost_share
        return {
            "unit_cost_share": None if cost is None else dict(vars(cost)),
            "elasticity_factor": dict(vars(self.elasticity)) | {"objective": self.objective},
        }


def break_even(spec: MarketSpec, policy: Policy, current: Policy, *, objective: str, seed: int = 0) -> BreakEven:
    """Where the gain of a policy over the current prices is gone.

    Policies go on believing in the market as it is. Elasticities change around the regular prices,
    at which demand stays.

    Args:
        spec: The market; its mean parameters count.
        policy: The recommended prices.
        current: The current prices.
        objective: revenue or profit, for the elasticities.
        seed: Selects the test seeds.

    Example:
        >>> from repricer import load_scenario
        >>> from repricer.pricing import FixedPrice
        >>> spec = load_scenario("stationary-logit")
        >>> found = break_even(spec, FixedPrice(9.0), FixedPrice(8.0, name="now"), objective="revenue")
        >>> found.elasticity.tried
        (0.4, 2.5)
    """
    pair = (policy, current)
    low, high = np.log(ELASTICITY_FACTORS)
    found = _crossing(lambda log: _gains(spec, pair, objective, seed, sensitivity=np.exp(log)), 0.0, (low, high))
    below, above = (None if root is None else float(np.exp(root)) for root in found)
    elasticity = Crossing(1.0, below, above, ELASTICITY_FACTORS)
    # Both weighted by the units expected at regular prices.
    units = np.asarray(catalogue_of(spec).forecast_units, dtype=np.float64).mean(axis=0)
    share = float(units @ spec.products.unit_cost / (units @ spec.products.regular_price))
    if share == 0:
        return BreakEven(None, elasticity, objective)
    found = _crossing(lambda x: _gains(spec, pair, "profit", seed, unit_cost=x / share), share, COST_SHARES)
    return BreakEven(Crossing(share, found[0], found[1], COST_SHARES), elasticity, objective)


def _gains(spec: MarketSpec, pair: tuple[Policy, Policy], objective: str, seed: int, **factors: Floats) -> Floats:
    """The expected gain under each of several factors on one part of the market."""
    name, values = next(iter(factors.items()))
    by_product: dict[str, Any] = {name: np.repeat(values[:, None], len(spec.products.names), axis=1)}
    changed = replace(spec, posterior=Posterior(draws=values.size, **by_product))
    compared = compare_draws(changed, pair, draws=values.size, seed=seed, same_customers=True, believed=spec)
    earned, base = (compared.expected[policy.name] for policy in pair)
    return (earned - base)[("revenue", "profit").index(objective)].mean(axis=1)


def _crossing(gains: Callable[[Floats], Floats], now: float, tried: tuple[float, float]) -> list[float | None]:
    """The nearest points below and above `now` at which a positive gain becomes zero, None where there is none."""
    low, high = tried
    grid = np.concatenate([np.linspace(now, low, _POINTS), np.linspace(now, high, _POINTS)])
    sides = gains(grid).reshape(2, _POINTS)
    return [_root(gains, points, values) for points, values in zip(grid.reshape(2, _POINTS), sides, strict=True)]


def _root(gains: Callable[[Floats], Floats], points: Floats, values: Floats) -> float | None:
    """The first zero along the points, looked for on a finer grid and then by linear interpolation."""
    gone = np.flatnonzero(values <= 0)
    if values[0] <= 0 or not gone.size:
        return None
    fine = np.linspace(points[gone[0] - 1], points[gone[0]], _POINTS)
    values = gains(fine)
    after = int(np.argmax(values <= 0)) or 1
    before = after - 1
    share = values[before] / (values[before] - values[after])
    return float(fine[before] + share * (fine[after] - fine[before]))
