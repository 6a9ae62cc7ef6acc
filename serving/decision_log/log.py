"""The decision log: states and answers, the policy and the probability of each price, and the sales
that followed.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, select

from ..bundle.files import MANIFEST
from ..bundle.signing import sha256
from ..decision import Decision
from ..market_state import State
from ..predictor import PriceAnswer
from . import maintenance
from .additions import add_switch, additions, try_out
from .approvals import Approval, Recorded
from .approvals import add as add_approvals
from .drafts import Drafts
from .hash_chain import as_json
from .outcomes import ReportedOutcome, add, add_possible
from .records import now
from .replies import Reply, kept
from .schema import APPROVALS, BUNDLES, DECISIONS, MAINTENANCE, OUTCOMES, SCHEMA, SUBJECTS, SWITCHES
from .sealing import Opened, opened
from .storage import Storage
from .transactions import Work
from .verification import Head, verified

_PAGE = 500
"""Decisions that are read at a time."""
_ALL = (2**62, 2**62)


class DecisionLog:
    """Append-only tables of decisions, outcomes, approvals of price lists and switches; the hash of
    each row covers the row before it.

    Several threads and processes may write. The hashes reveal any changed row; the loss of the last
    rows is revealed only by a hash that was noted later. The hashes are not secret: store
    `verify().hash` where the log's writer has no access. Decisions and outcomes are compressed, and
    sealed with a key of their market, which `erase` destroys.

    Args:
        place: A SQLite file, or the URL of a PostgreSQL database
            (`postgresql://USER@HOST/DATABASE`, extra `postgres`).
        keys: The log that has the keys of this one, where it is an archive or a backup.
        apart: Write in a process of its own, as a service does that answers many requests; erasure
            and rotation are for a log without one.

    Raises:
        ValueError: The place holds something else.
        ChainError: A log of an earlier version, which is upgraded, does not match its hashes.

    Example:
        >>> import tempfile
        >>> log = DecisionLog(tempfile.mkdtemp() + "/decisions.db")
        >>> log.verify().rows
        0
        >>> log.close()
    """

    def __init__(
        self, place: str | os.PathLike[str], keys: str | os.PathLike[str] | None = None, apart: bool = False
    ) -> None:
        self._storage = Storage(place, apart)
        self.drafts = Drafts(place, self._storage.rows)
        """Seals rows of decisions, also in another process."""
        self._keys = self._storage if keys is None else Storage(keys)

    @property
    def name(self) -> str:
        """The place of the log, without a password."""
        return self._storage.name

    def submit(
        self,
        answer: PriceAnswer,
        state: State,
        request_id: str,
        *,
        propensity: float | Mapping[str, float] = 1.0,
        arm: str = "policy",
        shadow: PriceAnswer | None = None,
    ) -> Future[None]:
        """Commit a decision; it is on disk when the future is done.

        Answers that wait share a commit.

        Args:
            answer: The answer to record.
            state: The state that was priced.
            request_id: A unique name of this answer.
            propensity: Probability, in (0, 1], of these prices in this state; it is that of the
                arm, since a bundle's policy is deterministic. By product where it differs: a
                product that every arm prices alike has 1.
            arm: Who answered, such as "policy" or "fallback".
            shadow: The answer of a second policy.

        Returns:
            A future that raises LogError if the rows cannot be written.
        """
        decision = Decision(state, answer, arm, propensity, shadow, [])
        done: Future[Any] = self.submit_decisions([(request_id, decision)])
        return done

    def record(
        self,
        answer: PriceAnswer,
        state: State,
        request_id: str,
        *,
        propensity: float | Mapping[str, float] = 1.0,
        arm: str = "policy",
        shadow: PriceAnswer | None = None,
    ) -> None:
        """Like `submit`, but wait for the commit. Raises LogError."""
        self.submit(answer, state, request_id, propensity=propensity, arm=arm, shadow=shadow).result()

    def submit_decisions(
        self, named: Sequence[tuple[str, Decision]], reply: Reply | None = None
    ) -> Future[bytes | None]:
        """Commit several decisions, each with its request id, all or none.

        Args:
            named: The decisions.
            reply: The answer that holds them, to be kept; if one is kept already,
                nothing is written.

        Returns:
            A future with the answer that was kept already, None where there was none. It raises
            LogError if the rows cannot be written, and ReusedKeyError.
        """
        return self.submit_work(additions(named, self.drafts, reply))

    def submit_work(self, work: Work) -> Future[bytes | None]:
        """Commit the `additions` that were made elsewhere; as `submit_decisions`."""
        return self._storage.submit(work)

    def submit_kept(self, request_id: str, question: str) -> Future[bytes | None]:
        """Look for the answer that a request got before: a future that raises
        LogError and ReusedKeyError.
        """
        return self._storage.submit(partial(kept, request_id=request_id, question=question))

    def submit_trial(self) -> Future[None]:
        """Write as much as a decision takes, unless something was written in the last second.

        Returns:
            A future that raises LogError if decisions cannot be recorded now.
        """
        if time.monotonic() - self._storage.written < 1:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._storage.submit(try_out)

    def submit_outcomes(self, outcomes: Sequence[ReportedOutcome]) -> Future[int]:
        """Commit outcomes, all or none; a repeated outcome is not written again.

        Returns:
            A future with the number of new outcomes. It raises LogError, and OutcomeError for an
            outcome without a decision or one that contradicts an earlier one.
        """
        return self._storage.submit(partial(add, outcomes=outcomes))

    def record_outcomes(self, outcomes: Sequence[ReportedOutcome], refused: dict[int, str] | None = None) -> int:
        """Like `submit_outcomes`, but wait for the commit.

        Args:
            outcomes: The outcomes.
            refused: Receives the reason for each refused outcome, by its index, and the others are
                written. Without it, one refused outcome stops all.

        Raises:
            OutcomeError: An outcome is refused.
            LogError: They cannot be written.
        """
        if refused is None:
            return self.submit_outcomes(outcomes).result()
        new, reasons = self._storage.submit(partial(add_possible, outcomes=outcomes)).result()
        refused.update(reasons)
        return new

    def record_approvals(self, approvals: Sequence[Approval]) -> Recorded:
        """Commit decisions about a price list, all or none; a repeated one is not written
        again. Raises LogError.
        """
        return self._storage.submit(partial(add_approvals, approvals=approvals)).result()

    def record_switch(
        self,
        switch: str,
        position: Any,
        by: str,
        reason: str,
        files: Mapping[str, bytes] = {},
        digest: str | None = None,
    ) -> None:
        """Commit that a switch was thrown. Raises LogError.

        Args:
            switch: Its name.
            position: Its new position, plain JSON.
            by: Who threw it.
            reason: Why; may be empty.
            files: The files of a bundle that becomes active or goes on trial, plain or encrypted.
            digest: That of this bundle; by default of the plain manifest.
        """
        row = {"schema": SCHEMA, "time": now(), "switch": switch, "position": as_json(position)}
        bundle = {"id": digest or sha256(files[MANIFEST]), "files": msgspec.msgpack.encode(files)} if files else None
        work = partial(add_switch, row=row | {"thrown_by": by, "reason": reason}, bundle=bundle)
        self._storage.submit(work).result()

    def switches(self) -> dict[str, Any]:
        """The last position of every switch that was thrown, by name. Raises LogError."""
        last = select(func.max(SWITCHES.c.id)).group_by(SWITCHES.c.switch)
        query: Any = select(SWITCHES.c.switch, SWITCHES.c.position).where(SWITCHES.c.id.in_(last))
        found = self._storage.rows(query)
        return {row["switch"]: json.loads(row["position"]) for row in found}

    def export_switches(self) -> Iterator[dict[str, Any]]:
        """Who threw which switch, when and why, in order. Raises LogError."""
        return self._storage.rows(select(SWITCHES).order_by(SWITCHES.c.id))

    def bundle_files(self, digest: str) -> dict[str, bytes] | None:
        """The files of a bundle that was active; None for another. Raises LogError."""
        for row in self._storage.rows(select(BUNDLES.c.files).where(BUNDLES.c.id == digest)):
            return msgspec.msgpack.decode(row["files"], type=dict[str, bytes])
        return None

    def export(self) -> Iterator[dict[str, Any]]:
        """What was decided for each product, in order; erased markets are left out.

        Raises:
            ChainError: A row does not open with the key of its market.
            LogError: The log cannot be read.
        """
        for decision in self._opened():
            yield from decision.record.by_product()

    def export_outcomes(self) -> Iterator[dict[str, Any]]:
        """The outcomes of each decision, in order. Raises ChainError, LogError."""
        for decision, outcomes in self._with_outcomes():
            for outcome in outcomes:
                yield {"request_id": decision.record.request_id, **outcome}

    def export_approvals(self) -> Iterator[dict[str, Any]]:
        """The decisions about price lists in order. Raises LogError."""
        return self._storage.rows(select(APPROVALS).order_by(APPROVALS.c.id))

    def recent(self, market: str, count: int) -> list[dict[str, Any]]:
        """The rows of `export` of the last decisions of a market, the latest first.

        Args:
            market: Its name; a market that is unknown or erased has none.
            count: How many decisions.

        Raises:
            ChainError: A row does not open with the key of its market.
            LogError: The log cannot be read.
        """
        known = self._keys.rows(select(SUBJECTS.c.id).where(SUBJECTS.c.name == market))
        own = DECISIONS.c.subject.in_([row["id"] for row in known])
        page = self._storage.rows(select(DECISIONS).where(own).order_by(DECISIONS.c.id.desc()).limit(count))
        found = opened(page, self._storage.rows, self._keys.rows)
        return [row for decision in found for row in decision.record.by_product()]

    def ends(self) -> tuple[int, int]:
        """Numbers of the last decision and the last report of outcomes. Raises LogError."""
        outcomes, decisions = (
            next(self._storage.rows(select(func.coalesce(func.max(table.c.id), 0).label("n"))))["n"]
            for table in (OUTCOMES, DECISIONS)
        )
        return decisions, outcomes

    def sold(self, ends: tuple[int, int] = _ALL, first: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of `export`, each with its outcomes summed over segments.

        `units`, `paid` (currency, over all units), `stockout` and `sold_on` are None without
        outcomes; where no price paid was reported, it is the price of the decision, less the discount of the segment.

        Args:
            ends: What came later is left out; see the method `ends`.
            first: Number of the first decision.

        Raises:
            ChainError: A row does not open with the key of its market.
            LogError: The log cannot be read.
        """
        for decision, outcomes in self._with_outcomes(ends, first):
            reported = defaultdict[str, list[dict[str, Any]]](list)
            for outcome in outcomes:
                reported[outcome["product"]].append(outcome)
            for row in decision.record.by_product():
                yield {**row, **_summed(reported[row["product"]], row["price"], row["discounts"])}

    def export_maintenance(self) -> Iterator[dict[str, Any]]:
        """What was archived, discarded, erased and upgraded, by whom and why. Raises LogError."""
        return self._storage.rows(select(MAINTENANCE).order_by(MAINTENANCE.c.id))

    def erased(self) -> int:
        """The number of decisions that nobody can read any more. Raises LogError."""
        keys = select(SUBJECTS.c.id).where(SUBJECTS.c.key.is_not(None))
        known = {row["id"] for row in self._keys.rows(keys)}
        count = select(DECISIONS.c.subject, func.count().label("n")).group_by(DECISIONS.c.subject)
        return sum(row["n"] for row in self._storage.rows(count) if row["subject"] not in known)

    def verify(self, head: str | None = None, since: Head | None = None) -> Head:
        """Check the hashes of all tables and return the ends of the chains; no key is needed.

        Args:
            head: A hash noted earlier; it must still be in one of the tables, or the last rows are
                missing.
            since: The ends that an earlier check returned: only rows after them are checked.

        Raises:
            ChainError: A row does not match its hash, or rows are missing.
            LogError: The log cannot be read.
        """
        return verified(self._storage, head, since)

    def erase(self, market: str, by: str, reason: str = "") -> int:
        """Destroy the key of a market: see `maintenance.erase`."""
        return maintenance.erase(self._storage, market, by, reason)

    def rotate(
        self, days: float, archive: str | os.PathLike[str] | None, by: str, reason: str = ""
    ) -> maintenance.Rotated:
        """Move old decisions to an archive, or discard them: see `maintenance.rotate`."""
        path = None if archive is None else Path(archive)
        return maintenance.rotate(self._storage, days, path, by, reason)

    def backup(self, out: str | os.PathLike[str]) -> Head:
        """Copy the log, and its keys beside it: see `maintenance.backup`."""
        return maintenance.backup(self._storage, Path(out))

    def restore(self, place: str | os.PathLike[str]) -> Head:
        """Copy this log, a backup, and its keys into a new log: see `maintenance.restore`."""
        with closing(Storage(place)) as target:
            return maintenance.restore(self._storage, self._keys, target)

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database."""
        for storage in {self._storage, self._keys}:
            storage.close()

    def _opened(self) -> Iterator[Opened]:
        for page in self._storage.pages(select(DECISIONS).order_by(DECISIONS.c.id), _PAGE):
            yield from opened(page, self._storage.rows, self._keys.rows)

    def _with_outcomes(
        self, ends: tuple[int, int] = _ALL, first: int = 0
    ) -> Iterator[tuple[Opened, list[dict[str, Any]]]]:
        """Each decision with its outcomes, in the order in which they were reported."""
        query = select(DECISIONS).where(DECISIONS.c.id.between(first, ends[0])).order_by(DECISIONS.c.id)
        for page in self._storage.pages(query, _PAGE):
            reports = defaultdict[int, list[dict[str, Any]]](list)
            theirs = OUTCOMES.c.decision.between(page[0]["id"], page[-1]["id"])
            for report in self._storage.rows(
                select(OUTCOMES).where(theirs, OUTCOMES.c.id <= ends[1]).order_by(OUTCOMES.c.id)
            ):
                reports[report["decision"]].append(report)
            for decision in opened(page, self._storage.rows, self._keys.rows):
                mine = reports[decision.id]
                yield (
                    decision,
                    [{"time": report["time"], **row} for report in mine for row in decision.outcomes(report["body"])],
                )


def _summed(outcomes: list[dict[str, Any]], price: float, discounts: Mapping[str, float]) -> dict[str, Any]:
    """The outcomes of one product, over all segments."""
    if not outcomes:
        return dict.fromkeys(("units", "paid", "stockout", "sold_on"))
    due = [price * (1 - discounts.get(one["segment"], 0.0)) for one in outcomes]
    paid = [usual if one["price_paid"] is None else one["price_paid"] for one, usual in zip(outcomes, due, strict=True)]
    return {
        "units": sum(one["units"] for one in outcomes),
        "paid": sum(one["units"] * each for one, each in zip(outcomes, paid, strict=True)),
        "stockout": any(one["stockout"] for one in outcomes),
        "sold_on": min((one["date"] for one in outcomes if one["date"]), default=None),
    }
