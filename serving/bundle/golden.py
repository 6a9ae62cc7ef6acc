"""Golden vectors: what the policy must answer, kept in the bundle and asked again wherever it is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...pricing import Action, ActionParts, MarketView, RecurrentPolicy, RecurrentState, feature_rows
from ..actions import ordered, promoted
from ..market_state import State, market_view
from ..recurrent_state import MEMORY, RecurrentText
from ..sample_states import random_states
from .codec import FEATURES, NetworkFunction, PolicySetup
from .files import GOLDEN, BundleError

_ROWS, _MARKETS = 12, 4
_NOTES = "notes"
# Both, because a discount or a score may be next to nothing; every output is of order one.
_RELATIVE = _ABSOLUTE = 1e-5
# A fraction half-way between two orders may round to the other one on another processor.
_UNITS = 1.0


def record(setup: PolicySetup, network: NetworkFunction, memory: RecurrentText, seed: int) -> dict[str, Any]:
    """A dozen rows of features with what the network answers, and whole markets with what they must get.

    A policy that looks back sees those markets as the first periods of one, each with the notes that the one before left.
    """
    catalogue = setup.catalogue
    states = random_states(catalogue, setup.guardrails, _ROWS, seed)
    features = []
    for number, state in enumerate(states):
        table = feature_rows(market_view(catalogue, state), product_wise=setup.product_wise)
        # Product-wise, another product of each market.
        features.append(table[number % len(table)])
    rows, notes = np.stack(features), ()
    if setup.memory is not None:
        # What another row left behind: notes of an opening would test little.
        notes = network(rows[::-1].copy(), setup.memory.opening(rows[::-1]))[1]
    parts, renewed = network(rows, notes)
    markets, text = [], None
    for number, state in enumerate(states[:_MARKETS]):
        if setup.memory is not None:
            period = number % catalogue.horizon
            state |= {"period": period, MEMORY: text if period else None}
        answer, text = _answer(setup, network, memory, state)
        markets.append({"state": state, **answer})
    return {
        FEATURES: rows.tolist(),
        _NOTES: _plain(notes),
        "outputs": {name: part.tolist() for name, part in _named(parts).items()},
        "renewed": _plain(renewed),
        "markets": markets,
    }


def check(document: dict[str, Any], setup: PolicySetup, network: NetworkFunction, memory: RecurrentText) -> None:
    """BundleError unless the network, the features and the price rules answer as they did at the export.

    The rules are applied to the proposal that was recorded: a proposal half-way between two steps of the ladder may
    round to the other one on another processor, and is no fault.
    """
    notes = tuple(np.array(note, dtype=np.float32) for note in document[_NOTES])
    parts, renewed = network(np.array(document[FEATURES], dtype=np.float32), notes)
    for name in setup.layout.names:
        _compare(name, getattr(parts, name), document["outputs"][name])
    for got, wanted in zip(renewed, document["renewed"], strict=True):
        _compare("memory", got, wanted)
    for market in document["markets"]:
        got, _ = _answer(setup, network, memory, market["state"], market["proposed"])
        for name, wanted in got.items():
            _compare(name, wanted, market[name], _UNITS if name == "order_units" else _ABSOLUTE)


def _answer(
    setup: PolicySetup,
    network: NetworkFunction,
    memory: RecurrentText,
    state: State,
    recorded: list[float] | None = None,
) -> tuple[dict[str, list[Any]], str | None]:
    """What one market gets, and the text of the notes it leaves. recorded: a proposal to apply the price rules to instead."""
    view = market_view(setup.catalogue, state)
    period = int(view.period[0])
    action, notes = _act(setup, network, view, memory.read(state.get(MEMORY), period))
    proposed = action.price[0].tolist()
    price = np.array([proposed if recorded is None else recorded], dtype=np.float32)
    answer = {"proposed": proposed, "price": setup.guardrails.apply(Action(price), view).price[0].tolist()}
    if action.promotion is not None and setup.most_promoted is not None:
        answer["promotion"] = promoted(action.promotion[0], setup.most_promoted).tolist()
    if action.order is not None and setup.catalogue.max_order_units is not None:
        answer["order_units"] = ordered(action.order[0], setup.catalogue.max_order_units).tolist()
    return answer, memory.write(notes, period) if notes else None


def _act(
    setup: PolicySetup, network: NetworkFunction, view: MarketView, notes: RecurrentState | None
) -> tuple[Action, RecurrentState]:
    policy = setup.policy("golden", network)
    if isinstance(policy, RecurrentPolicy):
        return policy.answer(view, notes)
    return policy.act(view), ()


def _named(parts: ActionParts) -> dict[str, Any]:
    return {name: part for name, part in parts._asdict().items() if part is not None}


def _plain(notes: RecurrentState) -> list[Any]:
    return [note.tolist() for note in notes]


def _compare(name: str, got: Any, wanted: Any, absolute: float = _ABSOLUTE) -> None:
    got, wanted = np.asarray(got, dtype=np.float32), np.array(wanted, dtype=np.float32)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_RELATIVE, atol=absolute):
        raise BundleError(
            f"{GOLDEN} must be reproduced; got another {name}; this machine's ONNX Runtime or repricer answers "
            "differently: export it again with these versions"
        )
