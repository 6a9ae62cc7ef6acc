"""A policy that a network answers for: trained in this process or read from a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalogue import MarketView
from .features import feature_rows
from .layout import ActionLayout, Parts
from .policy import Action


def action_from_parts(parts: Parts, base_price: NDArray[np.float32], view: MarketView) -> Action:
    """The action for a view from what `ActionLayout.decode` gives, whichever way the rows were laid out.

    base_price: (N,) currency per unit.
    """
    shape = (view.num_markets, base_price.size)

    def spread(part: Any, *last: int) -> NDArray[np.float32] | None:
        return None if part is None else np.asarray(part).reshape(*shape, *last)

    order = spread(parts.order)
    if order is not None:
        most = view.catalogue.max_order_units
        if most is None:
            raise ValueError(
                "a policy that orders needs a catalogue with max_order_units; got none; name the scenario's"
            )
        order = np.floor(order * most + np.float32(0.5))
    return Action(
        price=(base_price * np.asarray(parts.price_multiplier).reshape(shape)).astype(np.float32),
        discount=spread(parts.discount, -1),
        recommendation=spread(parts.recommendation, -1),
        promotion=spread(parts.promotion),
        order=order,
    )


@dataclass(frozen=True)
class NetworkPolicy:
    """Prices from a network.

    forward: rows of features to the decoded parts of `layout`. product_wise: a row is one product, (E * N, F), so that
    the same network prices any number of products; otherwise a row is one market, (E, N * F), without the columns that
    never change. base_price: (N,) what the network's price multiplies.
    """

    name: str
    forward: Callable[[NDArray[np.float32]], Parts]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool

    def act(self, view: MarketView) -> Action:
        """Propose what the network says, without exploration."""
        rows = feature_rows(view, product_wise=self.product_wise)
        return action_from_parts(self.forward(rows), self.base_price, view)
