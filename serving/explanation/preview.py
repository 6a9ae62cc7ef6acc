"""Questions about what a market state would be answered; functions that another process can be given."""

from __future__ import annotations

from typing import Any

import orjson

from ..decision import preview
from ..market_state import State
from ..predictor import Predictor
from .sentences import explain_decision
from .what_if import what_if


def explained(predictor: Predictor, arm: str, state: State, product: Any) -> bytes:
    """`explain_decision` of the price of a product, as JSON. Raises StateError."""
    seen, decision = preview(predictor, arm, state)
    return orjson.dumps(explain_decision(predictor.bundle, predictor.at_state(seen), seen.view, decision, product))


def at_other_prices(predictor: Predictor, arm: str, state: State, product: Any, prices: Any) -> bytes:
    """`what_if` a product had other prices, as JSON. Raises StateError, NoResponseError."""
    seen, decision = preview(predictor, arm, state)
    return orjson.dumps(what_if(predictor.bundle, seen.view, decision.answer, product, prices))
