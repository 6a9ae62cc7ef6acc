"""A policy that a network answers for: trained in this process or read from a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalogue import MarketView
from .features import product_features
from .layout import ActionLayout
from .policy import Action

Parts = tuple[Any, Any | None, Any | None]


def action_from_parts(parts: Parts, base_price: NDArray[np.float32], num_markets: int) -> Action:
    """The action of E markets from what `ActionLayout.decode` gives, whichever way the rows were laid out."""
    multiplier, discount, score = parts
    shape = (num_markets, base_price.size)
    return Action(
        price=(base_price * np.asarray(multiplier).reshape(shape)).astype(np.float32),
        discount=None if discount is None else np.asarray(discount).reshape(*shape, -1),
        recommendation=None if score is None else np.asarray(score).reshape(*shape, -1),
    )


@dataclass(frozen=True)
class NetworkPolicy:
    """Prices from a network.

    forward: rows of features to the decoded parts of `layout`. product_wise: a row is one product, (E * N, F), so that
    the same network prices any number of products; otherwise a row is one market, (E, N * F). base_price: (N,) what
    the network's price multiplies.
    """

    name: str
    forward: Callable[[NDArray[np.float32]], Parts]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool

    def act(self, view: MarketView) -> Action:
        """Propose what the network says, without exploration."""
        features = product_features(view)
        rows = features.reshape(-1, features.shape[-1]) if self.product_wise else features.reshape(len(features), -1)
        return action_from_parts(self.forward(rows), self.base_price, view.num_markets)
