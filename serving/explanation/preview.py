"""What a market state would be answered, and questions about it; functions that another process can be given."""

from __future__ import annotations

from typing import Any

import orjson

from ..decision import Decision
from ..market_state import State
from ..predictor import ObservedMarkets, Predictor
from .sentences import explain_decision
from .what_if import what_if


def preview(predictor: Predictor, arm: str, state: State) -> tuple[ObservedMarkets, Decision]:
    """The market that a policy observes, and its decision.

    Args:
        predictor: Answers.
        arm: Its arm.
        state: The state.

    Raises:
        StateError: The state cannot be read.
    """
    seen = predictor.observe([predictor.read(state)])
    bundle = predictor.bundle
    warnings = bundle.seen.warnings(bundle.seen.outside(seen.features)[0], bundle.catalogue.products)
    return seen, Decision(state, predictor.price_observed(seen)[0], arm, 1.0, None, warnings)


def explained(predictor: Predictor, arm: str, state: State, product: Any) -> bytes:
    """`explain_decision` of the price of a product, as JSON. Raises StateError."""
    seen, decision = preview(predictor, arm, state)
    return orjson.dumps(explain_decision(predictor.bundle, predictor.at_state(seen), seen.view, decision, product))


def at_other_prices(predictor: Predictor, arm: str, state: State, product: Any, prices: Any) -> bytes:
    """`what_if` a product had other prices, as JSON. Raises StateError, NoResponseError."""
    seen, decision = preview(predictor, arm, state)
    return orjson.dumps(what_if(predictor.bundle, seen.view, decision.answer, product, prices))
