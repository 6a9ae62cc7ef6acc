"""The decision log: what was asked and answered, by which policy and with which probability, and what then sold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Integer, func, select

from ..market_state import MARKET, State
from ..predictor import PriceAnswer, ProductPrice
from .hash_chain import START, ChainError, as_json, walked
from .outcomes import ReportedOutcome, add
from .schema import DECISIONS, METADATA, OUTCOMES, SCHEMA
from .storage import Storage


class Head(NamedTuple):
    """How far a log reaches: number of decisions and the hash of the last one; the same of its outcomes."""

    rows: int
    hash: str
    outcomes: int
    outcomes_hash: str


class DecisionLog:
    """Two append-only tables, decisions and outcomes, in which each row is hashed together with the row before it.

    place: a SQLite file, or the URL of a PostgreSQL database (`postgresql://USER@HOST/DATABASE`, extra `postgres`).
    Several threads and processes may write. The chain shows a change to any row but the loss of the last ones only to who
    noted a later head, and is no secret: note `verify().hash` where the log's writer cannot reach. Raises ValueError where
    there is something else in the place.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self._storage = Storage(place, METADATA)

    @property
    def name(self) -> str:
        """Where it is, without a password."""
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
        """Have one row a product committed, all or none; they are on the disk when the future is done.

        Answers that wait share a commit. The future raises LogError. request_id: names this answer, and no other.

        propensity: probability, between 0 and 1, with which these prices were given in this state: that of the arm, as a
        bundle's policy draws nothing itself. By product where it is not the same for all: a product that every arm would
        price alike has 1. arm: who answered, such as "policy" or "fallback". shadow: what a second policy would have answered.
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
        """As `submit`, and wait for it. Raises LogError."""
        self.submit(answer, state, request_id, propensity=propensity, arm=arm, shadow=shadow).result()

    def submit_outcomes(
        self, outcomes: Sequence[ReportedOutcome], refused: dict[int, str] | None = None
    ) -> Future[int]:
        """Have outcomes committed; the future gives how many were new: what is known already is not written again.

        The future raises LogError, and OutcomeError for an outcome of no decision or one that says otherwise than before;
        none is written then. With `refused` the others are, and it gets the reasons by index.
        """
        return self._storage.submit(lambda writing: add(writing, outcomes, refused))

    def record_outcomes(self, outcomes: Sequence[ReportedOutcome], refused: dict[int, str] | None = None) -> int:
        """As `submit_outcomes`, and wait for it. Raises OutcomeError, LogError."""
        return self.submit_outcomes(outcomes, refused).result()

    def export(self) -> Iterator[dict[str, Any]]:
        """The decisions in order, with discounts, also, state, trail and shadow as the JSON text that was hashed. Raises LogError."""
        return self._storage.rows(select(DECISIONS).order_by(DECISIONS.c.id))

    def export_outcomes(self) -> Iterator[dict[str, Any]]:
        """The outcomes in order. Raises LogError."""
        return self._storage.rows(select(OUTCOMES).order_by(OUTCOMES.c.id))

    def sold(self) -> Iterator[dict[str, Any]]:
        """The decisions in order, each with its outcomes added up over segments; outcome columns are None without any.

        `units`, `paid` (currency, over all units), `stockout` and `date`; a price paid that was not told is the price given.
        """
        d, o = DECISIONS.c, OUTCOMES.c
        told = (
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
        same = (told.c.request_id == d.request_id) & (told.c.product == d.product)
        facts = (told.c.units, told.c.paid, told.c.stockout, told.c.date)
        return self._storage.rows(select(DECISIONS, *facts).join(told, same, isouter=True).order_by(d.id))

    def verify(self, head: str | None = None) -> Head:
        """Walk both chains and return where they end. Raises ChainError at the first row that does not fit, LogError.

        head: a hash noted earlier; it must still be in one of the chains, or rows at its end are gone.
        """
        known, tails = {None, START}, []
        for table in (DECISIONS, OUTCOMES):
            tails.append(walked(table.name, self._storage.rows(select(table).order_by(table.c.id))))
            if head not in known and any(self._storage.rows(select(table.c.id).where(table.c.hash == head))):
                known.add(head)
        if head not in known:
            raise ChainError(
                f"decision log must still hold the row with hash {head}; got {tails[0].rows} decisions and {tails[1].rows} "
                "outcomes without it; restore what was kept"
            )
        return Head(*tails[0], *tails[1])

    def close(self) -> None:
        """Write what waits, and let go of the database."""
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
            "also": as_json(_beside(answer, price)),
            "trail": as_json([vars(change) for change in price.trail]),
            "arm": arm,
            "propensity": _probability(propensity, price),
            "shadow": as_json(_second(shadow, second[price.product])) if shadow else None,
            "policy": answer.policy,
            "bundle": answer.bundle,
        }
        for price in answer.prices
    ]


def _beside(answer: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """What was decided of a product beside its price. shown_to: the segments whose slot shows it."""
    shown_to = [segment for segment, product in answer.recommendations.items() if product == price.product]
    return {"promotion": price.promotion, "order_units": price.order_units, "shown_to": shown_to}


def _probability(propensity: float | Mapping[str, float], price: ProductPrice) -> float:
    value = propensity[price.product] if isinstance(propensity, Mapping) else propensity
    if not 0 < value <= 1:
        raise ValueError(
            f"propensity must lie in (0, 1]; got {value} for {price.product!r}; state the arm's probability"
        )
    return float(value)


def _second(shadow: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """What the second policy would have answered for one product."""
    names = ("proposed", "price", "discounts")
    return {"policy": shadow.policy, "bundle": shadow.bundle} | {name: getattr(price, name) for name in names}
