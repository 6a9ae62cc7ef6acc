"""The posterior draws of a market, as changes of its mean parameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scenarios.sections import Posterior
from .assumptions import Assumptions, unit_costs
from .demand import DemandAtRegular
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
    demand = models.demand
    generator, count = np.random.default_rng(seed), demand.num_draws
    drawn = demand.at_regular(models.forecast.mean(axis=0), models.weeks, draws=True)
    shown = demand.usual_display
    share = demand.segment_share[demand.category].T
    slot = generator.uniform(0.0, 2.0, count) if shown is None else _factor(shown.mean(axis=1))
    deals = demand.remembered is not None and bool(demand.deals.any())
    return Posterior(
        draws=count,
        arrivals=drawn.arrivals,
        utility=(share * (drawn.utility - mean.utility)).sum(axis=1),
        sensitivity=(drawn.sensitivity / mean.sensitivity).mean(axis=1),
        unit_cost=_unit_cost(models, assumptions, generator),
        recommendation=slot[:, None] if models.affinity is not None else np.array(1.0),
        promotion=_by_columns(shown)[:, demand.category] if promotions and shown is not None else np.array(1.0),
        reference_gain=demand.deals[:, 0] - demand.deals[:, 0].mean(axis=0) if deals else np.array(0.0),
        # Units bought more and less share a factor: weighted by how large each is.
        reference_units=_by_columns(demand.deals[:, 1] + demand.deals[:, 2]) if deals else np.array(1.0),
    )


def _unit_cost(models: FittedModels, assumptions: Assumptions, generator: np.random.Generator) -> Array:
    """(M, N) factor on assumed unit costs, one draw for all products; 1 for known ones."""
    low, high = assumptions.cost_range(models.products).T
    share = generator.uniform(size=(models.demand.num_draws, 1)) * (high - low) + low
    # A known share of zero costs nothing in any draw.
    share = share / np.maximum(assumptions.cost_share(models.products), 1e-9)
    return np.where(unit_costs(models.products).isna(), share, 1.0)


def _by_columns(draws: Array) -> Array:
    """(M, ·) factors on the posterior mean of each column."""
    return np.stack([_factor(column) for column in draws.T], axis=1)


def _factor(draws: Array) -> Array:
    """Draws relative to their mean, from 0 up; 1 where the mean itself is not positive."""
    mean = draws.mean()
    if mean <= _LEAST_EFFECT:
        return np.ones_like(draws)
    return np.clip(draws / mean, 0.0, _MOST_FACTOR)
