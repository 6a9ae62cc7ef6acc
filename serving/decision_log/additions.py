"""What is written in a transaction of the log: functions that another process can be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .records import Record
from .replies import Reply, keep, kept
from .schema import BUNDLES, DECISIONS, SWITCHES, TRIALS
from .sealing import Draft, Sealer
from .transactions import Writing

_FILLER = "-" * (32 << 10)


def add_decisions(
    writing: Writing, records: Sequence[tuple[Record, bytes]], drafts: Sequence[Draft | None], reply: Reply | None
) -> bytes:
    """Write decisions and keep the answer that holds them; returns the answer that was kept."""
    if reply is not None:
        before = kept(writing, reply.request_id, reply.question)
        if before is not None:
            return before
        keep(writing, reply)
    sealer = writing.keep(Sealer)
    rows = [sealer.row(writing, *one, draft) for one, draft in zip(records, drafts, strict=True)]
    writing.append(DECISIONS, rows)
    return b"" if reply is None else reply.answer


def add_switch(writing: Writing, row: Mapping[str, Any], bundle: Mapping[str, Any] | None) -> None:
    """Write that a switch was thrown, and the files of a bundle that becomes active with it."""
    writing.append(SWITCHES, [row])
    if bundle is not None:
        writing.replace(BUNDLES, bundle)


def try_out(writing: Writing) -> None:
    """Write as much as a decision takes."""
    writing.replace(TRIALS, {"id": 1, "filler": _FILLER})
