"""How the price of one product moves the units of the others of its category."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...pricing import choice_shares
from .category_model import CategoryModel
from .fitted_demand import FittedDemand

Array = NDArray[np.float64]


def cross_elasticities(demand: FittedDemand, most: int = 3) -> list[dict[str, Any]]:
    """The products of its category whose prices move a product's units most.

    Args:
        demand: The fitted demand.
        most: Largest number of such products for each product.

    Returns:
        One row per pair: `product`, `other` and the `elasticity` of the product's units in the
        other's price, at regular prices, with `interval90`; largest first for each product.

    Example:
        >>> cross_elasticities(demand)[0]["elasticity"]  # doctest: +SKIP
        0.41
    """
    rows: list[dict[str, Any]] = []
    for c, posterior in enumerate(demand.posteriors):
        here = demand.members(c)
        kept = min(most, len(here) - 1)
        if kept < 1:
            continue
        share, buying, response = (values[0] for values in _choice(posterior.model, posterior.draws.mean(axis=0)[None]))
        matrix = np.einsum("kj,kl,kl->jl", share, buying, response)
        np.fill_diagonal(matrix, -np.inf)
        # (J, kept) columns of the largest entries of each row.
        chosen = np.argsort(-matrix, axis=1, kind="stable")[:, :kept]
        share, buying, response = _choice(posterior.model, posterior.draws)
        drawn = np.einsum("mkj,mkji->mji", share, (buying * response)[:, :, chosen])
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        mean = drawn.mean(axis=0)
        rows += [
            {
                "product": demand.products[n],
                "other": demand.products[here[chosen[j, i]]],
                "category": demand.names[c],
                "elasticity": float(mean[j, i]),
                "interval90": [float(low[j, i]), float(high[j, i])],
            }
            for j, n in enumerate(here)
            for i in np.argsort(-mean[j], kind="stable")
        ]
    return rows


def _choice(model: CategoryModel, theta: Array) -> tuple[Array, Array, Array]:
    """(M, K, J) each: a product's buyers by segment, choice probabilities, and utility lost per log point of price."""
    now = model.at_regular(torch.as_tensor(theta))
    buying = choice_shares(now.utility.numpy()).product
    bought = model.data.segment_share[:, None] * buying
    response = model.data.segment_response[:, None] * now.steepness.numpy()[:, None, :]
    return bought / bought.sum(axis=1, keepdims=True), buying, response
