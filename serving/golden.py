"""Golden vectors: what the policy must answer, kept in the bundle and asked again wherever it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import Action, NetworkPolicy, Parts, feature_rows
from .codec import Knowledge
from .files import GOLDEN, BundleError
from .network import FEATURES
from .state import market_view, random_states

_ROWS, _MARKETS = 12, 4
# Both, because a discount or a score may be next to nothing; every output is of order one.
_RELATIVE = _ABSOLUTE = 1e-5


def record(knowledge: Knowledge, forward: Callable[[NDArray[np.float32]], Parts], seed: int) -> dict[str, Any]:
    """A dozen rows of features with the outputs of `forward`, and whole markets with the prices they must get."""
    rules, catalogue = knowledge.guardrails, knowledge.catalogue
    states = random_states(catalogue, rules, _ROWS, seed)
    policy = NetworkPolicy("golden", forward, knowledge.layout, knowledge.base_price, knowledge.product_wise)
    features = []
    for number, state in enumerate(states):
        table = feature_rows(market_view(catalogue, state), product_wise=knowledge.product_wise)
        # Product-wise, another product of each market.
        features.append(table[number % len(table)])
    rows = np.stack(features)
    outputs = {name: part.tolist() for name, part in forward(rows)._asdict().items() if part is not None}
    markets = []
    for state in states[:_MARKETS]:
        view = market_view(catalogue, state)
        action = policy.act(view)
        price = rules.apply(Action(action.price), view).price[0]
        markets.append({"state": state, "proposed": action.price[0].tolist(), "price": price.tolist()})
    return {FEATURES: rows.tolist(), "outputs": outputs, "markets": markets}


def check(document: dict[str, Any], knowledge: Knowledge, policy: NetworkPolicy) -> None:
    """BundleError unless the network, the features and the price rules answer as they did at the export.

    The rules are applied to the proposal that was recorded: a proposal half-way between two steps of the ladder may
    round to the other one on another processor, and is no fault.
    """
    parts = policy.forward(np.array(document[FEATURES], dtype=np.float32))
    for name in knowledge.layout.names:
        _compare(name, getattr(parts, name), document["outputs"][name])
    for market in document["markets"]:
        view = market_view(knowledge.catalogue, market["state"])
        _compare("the proposed price", policy.act(view).price[0], market["proposed"])
        recorded = Action(np.array([market["proposed"]], dtype=np.float32))
        _compare("the price", knowledge.guardrails.apply(recorded, view).price[0], market["price"])


def _compare(name: str, got: Any, wanted: Any) -> None:
    got, wanted = np.asarray(got), np.array(wanted, dtype=np.float32)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_RELATIVE, atol=_ABSOLUTE):
        raise BundleError(
            f"{GOLDEN} must be reproduced; got another {name}; this machine's ONNX Runtime or repricer answers "
            "differently: export it again with these versions"
        )
