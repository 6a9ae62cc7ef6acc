"""The price list that the service's page shows and the desk decides on, kept in its file."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...atomic import only_writer
from ..bundle.reading import Bundle
from ..decision_log.log import DecisionLog
from ..price_list.approval import LiveList, PricedOverride, check_decisions, decided_rows, make_live, priced_override
from ..price_list.files import read_list, read_rules, write_list
from ..price_list.image import KeyItem, PriceImage, Standing, decided_items, read_image, write_image
from ..price_list.products import ListedProduct, ProductDecision, by_product
from ..price_list.rows import ListError, PriceRow, rows_of
from ..price_list.summary import ListSummary, read_summary
from .bodies import ListDecision, OverridePrice, ProductListDecision

LIVE = "live.csv"


class Decided(NamedTuple):
    """Rows with decisions that were written, their products, and warnings."""

    rows: list[PriceRow]
    products: list[ListedProduct]
    warnings: list[str]


class Desk:
    """A price list file, its rows, and the decisions about them. Several threads may use it.

    Args:
        path: The file; another program may edit it, and the rows are then read again.
        bundle: Gives the bundle whose price rules hold.
        log: The decision log; without one the list cannot become live.

    Raises:
        ListError: The file is no price list.
    """

    def __init__(self, path: str, bundle: Callable[[], Bundle], log: DecisionLog | None) -> None:
        self._path = Path(path)
        self._bundle = bundle
        self._log = log
        self._lock = threading.Lock()
        self._seen = (0, 0)
        self._rows: list[PriceRow] = []
        with self._lock:
            self._current()

    def check(self) -> None:
        """Raise ListError or BundleError where the list or the bundle cannot be read."""
        with self._lock:
            self._current()
        self._bundle()

    def shown(self, wanted: Callable[[PriceRow], bool], offset: int, limit: int) -> dict[str, Any]:
        """Some of the rows that are wanted, what there is to choose from, and, with the first, what the rules cost."""
        with self._lock:
            rows = self._current()
        found = [row for row in rows if wanted(row)]
        piece = list(map(shown_row, found[offset : offset + limit]))
        return self._known(rows, offset) | {"total": len(found), "rows": piece}

    def products(self, wanted: Callable[[PriceRow], bool], offset: int, limit: int) -> dict[str, Any]:
        """Some of the products with a row that is wanted, each with all its rows; with the first ones, the summary of the list
        and what the rules cost.
        """
        with self._lock:
            rows = self._current()
        summary, problem = self._summary(rows)
        found = [product for product in by_product(rows, summary) if any(map(wanted, product.rows))]
        piece = list(map(shown_product, found[offset : offset + limit]))
        known = self._known(rows, offset)
        if not offset:
            known |= {"summary": summary and shown_summary(summary), "summary_problem": problem}
        return known | {"total": len(found), "products": piece}

    def _known(self, rows: Sequence[PriceRow], offset: int) -> dict[str, Any]:
        known: dict[str, Any] = {"name": self._path.name, "weeks": sorted({str(row.week) for row in rows})}
        known["counts"] = Counter(row.status for row in rows)
        return known | ({} if offset else {"rules": read_rules(self._path)})

    def _summary(self, rows: Sequence[PriceRow]) -> tuple[ListSummary | None, str]:
        """The summary of the list, and why there is none: a list can be decided on without one."""
        try:
            return read_summary(self._path, rows), ""
        except ListError as error:
            return None, str(error)

    def _product(self, rows: Sequence[PriceRow], zone: str, product: str, what: str) -> ListedProduct:
        own = [row for row in rows if (row.zone, row.product) == (zone, product)]
        if not own:
            got = f"{product!r} in {zone!r}"
            raise ListError([f"{what} must be about a product of the list; got {got}; reload the page"])
        return by_product(own, self._summary(rows)[0])[0]

    def priced(self, typed: OverridePrice) -> PricedOverride:
        """What a price that is typed for a row or a product costs; nothing is written. Raises ListError."""
        with self._lock:
            rows = self._current()
        if typed.week is not None:
            keys = {(typed.zone, typed.product, typed.week)}
        else:
            product = self._product(rows, typed.zone, typed.product, "an override")
            made = product.decided([row.week for row in product.open_weeks], ProductDecision("overridden", typed.price))
            keys = {row.key for row in made if row.status == "overridden"}
        return priced_override(self._path.name, rows, self._bundle(), keys, typed.price)

    def decide(
        self, decisions: Sequence[ListDecision], by: str, products: Sequence[ProductListDecision] = ()
    ) -> Decided:
        """Write decisions into the list, all or none. Raises ListError."""
        with self._deciding():
            rows = self._current()
            every = [*decisions, *(one for each in products for one in self._by_week(rows, each))]
            made = {(one.zone, one.product, one.week): one for one in every}
            known = {row.key for row in rows}
            if strange := [key for key in made if key not in known]:
                zone, product, week = strange[0]
                got = f"{product!r} in {zone!r}, week {week}"
                raise ListError([f"a decision must be about a row of the list; got {got}; reload the page"])
            for row in rows:
                if row.key in made and made[row.key].seen != row.seen:
                    got = f"{row.product!r} in {row.zone!r}, week {row.week}, which was written since"
                    raise ListError([f"a decision must be about the row that was seen; got {got}; reload the page"])
            changed = [_decided(row, made[row.key], by) if row.key in made else row for row in rows]
            # The same checks as for a list that is read from a file.
            rows_of(self._path.name, [msgspec.structs.astuple(row) for row in changed])
            warnings = check_decisions(self._path.name, changed, self._bundle(), only=made)
            if len(made) < len(every):
                got = f"{len(every)} about {len(made)}"
                raise ListError([f"decisions must be about different rows; got {got}; send one for each"])
            decided = [row for row in changed if row.key in made]
            self._record([row.seen for row in decided], by)
            self._write(changed)
            touched = {(row.zone, row.product) for row in decided}
            shown = by_product([row for row in changed if (row.zone, row.product) in touched], self._summary(rows)[0])
        return Decided(decided, shown, warnings)

    def _by_week(self, rows: Sequence[PriceRow], made: ProductListDecision) -> list[ListDecision]:
        """The decisions about single weeks that one about a product stands for. Raises ListError."""
        product = self._product(rows, made.zone, made.product, "a decision")
        known = {str(row.week): row.week for row in product.rows}
        if strange := [week for week in made.weeks if week not in known]:
            got = f"{made.product!r} in {made.zone!r}, week {strange[0]}"
            raise ListError([f"a decision must be about a row of the list; got {got}; reload the page"])
        about = ProductDecision(made.status, made.decided_price, "", made.decision_reason)
        return [
            ListDecision(
                zone=row.zone,
                product=row.product,
                week=row.week,
                seen=made.weeks[str(row.week)],
                status=row.status,
                decided_price=row.decided_price,
                decision_reason=row.decision_reason,
            )
            for row in product.decided({known[week] for week in made.weeks}, about)
        ]

    def image(self) -> PriceImage:
        """What the list carries beside its rows. Raises ListError."""
        return read_image(self._path)

    def decide_items(self, decisions: Mapping[str, Standing], by: str) -> tuple[KeyItem, ...]:
        """Write decisions about key-value items beside the list, all or none; the items. Raises ListError."""
        with self._deciding():
            before = self.image()
            items = decided_items(before.key_items, decisions, by, called="a decision")
            self._record([item.seen for item in items if item.id in decisions], by)
            write_image(self._path, msgspec.structs.replace(before, key_items=items))
        return items

    def make_live(self, by: str, *, is_known: bool = False) -> LiveList:
        """Record all decisions and write the live prices beside the list.

        Args:
            by: Who makes it live.
            is_known: Whether an API key says so: then a decision is of who made it on the page, whatever the file says,
                and any other of who makes it live.

        Raises:
            ListError: Not all rows are decided, or they leave a rule.
            LogError: They cannot be recorded.
        """
        if self._log is None:
            raise ListError(["a list that becomes live must be recorded; got no decision log; start with --log"])
        with self._deciding():
            rows = decided_rows(self._path.name, self._current(), by)
            bundle = self._bundle()
            check_decisions(self._path.name, rows, bundle)
            items = self.image().key_items
            if is_known:
                made = self._log.desk()
                rows = [msgspec.structs.replace(row, decided_by=made.get(row.seen, by)) for row in rows]
                items = [msgspec.structs.replace(item, decided_by=made.get(item.seen, by)) for item in items]
            live = make_live(rows, bundle, self._log, self._path.with_name(LIVE), items)
            self._write(live.rows)
        return live

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """Alone with the file, among threads and processes: of two decisions about one row as it was seen, one wins."""
        with self._lock, only_writer(self._path):
            yield

    def _current(self) -> list[PriceRow]:
        """The rows as the file has them."""
        now = self._stamp()
        if now != self._seen:
            self._rows = read_list(self._path)
            self._seen = now
        return self._rows

    def _record(self, seen: Sequence[str], by: str) -> None:
        if self._log is not None:
            self._log.record_desk(seen, by)

    def _write(self, rows: list[PriceRow]) -> None:
        currency = self._bundle().manifest["scenario"]["currency"]
        write_list(self._path, rows, currency=currency, summary=self._summary(rows)[0])
        self._rows, self._seen = rows, self._stamp()

    def _stamp(self) -> tuple[int, int]:
        with suppress(OSError):
            status = self._path.stat()
            return status.st_mtime_ns, status.st_ino
        raise ListError([f"price list must be a file; got {self._path}, which is not there; write it"])


def shown_row(row: PriceRow) -> dict[str, Any]:
    """A row as it is answered, with what names it in a decision."""
    return {**msgspec.structs.asdict(row), "seen": row.seen}


def shown_summary(summary: ListSummary) -> dict[str, Any]:
    """The summary as it is answered, beside the products: each market with its sentences."""
    zones = [{**msgspec.structs.asdict(zone), "sentences": zone.sentences(summary.currency)} for zone in summary.zones]
    return {"currency": summary.currency, "objective": summary.objective, "zones": zones}


def shown_product(product: ListedProduct) -> dict[str, Any]:
    """A product as it is answered, with its rows and what becomes of the deal of each."""
    first = product.rows[0]
    summary = product.summary
    shown: dict[str, Any] = {name: getattr(first, name) for name in ("zone", "product_id", "product", "category")}
    shown |= {name: getattr(product, name) for name in ("regular_price", "new_regular_price", "change", "reason")}
    for name in ("units", "revenue", "profit"):
        shown |= {f"expected_{name}": product.expected(name), f"{name}_change": summary and getattr(summary, name)}
    shown["cost_of_leaving"] = summary and summary.cost_of_leaving
    rows = [{**shown_row(row), "deal": deal} for row, deal in zip(product.rows, product.deals, strict=True)]
    return shown | product.decision._asdict() | {"open": [row.week for row in product.open_weeks], "rows": rows}


def _decided(row: PriceRow, decision: ListDecision, by: str) -> PriceRow:
    names = ("status", "decided_price", "decision_reason")
    made = {name: getattr(decision, name) for name in names}
    return msgspec.structs.replace(row, **made, decided_by="" if decision.status == "proposed" else by, decided_at="")
