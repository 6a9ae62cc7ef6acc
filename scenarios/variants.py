"""Variants of a market, drawn at random: what a policy may meet where the fit was not quite right."""

from __future__ import annotations

import numpy as np

from .checks import excluded_parts
from .spec import MarketSpec
from .stress import scaled_elasticity, with_demand, with_newcomers


def sample_variants(
    spec: MarketSpec, count: int, *, seed: int, elasticity: float, demand: float, rival: float
) -> list[MarketSpec]:
    """`count` markets like this one, in which other things hold; domain randomisation trains in them.

    Tobin et al. (2017), Domain Randomization for Transferring Deep Neural Networks. elasticity: every price sensitivity is up
    to this fraction higher or lower. demand: so are the customers of each category. rival: probability that a rival opens
    (where the demand family knows rivals). Draws are uniform, and spread evenly over the variants.
    """
    generator = np.random.default_rng(seed)
    # Stratified: a dozen variants should hold the extremes, whatever the seed.
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
