"""The posterior draws of a market, as changes of its mean parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scenarios.sections import Halves, Posterior
from .assumptions import Assumptions, unit_costs
from .demand import DemandAtRegular, FittedDemand
from .fitted_models import FittedModels

Array = NDArray[np.float64]
# A posterior mean this close to zero is not divided by.
_LEAST_EFFECT = 1e-3
_MOST_FACTOR = 5.0


def posterior_section(
    models: FittedModels, mean: DemandAtRegular, promotions: bool, assumptions: Assumptions, seed: int
) -> Posterior:
    """The draws of demand, and of what is assumed: unit costs and the effect of a recommendation.

    Args:
        mean: The mean market's choice model.
        promotions: Whether promotions are a decision.
        assumptions: What the models do not say.
        seed: Seed of the draws of what is assumed.
    """
    drawn = models.demand.at_regular(models.forecast.mean(axis=0), models.weeks, draws=True)
    generator = np.random.default_rng(seed)
    return Posterior(**_changes(models, models.demand, drawn, mean, promotions, assumptions, generator))


def halves_section(
    models: FittedModels, mean: DemandAtRegular, promotions: bool, assumptions: Assumptions, seed: int
) -> Halves | None:
    """The draws of the demand of each half of the sales, as changes of the same mean market; None where they were not halved.

    Args:
        mean: As of `posterior_section`, like the others.
        promotions: Whether promotions are a decision.
        assumptions: What the models do not say.
        seed: Seed of the draws of what is assumed.
    """
    if models.halves is None or not models.halves.demands:
        return None
    units = models.forecast.mean(axis=0)
    generator = np.random.default_rng(seed)
    parts = list[dict[str, Any]]()
    for demand in models.halves.demands:
        drawn = demand.at_regular(units, models.weeks, draws=True, market=models.demand)
        parts.append(_changes(models, demand, drawn, mean, promotions, assumptions, generator))
    names = [name for name in parts[0] if name != "draws"]
    together: dict[str, Any] = {
        name: _joined([part[name] for part in parts], [part["draws"] for part in parts]) for name in names
    }
    return Halves(**together, draws=sum(part["draws"] for part in parts), of=models.halves.of)


def _joined(parts: list[Array], counts: list[int]) -> Array:
    """The draws of one half after those of the other; a number that stands for all draws of a half is repeated."""
    if not any(part.ndim for part in parts):
        return parts[0]
    shape = max((part.shape[1:] for part in parts), key=len)
    return np.concatenate([np.broadcast_to(part, (count, *shape)) for part, count in zip(parts, counts, strict=True)])


def _changes(
    models: FittedModels,
    demand: FittedDemand,
    drawn: DemandAtRegular,
    mean: DemandAtRegular,
    promotions: bool,
    assumptions: Assumptions,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """What draws of a demand change of the mean market, by the names of `Posterior`."""
    market = models.demand
    count = demand.num_draws
    shown = demand.usual_display
    usual = market.usual_display
    if shown is None and usual is not None:  # no display in half of the sales
        shown = np.broadcast_to(usual.mean(axis=0), (count, usual.shape[1]))
    share = market.segment_share[market.category].T
    slot = generator.uniform(0.0, 2.0, count)
    if shown is not None and usual is not None:
        slot = _factor(shown.mean(axis=1), usual.mean())
    deals = market.remembered is not None and bool(market.deals.any())
    usual_deals = market.deals.mean(axis=0)
    own_deals = demand.deals
    return {
        "draws": count,
        "arrivals": drawn.arrivals,
        "utility": (share * (drawn.utility - mean.utility)).sum(axis=1),
        "sensitivity": (drawn.sensitivity / mean.sensitivity).mean(axis=1),
        "unit_cost": _unit_cost(models, count, assumptions, generator),
        "recommendation": slot[:, None] if models.affinity is not None else np.array(1.0),
        "promotion": np.array(1.0)
        if not promotions or shown is None or usual is None
        else _by_columns(shown, usual.mean(axis=0))[:, market.category],
        "reference_gain": own_deals[:, 0] - usual_deals[0] if deals else np.array(0.0),
        # Units bought more and less share a factor: weighted by how large each is.
        "reference_units": _by_columns(own_deals[:, 1] + own_deals[:, 2], usual_deals[1] + usual_deals[2])
        if deals
        else np.array(1.0),
    }


def _unit_cost(models: FittedModels, count: int, assumptions: Assumptions, generator: np.random.Generator) -> Array:
    """(M, N) factor on assumed unit costs, one draw for all products; 1 for known ones."""
    low, high = assumptions.cost_range(models.products).T
    share = generator.uniform(size=(count, 1)) * (high - low) + low
    # A known share of zero costs nothing in any draw.
    share = share / np.maximum(assumptions.cost_share(models.products), 1e-9)
    return np.where(unit_costs(models.products).isna(), share, 1.0)


def _by_columns(draws: Array, mean: Array) -> Array:
    """(M, ·) factors on the mean of each column in the market."""
    return np.stack([_factor(column, float(own)) for column, own in zip(draws.T, mean, strict=True)], axis=1)


def _factor(draws: Array, mean: float) -> Array:
    """Draws relative to the mean of the market, from 0 up; 1 where that is not positive."""
    if mean <= _LEAST_EFFECT:
        return np.ones_like(draws)
    return np.clip(draws / mean, 0.0, _MOST_FACTOR)
