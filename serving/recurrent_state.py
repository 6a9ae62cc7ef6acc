"""What a policy that looks back notes from one period to the next: its layout, and the text that carries it."""

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

WINDOW, LSTM = ("window",), ("hidden", "cell")
MEMORY = "memory"
_HEAD = struct.Struct("<8sI")
_MOST_NUMBERS = 1 << 20


@dataclass(frozen=True)
class RecurrentLayout:
    """Notes of one row of the network, by name: `window`, or `hidden` and `cell`.

    shapes: of each note. A window holds the rows of the periods before, (periods, columns), and opens an episode with
    the first row repeated; the states of an LSTM, (layers, units), open with zeros.
    """

    shapes: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        sizes = [size for shape in self.shapes.values() for size in shape]
        proper = tuple(self.shapes) in (WINDOW, LSTM) and all(len(shape) == 2 for shape in self.shapes.values())
        if not proper or not all(isinstance(size, int) and 0 < size <= _MOST_NUMBERS for size in sizes):
            raise ValueError(f"memory must be a window, or hidden and cell, (rows, columns) each; got {self.shapes}")

    @classmethod
    def of(cls, notes: RecurrentState) -> RecurrentLayout:
        """The layout of such notes, (rows, …)."""
        names = WINDOW if len(notes) == 1 else LSTM
        return cls({name: note.shape[1:] for name, note in zip(names, notes, strict=True)})

    @property
    def rows_axis(self) -> int:
        """Where the network's inputs and outputs have the rows: an LSTM holds its states as (layers, rows, units)."""
        return 0 if tuple(self.shapes) == WINDOW else 1

    @property
    def names(self) -> list[str]:
        """What the network's inputs are called."""
        return list(self.shapes)

    @property
    def renewed(self) -> list[str]:
        """What the network's outputs with the notes for the next period are called."""
        return [f"next_{name}" for name in self.shapes]

    def opening(self, rows: NDArray[np.float32]) -> RecurrentState:
        """The notes with which these rows, (rows, columns), begin an episode."""
        return initial_recurrent_state(rows, self.shapes)


@dataclass(frozen=True)
class RecurrentText:
    """Notes as the text that leaves with an answer and comes back with the next period's state.

    layout: None for a policy that looks at one period alone. rows: of the network, for one market. owner: eight bytes
    that only this policy writes, so that another's notes are not taken for its own.
    """

    layout: RecurrentLayout | None
    rows: int
    owner: bytes

    def write(self, notes: RecurrentState, period: int) -> str:
        """The notes that an answer of this period leaves."""
        numbers = np.concatenate([note.reshape(-1) for note in notes]).astype("<f4")
        return base64.b64encode(_HEAD.pack(self.owner, period) + numbers.tobytes()).decode()

    def read(self, text: Any, period: int) -> RecurrentState | None:
        """The notes for a state of this period, None where it opens an episode or the policy keeps none.

        Raises StateError for notes that are missing, broken, another policy's or another period's.
        """
        if self.layout is None or period == 0:
            if text is not None:
                why = "this policy looks at one period alone" if self.layout is None else "period 0 opens an episode"
                raise StateError(f"state: memory must be null, since {why}; got one; leave it out")
            return None
        shapes = [(self.rows, *shape) for shape in self.layout.shapes.values()]
        sizes = [int(np.prod(shape)) for shape in shapes]
        owner, before, numbers = _unpacked(text, sum(sizes))
        if owner != self.owner:
            raise StateError("state: memory must come from an answer of this bundle; got another's; begin at period 0")
        if before != period - 1:
            raise StateError(
                f"state: memory must come from the answer of period {period - 1}; got that of period {before}; "
                "ask for the periods in order"
            )
        if not np.isfinite(numbers).all():
            raise StateError("state: memory must hold finite numbers; got others; begin at period 0")
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def together(
    policy: RecurrentPolicy, rows: NDArray[np.float32], notes: Sequence[RecurrentState | None]
) -> RecurrentState:
    """The notes of all markets, one after the other; None is a market that opens an episode.

    rows: the features of these markets, in the order of `feature_rows`.
    """
    if len(notes) == 1 and notes[0] is not None:
        return notes[0]
    opening = apart(policy.initial_state(rows), len(notes))
    each = [opens if own is None else own for own, opens in zip(notes, opening, strict=True)]
    return tuple(np.concatenate(parts) for parts in zip(*each, strict=True))


def apart(notes: RecurrentState, markets: int) -> list[RecurrentState]:
    """The notes of each of so many markets."""
    return list(zip(*(np.split(note, markets) for note in notes), strict=True))


def _unpacked(text: Any, count: int) -> tuple[bytes, int, NDArray[np.float32]]:
    """Owner, period and so many numbers."""
    length = _HEAD.size + 4 * count
    # Its length is compared before anything is decoded.
    if isinstance(text, str) and len(text) == 4 * -(-length // 3):
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) == length:
            owner, period = _HEAD.unpack_from(content)
            return owner, period, np.frombuffer(content, "<f4", offset=_HEAD.size).astype(np.float32)
    got = "none" if text is None else "something else"
    raise StateError(
        f"state: memory must be the text of the last answer, as it came; got {got}; "
        "this policy looks back: send what it answered in the period before"
    )
