"""The decision log: states and answers, the policy and the probability of each price, and the sales
that followed.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import weakref
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Executable, bindparam, delete, func, insert, select

from ..decision import Chance, Decision
from ..market_state import State
from ..predictor import PriceAnswer
from . import maintenance, migration
from .approvals import Approval, ExperimentPlan, Recorded, add_desk, add_experiment, add_items, desk
from .approvals import add as add_approvals
from .chain import EMPTY, ChainError, Tail, checked, document, facts_of, is_whole
from .outcomes import OutcomeError, Report, ReportedOutcome, outcomes_of, reports_of, summed
from .records import decision_row, opened, state_of
from .replies import Reply, digest_of, keep, kept
from .storage import LogError, Storage, Writing, end_of
from .tables import BUNDLES, DECISIONS, EVENTS, FILES, OUTCOMES, TRIALS
from .verification import verified

_SOME = 200
"""Rows of a long look-up after which others have a turn."""
_PAUSE = 0.001
"""Seconds of such a turn."""
_TRIES = 5
"""To write outcomes beside others that report the same decisions."""
_PAGE = 500
"""Decisions that are read at a time."""
_ALL = (2**62, 2**62)
_EVENTS_AFTER = select(EVENTS).where(EVENTS.c.id > bindparam("last")).order_by(EVENTS.c.id)
_FILLER = "-" * (4 << 10)
_TRIAL_EVENTS = select(EVENTS).where(EVENTS.c.name.in_(("canary", "bundle", "guard"))).order_by(EVENTS.c.id)
Named = Sequence[tuple[str, Decision]]
Ends = tuple[int, int]
Rows = list[dict[str, Any]]


class DecisionLog(Storage):
    """Append-only tables of decisions, outcomes and events (switches, bundles, certificates, approvals, maintenance);
    the hash of each row covers the row before it.

    Several threads and processes may write. The hashes reveal any changed row; the loss of the last
    rows is revealed only by a hash that was noted later. The hashes are not secret: store
    `verify().hash` where the log's writer has no access. The bodies of a market's decisions and outcomes are
    emptied by `erase`, and the chains still verify.

    Args:
        place: A SQLite file, or the URL of a PostgreSQL database
            (`postgresql://USER@HOST/DATABASE`, extra `postgres`).

    Raises:
        ValueError: The place holds something else.

    Example:
        >>> import tempfile
        >>> log = DecisionLog(tempfile.mkdtemp() + "/decisions.db")
        >>> log.verify().rows
        0
        >>> log.close()
    """

    verify = verified
    erase = maintenance.erase
    older = maintenance.older
    rotate = maintenance.rotate
    backup = maintenance.backup
    restore = maintenance.restore
    migrate = migration.migrate
    adopt = migration.adopt

    def record(
        self, answer: PriceAnswer, state: State, request_id: str, *, propensity: Chance = 1.0, arm: str = "policy"
    ) -> None:
        """Commit a decision; it is on disk when this returns.

        Args:
            answer: The answer to record.
            state: The state that was priced.
            request_id: A unique name of this answer.
            propensity: Probability, in (0, 1], of these prices in this state; it is that of the
                arm, since a bundle's policy is deterministic. By product where it differs: a
                product that every arm prices alike has 1.
            arm: Who answered, such as "policy" or "fallback".

        Raises:
            LogError: It cannot be written.
        """
        self.submit_decisions([(request_id, Decision(state, answer, arm, propensity, []))]).result()

    def submit_decisions(self, named: Named, reply: Reply | None = None) -> Future[bytes | None]:
        """Commit several decisions, each with its request id, all or none.

        Args:
            named: The decisions.
            reply: The answer that holds them, to be kept; if one is kept already,
                nothing is written.

        Returns:
            A future with the answer that was kept already, None where there was none. It raises
            LogError if the rows cannot be written, and ReusedKeyError.
        """
        kept_as = None if reply is None else digest_of(reply.question, reply.packed)
        # The first of several says what the whole answer was.
        rows = [decision_row(*one, None if number else kept_as) for number, one in enumerate(named)]

        def add(writing: Writing) -> bytes | None:
            if reply is not None:
                before = kept(writing, reply.request_id, reply.question)
                if before is not None:
                    return before
                keep(writing, reply)
            writing.append(DECISIONS, rows)
            return None

        return self.submit(add)

    def submit_trial(self) -> Future[None]:
        """Write as much as a decision takes.

        Returns:
            A future that raises LogError if decisions cannot be recorded now.
        """

        def write(writing: Writing) -> None:
            writing.do(delete(TRIALS))
            writing.do(insert(TRIALS).values(id=1, filler=_FILLER))

        return self.submit(write)

    def record_outcomes(self, outcomes: Sequence[ReportedOutcome]) -> int:
        """Commit outcomes; a repeated one is not written again. What they need of the log is looked up before, so that
        prices do not wait for it: where one is refused, none is written. A long report is several transactions, and one
        that an error cuts short is completed by the same report.

        Returns:
            The number of new outcomes.

        Raises:
            OutcomeError: An outcome has no decision, or contradicts an earlier one.
            LogError: They cannot be recorded.
        """
        try:
            report = Report(self._patiently, outcomes)
        except OutcomeError:
            self.run(lambda _: None)  # its decision may be waiting to be written, too
            report = Report(self._patiently, outcomes)
        count = 0
        left = _TRIES
        while report.rows:
            end = self.run(report.write)
            if end is not None:
                count += report.written(end)
            elif left:
                left -= 1
                report = Report(self._patiently, outcomes)
            else:
                raise LogError(f"decision log {self.name} got other outcomes of the same decisions meanwhile")
        return count

    def record_approvals(self, approvals: Sequence[Approval]) -> Recorded:
        """Commit decisions about a price list, all or none; a repeated one is not written
        again. Raises LogError.
        """
        return self.submit(partial(add_approvals, approvals=approvals)).result()

    def record_items(self, decisions: Mapping[str, Mapping[str, Any]]) -> int:
        """Commit decisions about key-value items, by id; how many are new. Raises LogError."""
        return self.submit(partial(add_items, decisions=decisions)).result() if decisions else 0

    def record_desk(self, seen: Sequence[str], by: str) -> None:
        """Commit who decided on the page of a price list. Raises LogError.

        Args:
            seen: Names each row or item as it is since then.
            by: Who.
        """
        self.submit(partial(add_desk, seen=seen, by=by)).result()

    def desk(self) -> dict[str, str]:
        """Who made each decision that `record_desk` recorded. Raises LogError."""
        return desk(self.rows)

    def record_experiment(self, plan: ExperimentPlan) -> Recorded:
        """Commit the plan of an experiment; a repeated one is not written again. Raises LogError, and
        ValueError for another plan of the same name.
        """
        return self.submit(partial(add_experiment, plan=plan)).result()

    def record_switches(
        self, after: Tail, thrown: Sequence[tuple[str, Any]], by: str, reason: str, bundles: Mapping[str, Any] = {}
    ) -> bool:
        """Commit transitions of the switches, all or none.

        Args:
            after: The last event that the caller knows.
            thrown: Names of switches with their new positions, plain JSON.
            by: Who threw them.
            reason: Why; may be empty.
            bundles: The files of the bundles that become active or go on trial, by digest; those that the log has
                are not written again.

        Returns:
            False where others have recorded events meanwhile, and nothing is written.

        Raises:
            LogError: They cannot be recorded.
        """

        def add(writing: Writing) -> bool:
            if after != end_of(EVENTS, writing.read):
                return False
            stored = {row["digest"] for row in writing.read(select(BUNDLES.c.digest))}
            for digest, files in bundles.items():
                if digest not in stored:
                    packed = msgspec.msgpack.encode(files)
                    writing.put(BUNDLES, [{"digest": digest, "files": packed}])
                    writing.note(FILES, {"bundle": digest, "sha256": hashlib.sha256(packed).hexdigest()})
            # The number says after which decision a switch was thrown, whatever the clocks say.
            last_decision = end_of(DECISIONS, writing.read).rows
            events = []
            for switch, position in thrown:
                facts = {"position": position, "by": by, "reason": reason}
                events.append(document(switch, facts, number=last_decision))
            writing.append(EVENTS, events)
            return True

        return self.run(add)

    def transitions(self, after: Tail | None = None) -> tuple[list[tuple[str, Any]], Tail]:
        """The transitions of the switches after an event, in order, each as the switch and its position, and the last
        event.

        Raises:
            ChainError: The events are not those that were recorded.
            LogError: The log cannot be read.
        """
        after = after or EMPTY
        found = self.rows(_EVENTS_AFTER, last=after.rows)
        events = [(one, facts_of(one)) for one in checked(EVENTS.name, found, after)]
        positions = [(one["name"], facts["position"]) for one, facts in events if "position" in facts]
        return positions, Tail(events[-1][0]["id"], events[-1][0]["hash"]) if events else after

    def bundles(self) -> dict[str, str]:
        """The bundles that were active or on trial, by digest, with the hash of their files. Raises ChainError, LogError."""
        return {one["bundle"]: one["sha256"] for one in self.events(FILES)}

    def bundle_files(self, name: str) -> dict[str, bytes] | None:
        """The files of a bundle that was active or on trial, by its digest; None for another. Raises ChainError,
        LogError.
        """
        recorded = self.bundles().get(name)
        for found in self.rows(select(BUNDLES).where(BUNDLES.c.digest == name)):
            if hashlib.sha256(found["files"]).hexdigest() != recorded:
                raise ChainError(f"bundle {name} must be as it was recorded; got another; restore a backup of the log")
            return msgspec.msgpack.decode(found["files"], type=dict[str, bytes])
        return None

    def export(self) -> Iterator[dict[str, Any]]:
        """What was decided for each product, in order; erased markets are left out.

        Raises:
            ChainError: A body is damaged.
            LogError: The log cannot be read.
        """
        for page in self.pages(select(DECISIONS).order_by(DECISIONS.c.id), _PAGE):
            for _, products in opened(page):
                yield from products

    def export_outcomes(self) -> Iterator[dict[str, Any]]:
        """The outcomes of each decision, in order. Raises ChainError, LogError."""
        for products, outcomes in self._with_outcomes():
            for outcome in outcomes:
                yield {"request_id": products[0]["request_id"], **outcome}

    def events(self, *kinds: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Who did what, when and why, in order, each with its `event`, the kind. Raises ChainError, LogError.

        Args:
            kinds: Such as `kill_switch`, `bundle`, `approval`, `erased`; all by default.
            after: Number of the last event that is not wanted.
        """
        e = EVENTS.c
        query = select(EVENTS).where(e.id > after).order_by(e.id)
        for found, facts in self._whole_events(query.where(e.name.in_(kinds)) if kinds else query):
            links = {key: found[key] for key in ("id", "time", "previous_hash", "hash")}
            yield {"event": found["name"], **links, **facts}

    def recent(self, market: str, count: int) -> list[dict[str, Any]]:
        """The rows of `export` of the last decisions of a market, the latest first.

        Args:
            market: Its name; a market that is unknown or erased has none.
            count: How many decisions.

        Raises:
            ChainError: A body is damaged.
            LogError: The log cannot be read.
        """
        query = select(DECISIONS).where(DECISIONS.c.market == market).order_by(DECISIONS.c.id.desc()).limit(count)
        return [one for _, products in opened(self.rows(query)) for one in products]

    def ends(self) -> Ends:
        """Numbers of the last decision and the last outcome. Raises LogError."""
        outcomes = end_of(OUTCOMES, self.rows)
        decisions = end_of(DECISIONS, self.rows)
        return decisions.rows, outcomes.rows

    def sold(self, ends: Ends = _ALL, first: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of `export`, each with its outcomes summed over segments.

        `units`, `paid` (currency, over all units), `stockout` and `sold_on` are None without
        outcomes; where no price paid was reported, it is the price of the decision, less the discount of the segment.

        Args:
            ends: What came later is left out; see the method `ends`.
            first: Number of the first decision.

        Raises:
            ChainError: A body is damaged.
            LogError: The log cannot be read.
        """
        for products, outcomes in self._with_outcomes(ends, first):
            reported = defaultdict[str, list[dict[str, Any]]](list)
            for outcome in outcomes:
                reported[outcome["product"]].append(outcome)
            for own in products:
                yield {**own, **summed(reported[own["product"]], own["price"], own["discounts"])}

    def sold_around_trial(self, bundle: str, count: int) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
        """The rows of `sold` of the last decisions before a bundle went on trial, and those of the last ones since.

        Args:
            bundle: Its digest.
            count: How many decisions of each.

        Raises:
            ChainError: A body is damaged.
            LogError: The log cannot be read.
        """
        began = self.trial_began(bundle)
        ends = self.ends()
        before = self.sold((began - 1, ends[1]), began - count)
        return before, self.sold(ends, max(began, ends[0] - count + 1))

    def states_on_trial(self, bundle: str, count: int) -> list[State]:
        """The states of the last decisions since a bundle went on trial, in order. Raises ChainError, LogError.

        Args:
            bundle: Its digest.
            count: How many at most.
        """
        first = max(self.trial_began(bundle), self.ends()[0] - count + 1)
        query = select(DECISIONS).where(DECISIONS.c.id >= first).order_by(DECISIONS.c.id)
        return [state_of(products) for _, products in opened(self.rows(query))]

    def trial_began(self, bundle: str) -> int:
        """Number of the first decision since a bundle went on trial; that of the next one where it is not on trial, or was
        put there by an earlier version. Raises ChainError, LogError.
        """
        last = None
        for found, facts in self._whole_events(_TRIAL_EVENTS):
            tried = facts["position"] if found["name"] == "canary" else None
            is_on = tried is not None and tried["bundle"] == bundle
            first_thrown = found["number"] if last is None else last
            last = first_thrown if is_on else None
        return (end_of(DECISIONS, self.rows).rows if last is None else last) + 1

    def known_markets(self, markets: Collection[str]) -> set[str]:
        """Those of some markets that have decisions; an erased one has none. Raises LogError."""
        d = DECISIONS.c
        return {row["market"] for row in self.rows(select(d.market).where(d.market.in_(markets)).distinct())}

    def erased(self) -> int:
        """The number of decisions that can no longer be read. Raises LogError."""
        query = select(func.count().label("n")).where(DECISIONS.c.body.is_(None))
        return next(self.rows(query))["n"]

    def _whole_events(self, query: Executable) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Events, each with the facts in it. Raises ChainError, LogError."""
        for found in self.rows(query):
            if not is_whole(found):
                raise ChainError(f"event {found['id']} must be as it was recorded; got another; restore a backup")
            yield found, facts_of(found)

    def _patiently(self, query: Executable, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, with pauses in which others have the interpreter."""
        for number, found in enumerate(self.rows(query, **values)):
            if number % _SOME == 0:
                time.sleep(_PAUSE)
            yield found

    def _with_outcomes(self, ends: Ends = _ALL, first: int = 0) -> Iterator[tuple[Rows, Rows]]:
        """The products of each decision with its outcomes, in the order in which they were reported."""
        query = select(DECISIONS).where(DECISIONS.c.id.between(first, ends[0])).order_by(DECISIONS.c.id)
        for page in self.pages(query, _PAGE):
            reports = defaultdict[int, list[dict[str, Any]]](list)
            known = reports_of([one["id"] for one in page]).where(OUTCOMES.c.id <= ends[1])
            for number, outcome in outcomes_of(self.rows(known)):
                reports[number].append(outcome)
            for number, products in opened(page):
                yield products, reports[number]


def temporary_log() -> DecisionLog:
    """A log in a temporary file, which goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="decision-log-")
    log = DecisionLog(f"{folder.name}/decisions.db")
    weakref.finalize(log, folder.cleanup)
    return log
