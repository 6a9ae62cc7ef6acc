"""The decision log: states and answers, the policy and the probability of each price, and the sales
that followed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Integer, func, select

from ..decision import Decision
from ..market_state import MARKET, State
from ..predictor import PriceAnswer, ProductPrice
from .approvals import Approval, Recorded
from .approvals import add as add_approvals
from .hash_chain import START, ChainError, as_json, walked
from .outcomes import ReportedOutcome, add
from .replies import Reply, keep, kept
from .schema import APPROVALS, BUNDLES, DECISIONS, METADATA, OUTCOMES, SCHEMA, SWITCHES, TRIALS
from .storage import Storage, Writing

_FILLER = "-" * (32 << 10)


class Head(NamedTuple):
    """The end of a log: the number of decisions and the hash of the last one, and the same for
    outcomes, for approvals of price lists and for switches.
    """

    rows: int
    hash: str
    outcomes: int
    outcomes_hash: str
    approvals: int
    approvals_hash: str
    switches: int
    switches_hash: str


class DecisionLog:
    """Append-only tables of decisions, outcomes and approvals of price lists; the hash of each row
    covers the row before it.

    Several threads and processes may write. The hashes reveal any changed row; the loss of the last
    rows is revealed only by a hash that was noted later. The hashes are not secret: store
    `verify().hash` where the log's writer has no access.

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

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self._storage = Storage(place, METADATA)

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
        """Commit one row per product, all or none; they are on disk when the future is done.

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
        rows = _decision_rows(answer, state, request_id, propensity, arm, shadow)
        return self._storage.submit(lambda writing: writing.append(DECISIONS, rows))

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

    def submit_decisions(self, named: Sequence[tuple[str, Decision]], reply: Reply | None = None) -> Future[bytes]:
        """Commit several decisions, each with its request id, all or none.

        Args:
            named: The decisions.
            reply: The answer that holds them, to be kept; if one is kept already,
                nothing is written.

        Returns:
            A future with the answer to give, which may be the one that was kept. It raises LogError
            if the rows cannot be written, and ReusedKeyError.
        """
        rows: list[dict[str, Any]] = []
        for request_id, one in named:
            rows += _decision_rows(one.answer, one.state, request_id, one.propensity, one.arm, one.shadow)

        def write(writing: Writing) -> bytes:
            if reply is not None:
                before = kept(writing, reply.request_id, reply.question)
                if before is not None:
                    return before
                keep(writing, reply)
            writing.append(DECISIONS, rows)
            return b"" if reply is None else reply.answer

        return self._storage.submit(write)

    def submit_kept(self, request_id: str, question: str) -> Future[bytes | None]:
        """Look for the answer that a request got before: a future that raises
        LogError and ReusedKeyError.
        """
        return self._storage.submit(lambda writing: kept(writing, request_id, question))

    def submit_trial(self) -> Future[None]:
        """Write as much as a decision takes, unless something was written in the last second.

        Returns:
            A future that raises LogError if decisions cannot be recorded now.
        """
        if time.monotonic() - self._storage.written < 1:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._storage.submit(lambda writing: writing.replace(TRIALS, {"id": 1, "filler": _FILLER}))

    def submit_outcomes(
        self, outcomes: Sequence[ReportedOutcome], refused: dict[int, str] | None = None
    ) -> Future[int]:
        """Commit outcomes; a repeated outcome is not written again.

        Args:
            outcomes: The outcomes.
            refused: Receives the reason for each refused outcome, by its index, and the others are
                written. Without it, one refused outcome stops all.

        Returns:
            A future with the number of new outcomes. It raises LogError, and OutcomeError for an
            outcome without a decision or one that contradicts an earlier one.
        """
        return self._storage.submit(lambda writing: add(writing, outcomes, refused))

    def record_outcomes(self, outcomes: Sequence[ReportedOutcome], refused: dict[int, str] | None = None) -> int:
        """Like `submit_outcomes`, but wait for the commit. Raises OutcomeError, LogError."""
        return self.submit_outcomes(outcomes, refused).result()

    def record_approvals(self, approvals: Sequence[Approval]) -> Recorded:
        """Commit decisions about a price list, all or none; a repeated one is not written
        again. Raises LogError.
        """
        return self._storage.submit(lambda writing: add_approvals(writing, approvals)).result()

    def record_switch(self, switch: str, position: Any, by: str, reason: str, files: Mapping[str, bytes] = {}) -> None:
        """Commit that a switch was thrown. Raises LogError.

        Args:
            switch: Its name.
            position: Its new position, plain JSON; of the switch `bundle`, the digest.
            by: Who threw it.
            reason: Why; may be empty.
            files: The files of a bundle that becomes active.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = {"schema": SCHEMA, "time": now, "switch": switch, "position": as_json(position)}

        def write(writing: Writing) -> None:
            writing.append(SWITCHES, [row | {"thrown_by": by, "reason": reason}])
            if files:
                writing.replace(BUNDLES, {"id": position, "files": msgspec.msgpack.encode(files)})

        self._storage.submit(write).result()

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
        """The decisions in order; discounts, also, state, trail and shadow are the JSON text that
        was hashed.

        Raises:
            LogError: The log cannot be read.
        """
        return self._storage.rows(select(DECISIONS).order_by(DECISIONS.c.id))

    def export_outcomes(self) -> Iterator[dict[str, Any]]:
        """The outcomes in order. Raises LogError."""
        return self._storage.rows(select(OUTCOMES).order_by(OUTCOMES.c.id))

    def export_approvals(self) -> Iterator[dict[str, Any]]:
        """The decisions about price lists in order. Raises LogError."""
        return self._storage.rows(select(APPROVALS).order_by(APPROVALS.c.id))

    def sold(self) -> Iterator[dict[str, Any]]:
        """The decisions in order, each with its outcomes summed over segments.

        The columns `units`, `paid` (currency, over all units), `stockout` and `date` are None
        without outcomes; where no price paid was reported, it is the price of the decision.
        """
        d, o = DECISIONS.c, OUTCOMES.c
        reported = (
            select(
                o.request_id,
                o.product,
                func.sum(o.units).label("units"),
                func.sum(o.units * func.coalesce(o.price_paid, d.price)).label("paid"),
                func.max(o.stockout.cast(Integer)).label("stockout"),
                func.min(o.date).label("date"),
            )
            .join(DECISIONS, (d.request_id == o.request_id) & (d.product == o.product))
            .group_by(o.request_id, o.product)
            .subquery()
        )
        same = (reported.c.request_id == d.request_id) & (reported.c.product == d.product)
        facts = (reported.c.units, reported.c.paid, reported.c.stockout, reported.c.date)
        return self._storage.rows(select(DECISIONS, *facts).join(reported, same, isouter=True).order_by(d.id))

    def verify(self, head: str | None = None) -> Head:
        """Check every hash of all tables and return the ends of the chains.

        Args:
            head: A hash noted earlier; it must still be in one of the tables, or the last rows are
                missing.

        Raises:
            ChainError: A row does not match its hash, or rows are missing.
            LogError: The log cannot be read.
        """
        known, tails = {None, START}, []
        for table in (DECISIONS, OUTCOMES, APPROVALS, SWITCHES):
            tails.append(walked(table.name, self._storage.rows(select(table).order_by(table.c.id))))
            if head not in known and any(self._storage.rows(select(table.c.id).where(table.c.hash == head))):
                known.add(head)
        if head not in known:
            raise ChainError(
                f"decision log must still hold the row with hash {head}; got {tails[0].rows} decisions, {tails[1].rows} "
                f"outcomes, {tails[2].rows} approvals and {tails[3].rows} switches without it; restore a backup"
            )
        return Head(*tails[0], *tails[1], *tails[2], *tails[3])

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database."""
        self._storage.close()


def _decision_rows(
    answer: PriceAnswer,
    state: State,
    request_id: str,
    propensity: float | Mapping[str, float],
    arm: str,
    shadow: PriceAnswer | None,
) -> list[dict[str, Any]]:
    items = {item["product"]: item for item in state["products"]}
    facts = {key: state[key] for key in ("regime", "loyalty") if key in state}
    facts |= {} if answer.date is None else {"date": answer.date}
    second = {} if shadow is None else {price.product: price for price in shadow.prices}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return [
        {
            "schema": SCHEMA,
            "time": now,
            "request_id": request_id,
            "market": state.get("market", MARKET),
            "period": answer.period,
            "product": price.product,
            "state": as_json(items[price.product] | facts),
            "proposed": price.proposed,
            "price": price.price,
            "discounts": as_json(price.discounts),
            "also": as_json(_other_decisions(answer, price)),
            "trail": as_json([vars(change) for change in price.trail]),
            "arm": arm,
            "propensity": _probability(propensity, price),
            "shadow": as_json(_shadow_price(shadow, second[price.product])) if shadow else None,
            "policy": answer.policy,
            "bundle": answer.bundle,
        }
        for price in answer.prices
    ]


def _other_decisions(answer: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """The decisions about a product beside its price; `shown_to` lists the segments whose slot
    shows it.
    """
    shown_to = [segment for segment, product in answer.recommendations.items() if product == price.product]
    return {"promotion": price.promotion, "order_units": price.order_units, "shown_to": shown_to}


def _probability(propensity: float | Mapping[str, float], price: ProductPrice) -> float:
    value = propensity[price.product] if isinstance(propensity, Mapping) else propensity
    if not 0 < value <= 1:
        raise ValueError(
            f"propensity must lie in (0, 1]; got {value} for {price.product!r}; state the arm's probability"
        )
    return float(value)


def _shadow_price(shadow: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """The shadow policy's answer for one product."""
    names = ("proposed", "price", "discounts")
    return {"policy": shadow.policy, "bundle": shadow.bundle} | {name: getattr(price, name) for name in names}
