"""From a decided list to a live one: every decision is checked against the price rules and
recorded. Needs the `serve` extra.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...pricing import RULES, Catalogue
from ...pricing.price_rules.overrides import Array, Breach, Floats, alike, allowed_gains, breach_line, breaches
from ...pricing.wording import money_words, rule_words
from ..bundle.reading import Bundle
from ..decision_log.approvals import Approval
from ..decision_log.log import DecisionLog
from ..documents import some_of
from .files import write_live
from .image import KeyItem
from .rows import ListError, PriceRow

_LINES_NAMED = 5
_ITEM = ("name", "status", "decided_by", "decided_at")
Keys = Collection[tuple[str, str, dt.date]]
"""Zone, product and week of rows."""


class LiveList(NamedTuple):
    """A list that is live: its rows with who decided and when, and how many decisions were not recorded before."""

    rows: list[PriceRow]
    new: int


def decided_rows(source: str, rows: Sequence[PriceRow], by: str, rest: str | None = None) -> list[PriceRow]:
    """The rows with `decided_by` filled where it is empty.

    Args:
        source: What error messages call the list.
        rest: What happens to rows that are still proposed: approved or postponed;
            None refuses them.

    Raises:
        ListError: Rows are not decided, or who decides is not given.

    Example:
        >>> decided_rows("prices.csv", [], by="Ann")
        []
    """
    if not by.strip() or not by.isprintable():
        raise ListError([f"--by must be the name of who decides; got {by!r}; give a name"])
    undecided = [number for number, row in enumerate(rows, start=2) if row.status == "proposed"]
    if undecided and rest is None:
        got = f"got proposed in {len(undecided):,} rows ({some_of(undecided, _LINES_NAMED)})"
        fix = "decide them, or give --rest approved or --rest postponed"
        raise ListError([f"{source}, column status: every row must be decided; {got}; {fix}"])
    decided = []
    for row in rows:
        more = {"decided_by": row.decided_by or by}
        if row.status == "proposed":
            reason = row.decision_reason or ("" if rest == "approved" else "not decided")
            more |= {"status": rest, "decision_reason": reason}
        decided.append(msgspec.structs.replace(row, **more))
    return decided


def check_decisions(source: str, rows: Sequence[PriceRow], bundle: Bundle, *, only: Keys | None = None) -> list[str]:
    """Check the prices of a list, as decided, against the price rules, week after week.

    A price that stays as it is planned, as that of a postponed row does, is not checked. One that leaves a firm rule
    (`pricing.price_rules.overrides`) is refused; one that leaves another rule is named with what that is expected to cost.

    Args:
        source: What error messages call the list.
        rows: The rows; an undecided one counts as approved.
        bundle: The bundle whose price rules hold, and whose response says what prices earn.
        only: The keys of the rows to check; all by default.

    Returns:
        Warnings, a line each: the prices that leave a rule, and what all overridden prices earn against the proposed ones.

    Raises:
        ListError: Rows leave a firm rule, or do not belong to the bundle's market; each is named.

    Example:
        >>> from repricer.serving import load_bundle
        >>> check_decisions("prices.csv", [], load_bundle("bundle"))
        Traceback (most recent call last):
        repricer.serving.price_list.rows.ListError: prices.csv must have rows; got none; write a new list
    """
    if not rows:
        raise ListError([f"{source} must have rows; got none; write a new list"])
    if wrong := _strange_rows(source, rows, bundle.catalogue):
        raise ListError(wrong)
    zones = defaultdict[str, list[tuple[int, PriceRow]]](list)
    for number, row in enumerate(rows, start=2):
        zones[row.zone].append((number, row))
    checked = zones if only is None else {zone for zone, _, _ in only}
    found = [_ZoneDecisions(source, zones[zone], bundle, only) for zone in checked]
    if refused := [line for zone in found for line in zone.refused()]:
        raise ListError(refused)
    return [line for zone in found for line in zone.warnings()]


class PricedOverride(msgspec.Struct, frozen=True):
    """What a price that a person types instead of the proposed one, for a week or several, is expected to cost.

    Args:
        cost: What it earns less than the proposed price over all products and weeks of the zone, the other prices as decided;
            currency. None where the bundle does not know how customers respond.
        money: Revenue or profit, the objective of the bundle.
        currency: Unit of money.
        proposed: The proposed price, currency per unit; of several weeks, that of the first.
        allowed: The nearest price that keeps the rules which it leaves; None where it leaves none.
        rules: These rules in words.
        firm: Whether one of them may not be left, so that the price will be refused.
    """

    cost: float | None
    money: str
    currency: str
    proposed: float
    allowed: float | None = None
    rules: tuple[str, ...] = ()
    firm: bool = False


def priced_override(source: str, rows: Sequence[PriceRow], bundle: Bundle, keys: Keys, price: float) -> PricedOverride:
    """What a price for rows of one zone is expected to cost, before it is decided; nothing is written.

    Args:
        source: What error messages call the list.
        rows: The rows; an undecided one counts as approved.
        bundle: The bundle whose price rules hold, and whose response says what prices earn.
        keys: Zone, product and week of the rows.
        price: The price to try, currency per unit.

    Raises:
        ListError: There is no such row, or the list does not belong to the bundle's market.

    Example:
        >>> import datetime
        >>> from repricer.serving import load_bundle
        >>> key = "all stores", "tea", datetime.date(2018, 1, 1)
        >>> priced_override("prices.csv", [], load_bundle("bundle"), {key}, 2.0)
        Traceback (most recent call last):
        repricer.serving.price_list.rows.ListError: an override must be about a row of prices.csv; got 'tea' in 'all stores', week 2018-01-01; reload the page
    """
    known = {row.key: row for row in rows}
    if strange := sorted(key for key in keys if key not in known):
        zone, product, week = strange[0]
        got = f"{product!r} in {zone!r}, week {week}"
        raise ListError([f"an override must be about a row of {source}; got {got}; reload the page"])
    first = known[min(keys)]
    tried = {"status": "overridden", "decided_price": price}
    own = [msgspec.structs.replace(row, **tried) if row.key in keys else row for row in rows if row.zone == first.zone]
    if wrong := _strange_rows(source, own, bundle.catalogue):
        raise ListError(wrong)
    return _ZoneDecisions(source, list(enumerate(own, start=2)), bundle, keys).priced(first.new_price)


def make_live(
    rows: Sequence[PriceRow], bundle: Bundle, log: DecisionLog, out: Path, items: Sequence[KeyItem] = ()
) -> LiveList:
    """Record checked decisions and write the live prices; the same list again changes nothing.

    Args:
        rows: Decided rows that `check_decisions` accepted.
        bundle: The bundle by whose rules they were checked.
        out: CSV file of the live prices, one row per product, zone and week.
        items: The list's key-value items; who confirmed or rejected one is recorded too.

    Raises:
        LogError: The log cannot be written; then nothing is live.

    Example:
        >>> make_live(rows, bundle, log, Path("live.csv")).new  # doctest: +SKIP
        360
    """
    facts = {item.id: {name: getattr(item, name) for name in _ITEM} for item in items if item.status != "proposed"}
    log.record_items(facts)
    recorded = log.record_approvals([_approval(row, bundle) for row in rows])
    live = [msgspec.structs.replace(row, decided_at=time) for row, time in zip(rows, recorded.times, strict=True)]
    write_live(out, live)
    return LiveList(live, recorded.new)


def _approval(row: PriceRow, bundle: Bundle) -> Approval:
    proposal = (row.zone, row.product, row.week.isoformat(), row.check, row.current_price, row.new_price)
    return Approval(*proposal, row.status, row.price, row.decided_by, row.decision_reason, bundle.digest)


def _strange_rows(source: str, rows: Sequence[PriceRow], catalogue: Catalogue) -> list[str]:
    """Rows of other products or weeks than the bundle's, and rows that are missing."""
    wrong = []
    calendar = catalogue.calendar
    known = set(catalogue.products)
    days = None if calendar is None else set(calendar.labels)
    zones = defaultdict[str, dict[dt.date, set[str]]](lambda: defaultdict(set))
    for number, row in enumerate(rows, start=2):
        zones[row.zone][row.week].add(row.product)
        if row.product not in known:
            must = f"must be a product of the bundle; got {row.product!r}"
            wrong.append(f"{source}, row {number}, column product: {must}")
        if calendar is not None and days is not None and row.week.isoformat() not in days:
            spanned = f"{calendar.unit}, {calendar.first_day} to {calendar.last_day}"
            must = f"must be the first day of one of the bundle's {spanned}; got {row.week}"
            wrong.append(f"{source}, row {number}, column week: {must}; write a new list, or name its bundle")
    for zone, weeks in zones.items():
        for week, products in weeks.items():
            if missing := [repr(name) for name in catalogue.products if name not in products]:
                must = f"must have a row for every product in zone {zone!r}, week {week}"
                fix = f"got none for {some_of(missing)}; restore it, and postpone what shall not change"
                wrong.append(f"{source}: {must}; {fix}")
        if calendar is not None and not wrong:
            own = sorted(map(calendar.period, weeks))
            # The largest change would be counted across a week that has no price here.
            for t in sorted({*range(own[0], own[-1])} - {*own}):
                must = f"must have rows for all {calendar.unit} between its first and its last in zone {zone!r}"
                fix = f"got none for {calendar.day(t)}; restore them, and postpone what shall not change"
                wrong.append(f"{source}: {must}; {fix}")
    return wrong


