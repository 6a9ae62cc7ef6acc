"""What is written in a transaction of the log: functions that another process can be given."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..decision import Decision
from .drafts import Drafts
from .records import Record, record_of
from .replies import Reply, keep, kept
from .schema import BUNDLES, DECISIONS, SWITCHES, TRIALS
from .sealing import Draft, Sealer
from .transactions import Work, Writing

_FEW = 8
"""Up to so many decisions, the writer seals them while the next request is answered."""
_FILLER = "-" * (32 << 10)


class Packed:
    """Work that is pickled once, however often it is passed on."""

    def __init__(self, work: Work) -> None:
        self._text = pickle.dumps(work, pickle.HIGHEST_PROTOCOL)

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self._text)

    def __call__(self, writing: Writing) -> Any:
        """Do the work."""
        return pickle.loads(self._text)(writing)


def additions(named: Sequence[tuple[str, Decision]], drafts: Drafts, reply: Reply | None) -> Work:
    """Work that writes decisions, all or none.

    What can be done before the transaction, for which others wait, is done here.

    Args:
        named: The decisions, each with its request id.
        reply: The answer that holds them, to be kept; if one is kept already, nothing is written.

    Returns:
        Work that returns the answer that was kept already; None where there was none.

    Raises:
        LogError: The log cannot be read.
        ValueError: A propensity lies outside (0, 1].
    """
    records = [record_of(*one) for one in named]
    found = drafts.of(records) if len(records) > _FEW else [None] * len(records)
    rows = [
        (record, text if draft is None or draft.subject is None else b"", draft)
        for (record, text), draft in zip(records, found, strict=True)
    ]
    return partial(_add, rows=rows, reply=reply)


def _add(writing: Writing, rows: Sequence[tuple[Record, bytes, Draft | None]], reply: Reply | None) -> bytes | None:
    if reply is not None:
        before = kept(writing, reply.request_id, reply.question)
        if before is not None:
            return before
        keep(writing, reply)
    sealer = writing.keep(Sealer)
    sealer.look_up(writing, (record.market for record, _, _ in rows))
    done = [sealer.row(writing, *row) for row in rows]
    writing.append(DECISIONS, [row for row, _ in done], [text for _, text in done])
    return None


def add_switch(writing: Writing, row: Mapping[str, Any], bundle: Mapping[str, Any] | None) -> None:
    """Write that a switch was thrown, and the files of a bundle that becomes active with it."""
    writing.append(SWITCHES, [row])
    if bundle is not None:
        writing.replace(BUNDLES, bundle)


def try_out(writing: Writing) -> None:
    """Write as much as a decision takes."""
    writing.replace(TRIALS, {"id": 1, "filler": _FILLER})
