"""Golden vectors: inputs with the expected answers, stored in the bundle and checked whenever it is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...pricing import Action, MarketView, RecurrentPolicy, RecurrentState, feature_rows
from ..actions import ordered, promoted
from ..market_state import State, market_view
from ..recurrent_state import MEMORY, RecurrentText
from ..sample_states import random_states
from .codec import FEATURES, NetworkFunction, PolicySetup
from .files import GOLDEN, BundleError

_ROWS, _MARKETS = 12, 4
_NOTES = "notes"
# Both tolerances, because a discount or a score may be close to 0; every output is of order one.
_RELATIVE = _ABSOLUTE = 1e-5
# A fraction half-way between two whole orders may round differently on another processor.
_UNITS = 1.0
_ORDERS = ("order_units", "express_units")


def record(setup: PolicySetup, network: NetworkFunction, memory: RecurrentText, seed: int) -> dict[str, Any]:
    """A dozen rows of features with the network's outputs, and whole markets with their answers.

    A policy with recurrent state gets those markets as the first periods of one market, one after
    the other.

    Args:
        memory: The text form of the recurrent state.
        seed: Selects the market states.
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
        # The state after another row: an initial state would test little.
        notes = network(rows[::-1].copy(), setup.memory.initial_state(rows[::-1]))[1]
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
        "outputs": {name: part.tolist() for name, part in parts._asdict().items() if part is not None},
        "renewed": _plain(renewed),
        "markets": markets,
    }


def check(document: dict[str, Any], setup: PolicySetup, network: NetworkFunction, memory: RecurrentText) -> None:
    """Check that network, features and price rules answer as they did at the export.

    The rules are applied to the recorded proposal: a proposal half-way between two steps of the
    ladder may round differently on another processor, which is no error.

    Raises:
        BundleError: An answer differs.
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
            _compare(name, wanted, market[name], _UNITS if name in _ORDERS else _ABSOLUTE)


def _answer(
    setup: PolicySetup,
    network: NetworkFunction,
    memory: RecurrentText,
    state: State,
    recorded: list[float] | None = None,
) -> tuple[dict[str, list[Any]], str | None]:
    """The answer for one market and the text of its recurrent state; the rules apply to `recorded`, where given."""
    view = market_view(setup.catalogue, state)
    period = int(view.period[0])
    action, notes = _act(setup, network, view, memory.read(state.get(MEMORY), period))
    proposed = action.price[0].tolist()
    price = np.array([proposed if recorded is None else recorded], dtype=np.float32)
    answer = {"proposed": proposed, "price": setup.guardrails.apply(Action(price), view).price[0].tolist()}
    if action.promotion is not None and setup.most_promoted is not None:
        answer["promotion"] = promoted(action.promotion[0], setup.most_promoted).tolist()
    for name, units in zip(_ORDERS, ordered(action, setup.catalogue), strict=True):
        if units is not None:
            answer[name] = units[0].tolist()
    return answer, memory.write(notes, period) if notes else None


def _act(
    setup: PolicySetup, network: NetworkFunction, view: MarketView, notes: RecurrentState | None
) -> tuple[Action, RecurrentState]:
    policy = setup.policy("golden", network)
    if isinstance(policy, RecurrentPolicy):
        return policy.answer(view, notes)
    return policy.act(view), ()


def _plain(notes: RecurrentState) -> list[Any]:
    return [note.tolist() for note in notes]


def _compare(name: str, got: Any, wanted: Any, absolute: float = _ABSOLUTE) -> None:
    got, wanted = np.asarray(got, dtype=np.float32), np.array(wanted, dtype=np.float32)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_RELATIVE, atol=absolute):
        raise BundleError(
            f"{GOLDEN} must be reproduced; got another {name}: this machine's ONNX Runtime or repricer answers "
            "differently; export it again with these versions"
        )