class _ZoneDecisions:
    """The decided prices of one zone, against the price rules and the proposal."""

    def __init__(self, source: str, rows: Sequence[tuple[int, PriceRow]], bundle: Bundle, only: Keys | None) -> None:
        product = {name: n for n, name in enumerate(bundle.catalogue.products)}
        weeks = sorted({row.week for _, row in rows})
        period = {week: t for t, week in enumerate(weeks)}
        self._source = source
        self._bundle = bundle
        self._places = {(period[row.week], product[row.product]): (number, row) for number, row in rows}
        self._wanted, current, self._proposed = np.zeros((3, len(period), len(product)))
        for place, (_, row) in self._places.items():
            self._wanted[place] = row.price
            current[place] = row.current_price
            checked = row.status == "overridden" and (only is None or row.key in only)
            self._proposed[place] = row.new_price if checked else row.price
        rules = bundle.guardrails
        catalogue = bundle.catalogue
        self._first = 0 if catalogue.calendar is None else catalogue.calendar.period(weeks[0])
        # Before other weeks than the first, the shop charges what it planned.
        from_start = catalogue.calendar is not None and self._first == 0
        before = rules.prices_before(catalogue.regular_price) if from_start else current[:1]
        found = breaches(rules, catalogue, self._wanted, current, before)
        self._breaches = [one for one in found if only is None or self._row(one)[1].key in only]
        counts = bundle.manifest["objective"] == "profit"
        self._cost = rules.unit_cost if counts else np.zeros_like(rules.unit_cost)

    def _row(self, one: Breach) -> tuple[int, PriceRow]:
        return self._places[one.period, one.product]

    def refused(self) -> list[str]:
        """The rows that leave a firm rule, a line each."""
        lines = []
        for one in self._breaches:
            if one.firm:
                number, row = self._row(one)
                column = "decided_price" if row.status == "overridden" else "status"
                rules = ", ".join(f"{rule_words(rule)} ({RULES[rule]})" for rule in one.rules)
                where = f"{row.product!r} in the week of {row.week}"
                fix = f"{one.allowed:g} would be allowed"
                must = f"column {column}: the price must keep the price rule {rules}"
                lines.append(f"{self._source}, row {number}, {must}; got {one.price:g} for {where}; {fix}")
        return lines

    def warnings(self) -> list[str]:
        """The rows that leave other rules, those of a product and rule together, and what overrides earn."""
        known = self._bundle.response is not None
        catalogue = self._bundle.catalogue
        scenario = self._bundle.manifest
        terms = {"money": scenario["objective"], "currency": scenario["scenario"]["currency"]}
        gains = [0.0] * len(self._breaches)
        if known:
            reference = np.broadcast_to(catalogue.regular_price, self._wanted.shape)
            gains = allowed_gains(self._breaches, self._wanted, reference, self._units, catalogue, self._cost)
        lines = []
        for same, gain in alike(self._breaches, gains):
            number, row = self._row(same[0])
            weeks = [str(self._row(one)[1].week) for one in same]
            breach = breach_line(same, gain if known else None, product=row.product, weeks=weeks, **terms)
            lines.append(f"{self._source}, row {number}: {breach}")
        others = int((self._wanted != self._proposed).sum())
        if others and known:
            less = self._cost_of_overrides()
            amount = f"{money_words(abs(less), terms['currency'])} {'less' if less >= 0 else 'more'} {terms['money']}"
            earn = f"{others:,} overridden prices are expected to earn {amount} than the proposed ones"
            lines.append(f"{self._source}: {earn}")
        return lines

    def priced(self, proposed: float) -> PricedOverride:
        """What the overridden price of the rows that are checked costs, and the rules that it leaves, a firm one first."""
        manifest = self._bundle.manifest
        left = min(self._breaches, key=lambda one: not one.firm, default=None)
        cost = None if self._bundle.response is None else self._cost_of_overrides()
        found = PricedOverride(cost, manifest["objective"], manifest["scenario"]["currency"], proposed)
        if left is None:
            return found
        rules = tuple(map(rule_words, left.rules))
        return msgspec.structs.replace(found, allowed=left.allowed, rules=rules, firm=left.firm)

    def _cost_of_overrides(self) -> float:
        return self._money(self._proposed) - self._money(self._wanted)

    def _money(self, price: Array) -> float:
        regular = np.broadcast_to(self._bundle.catalogue.regular_price, price.shape)
        net = self._bundle.catalogue.net(price - self._cost)
        return float((net * self._units(np.arange(len(price)), price, regular)).sum())

    def _units(self, period: NDArray[np.intp], price: Array, reference: Floats) -> Array:
        """(B, N) units at the mean of the fitted market, to customers who remember the regular prices."""
        assert self._bundle.response is not None, "the bundle has a response"
        return self._bundle.response.units(self._first + period, price, reference=reference).sum(axis=1)
