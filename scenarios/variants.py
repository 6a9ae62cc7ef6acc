"""Random variants of a market, for domain randomisation."""

from __future__ import annotations

import numpy as np

from .checks import excluded_parts
from .spec import MarketSpec
from .stress import scaled_elasticity, with_demand, with_newcomers


def sample_variants(
    spec: MarketSpec, count: int, *, seed: int, elasticity: float, demand: float, rival: float
) -> list[MarketSpec]:
    """Sample variants of a market, for policies that hold up if the true market differs.

    Domain randomisation after Tobin et al. (2017), Domain Randomization for Transferring Deep
    Neural Networks. Draws are uniform and stratified over the variants.

    Args:
        spec: The market to vary.
        count: Number of variants.
        seed: Seed of the draws.
        elasticity: Largest relative change of the price sensitivities, up or down.
        demand: Largest relative change of a category's arrivals, up or down.
        rival: Probability that a new competitor enters, if the demand family allows competitors.

    Returns:
        The variants, in random order.

    Example:
        >>> from repricer import load_scenario
        >>> variants = sample_variants(
        ...     load_scenario("stationary-logit"), 3, seed=0, elasticity=0.3, demand=0.3, rival=0.0
        ... )
        >>> len(variants)
        3
    """
    generator = np.random.default_rng(seed)
    # Stratified, so that even a dozen variants contain the extremes for any seed.
    strata = np.stack([generator.permutation(count) for _ in range(3)])
    place = (strata + generator.random((3, count))) / max(count, 1)
    rivals = "competitors" not in excluded_parts(spec.demand.family, spec.arrivals.process)
    variants = []
    for i in range(count):
        changed = scaled_elasticity(1 + elasticity * (2 * place[0, i] - 1))(spec)
        own = generator.uniform(-0.25, 0.25, len(spec.category_names))
        changed = with_demand(changed, 1 + demand * np.clip(2 * place[1, i] - 1 + own, -1, 1))
        if rivals and place[2, i] < rival:
            changed = with_newcomers(changed)
        variants.append(changed)
    return variants
