"""The recurrent state that a policy carries from one period to the next: its layout, and its form as text."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import RecurrentPolicy, RecurrentState, initial_recurrent_state
from .market_state import StateError

WINDOW = ("window",)
LSTM = ("hidden", "cell")
MEMORY = "memory"
_HEAD = struct.Struct("<8sI")
_MOST_MEMORY = 1 << 20
_MUST = "state: memory must"


@dataclass(frozen=True)
class RecurrentLayout:
    """The arrays of the recurrent state for one row of the network: `window`, or `hidden` and
    `cell`.

    A window holds the rows of the previous periods, (periods, columns); initially the first row is
    repeated. The states of an LSTM have shape (layers, units) and are initially zero.

    Attributes:
        shapes: Shape of each array, by name.
    """

    shapes: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        sizes = [size for shape in self.shapes.values() for size in shape]
        proper = tuple(self.shapes) in (WINDOW, LSTM) and all(len(shape) == 2 for shape in self.shapes.values())
        if not proper or not all(isinstance(size, int) and 0 < size <= _MOST_MEMORY for size in sizes):
            raise ValueError(f"memory must be a window, or hidden and cell, (rows, columns) each; got {self.shapes}")

    @classmethod
    def of(cls, state: RecurrentState) -> RecurrentLayout:
        """The layout of such arrays, (rows, …) each."""
        names = WINDOW if len(state) == 1 else LSTM
        return cls({name: part.shape[1:] for name, part in zip(names, state, strict=True)})

    @property
    def rows_axis(self) -> int:
        """Axis of the rows in the network's inputs and outputs: an LSTM has states of shape (layers, rows, units)."""
        return 0 if tuple(self.shapes) == WINDOW else 1

    @property
    def output_names(self) -> list[str]:
        """Names of the network's outputs with the state for the next period."""
        return [f"next_{name}" for name in self.shapes]

    def initial_state(self, rows: NDArray[np.float32]) -> RecurrentState:
        """The state with which these rows, (rows, columns), start an episode."""
        return initial_recurrent_state(rows, self.shapes)


@dataclass(frozen=True)
class RecurrentText:
    """Converts the recurrent state to the text `memory`, which the caller sends back in the next
    period.

    Attributes:
        layout: The arrays of the state; None for a policy without one.
        rows: Rows of the network for one market.
        owner: Eight bytes that identify the policy, so that no other policy's state is accepted.
    """

    layout: RecurrentLayout | None
    rows: int
    owner: bytes

    def write(self, state: RecurrentState, period: int) -> str:
        """The text for the state after an answer of this period."""
        numbers = np.concatenate([part.reshape(-1) for part in state]).astype("<f4")
        return base64.b64encode(_HEAD.pack(self.owner, period) + numbers.tobytes()).decode()

    def read(self, text: Any, period: int) -> RecurrentState | None:
        """The recurrent state that the text holds.

        Args:
            text: The text of the previous period's answer, or None.
            period: Number of the period that is priced now.

        Returns:
            The state; None in period 0 and for a policy without one.

        Raises:
            StateError: The text is missing, broken, from another policy, or from another period.
        """
        if self.layout is None or period == 0:
            if text is not None:
                why = "this policy has no recurrent state" if self.layout is None else "period 0 starts an episode"
                raise StateError(f"{_MUST} be null, since {why}; got text; leave it out")
            return None
        shapes = [(self.rows, *shape) for shape in self.layout.shapes.values()]
        sizes = [int(np.prod(shape)) for shape in shapes]
        owner, before, numbers = _unpacked(text, sum(sizes))
        if owner != self.owner:
            raise StateError(f"{_MUST} come from an answer of this bundle; got another bundle's; start at period 0")
        if before != period - 1:
            got = f"got that of period {before}; price the periods in order"
            raise StateError(f"{_MUST} come from the answer of period {period - 1}; {got}")
        if not np.isfinite(numbers).all():
            raise StateError(f"{_MUST} hold finite numbers; got others; start at period 0")
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def stacked(
    policy: RecurrentPolicy, rows: NDArray[np.float32], states: Sequence[RecurrentState | None]
) -> RecurrentState:
    """The recurrent states of several markets, one after the other.

    Args:
        policy: The policy that the states belong to.
        rows: Features of these markets, in the order of `feature_rows`.
        states: The state of each market; None where it starts an episode.
    """
    if len(states) == 1 and states[0] is not None:
        return states[0]
    initial = split(policy.initial_state(rows), len(states))
    each = [first if own is None else own for own, first in zip(states, initial, strict=True)]
    return tuple(np.concatenate(parts) for parts in zip(*each, strict=True))


def split(state: RecurrentState, markets: int) -> list[RecurrentState]:
    """The recurrent state of each of several markets."""
    return list(zip(*(np.split(part, markets) for part in state), strict=True))


def _unpacked(text: Any, count: int) -> tuple[bytes, int, NDArray[np.float32]]:
    """Owner, period and `count` numbers."""
    length = _HEAD.size + 4 * count
    # The length is checked before anything is decoded.
    if isinstance(text, str) and len(text) == 4 * -(-length // 3):
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) == length:
            owner, period = _HEAD.unpack_from(content)
            return owner, period, np.frombuffer(content, "<f4", offset=_HEAD.size).astype(np.float32)
    got = "none" if text is None else "something else"
    fix = "this policy has recurrent state: send what it answered in the previous period"
    raise StateError(f"{_MUST} be the text of the previous answer, unchanged; got {got}; {fix}")
