"""What prices that a person types would sell and earn, against the prices that are planned, over posterior draws."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..envs import catalogue_of, expected_units
from ..pricing.price_rules.overrides import alike, allowed_gains, breach_line, breaches
from ..scenarios import MarketSpec, choice_model, load_scenario
from ..scenarios.fields import nearest
from ..scenarios.periods import planned_prices, simulated_prices
from ..scenarios.planned_deals import Course, course_of, stated_deals
from ..scenarios.sections import Array
from .uncertainty.draws import ENDS, METHOD, charged_range, check_draws, draw_numbers

ALL_STORES = "all stores"
GROUPS = ("category", "brand", "zone", "product", "week")
"""What the figures can be rolled up by."""
MEASURES = ("units", "revenue", "profit")
COLUMNS = ("product", "price", "week", "zone")
"""The columns of a table of prices to try; the first two are needed."""
_NO_BRAND = "no brand"
_PROMOTED = 0.5
Market = MarketSpec | str | os.PathLike[str]
Prices = pd.DataFrame | Mapping[str, float | str] | ArrayLike
_CHANGE_TEXT = re.compile(r"(?P<size>[+-]\s*(?:\d+\.?\d*|\.\d+))\s*(?P<percent>%?)")


@dataclass(frozen=True, repr=False)
class TriedPrices:
    """What prices to try would sell and earn in a market, or in those of several zones.

    Attributes:
        rows: One row a zone, product and week: `zone`, `category`, `brand` where it is known, `product`, `product_id`,
            `week`, `planned_price`, `price`.
        draws: By measure (units, revenue, profit), (2, M, R) what is expected at the planned prices and at those to
            try under each posterior draw; as `units_from_others`, (M, R) units that the new prices of the other products of
            the category bring (+) or take (-).
        currency: Unit of money.
        warnings: What speaks against the prices, or against the figures, a line each.

    Example:
        >>> from dataclasses import replace
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit")
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> bool(what_if(spec, {spec.products.names[0]: 12.0}).total["units_change"] < 0)
        True
    """

    rows: pd.DataFrame
    draws: dict[str, Array]
    currency: str
    warnings: tuple[str, ...]

    def to_dict(self, by: str | None = None) -> dict[str, Any]:
        """As `what-if --json` prints it, its `rows` rolled up as by `to_frame`."""
        facts = {"by": by, "currency": self.currency, "total": self.total}
        return facts | {"rows": self.to_frame(by).to_dict("records"), "warnings": list(self.warnings)}

    def __repr__(self) -> str:
        total = self.total
        changes = ", ".join(f"{name} {total[f'{name}_change']:+,.0f}" for name in MEASURES)
        return f"TriedPrices({changes}, {len(self.rows):,} rows, {len(self.warnings)} warnings)"

    def to_frame(self, by: str | None = None) -> pd.DataFrame:
        """The figures rolled up: of each measure what is planned, what is expected, and the change, the last two with
        the ends of their 90% intervals over the posterior draws.

        Args:
            by: One of `GROUPS`; by default a row for each zone, product and week.

        Raises:
            ValueError: There is no such column.
        """
        if by is None:
            return pd.concat([self.rows, pd.DataFrame(self._figures(np.arange(len(self.rows))))], axis=1)
        if by not in self.rows:
            known = [name for name in GROUPS if name in self.rows]
            fix = "give the brands of the products" if by == "brand" else nearest(by, known)
            raise ValueError(f"by must be one of {', '.join(known)}; got '{by}'; {fix}")
        code, names = pd.factorize(self.rows[by])
        return pd.DataFrame({by: names} | self._figures(code))

    @property
    def total(self) -> dict[str, float]:
        """The figures of all products, weeks and zones together."""
        figures = self._figures(np.zeros(len(self.rows), np.intp))
        return {name: float(values[0]) for name, values in figures.items()}

    def _figures(self, code: NDArray[np.intp]) -> dict[str, Array]:
        """The columns of the rows that share a code, 0 on."""
        order = np.argsort(code, kind="stable")
        starts = np.flatnonzero(np.diff(code[order], prepend=-1))
        columns: dict[str, Array] = {}

        def add(name: str, values: Array) -> None:
            columns[name] = values.mean(axis=0)
            columns[f"{name}_low"], columns[f"{name}_high"] = np.quantile(values, ENDS, axis=0, method=METHOD)

        for name in MEASURES:
            planned, tried = np.add.reduceat(self.draws[name][..., order], starts, axis=-1)
            columns[f"planned_{name}"] = planned.mean(axis=0)
            add(name, tried)
            add(f"{name}_change", tried - planned)
        add("units_from_others", np.add.reduceat(self.draws["units_from_others"][:, order], starts, axis=1))
        return columns


def what_if(
    market: Market | Mapping[str, Market],
    prices: Prices,
    *,
    brands: Mapping[str, str] | None = None,
    draws: int | None = None,
    source: str = "prices",
) -> TriedPrices:
    """What a fitted market would sell and earn at other prices, against the planned ones.

    Expected units are those of `envs.expected_units` under each posterior draw, with ample stock; customers' reference
    prices follow the prices that are tried, week by week, and displays fade with the deals that they go with. A product
    that costs less in all weeks has a lower regular price, which customers are used to; in some weeks, it has deals
    (`scenarios.planned_deals.stated_deals`). Intervals hold parameter uncertainty, not chance.

    Args:
        market: A market, or its name or folder; or the markets of several zones, by zone.
        prices: A table with the columns `product` (name or id) and `price` and, where a row is for one of them only,
            `week` (a day of it) and `zone`; or the price by product; or (T, N) prices. Other products keep their planned
            prices. A text with a sign changes the planned prices: "-10%" by a share, "+.20" by so much.
        brands: Brand by product, name or id.
        draws: Number of posterior draws; 200 by default, or all of fewer.
        source: What errors call the prices.

    Raises:
        ValueError: A market has no posterior, a product or week is unknown, a price is not above zero, or leaves a rule that
            is firm (`pricing.price_rules.overrides`), but for a freeze.

    Example:
        >>> what_if("market/", {"tea": 2.49}).to_frame("category")  # doctest: +SKIP
    """
    given = market if isinstance(market, Mapping) else {ALL_STORES: market}
    markets = {zone: one if isinstance(one, MarketSpec) else load_scenario(one) for zone, one in given.items()}
    for spec in markets.values():
        if not spec.num_draws:
            raise ValueError(f"what-if needs a market fitted on data; got {spec.name}; `repricer fit` makes one")
        if draws is not None:
            check_draws(spec, draws)
    tried = _typed_prices(markets, prices, source)
    count = min(len(draw_numbers(spec, draws)) for spec in markets.values())
    parts = [_zone(spec, tried[zone], draw_numbers(spec, count)) for zone, spec in markets.items()]
    rows = [_rows(zone, spec, tried[zone], brands) for zone, spec in markets.items()]
    lines = [line for zone, spec in markets.items() for line in _warnings(zone, spec, tried[zone], source)]
    together = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    currency = next(iter(markets.values())).market.currency
    return TriedPrices(pd.concat(rows, ignore_index=True), together, currency, tuple(lines))


def _typed_prices(markets: Mapping[str, MarketSpec], prices: Prices, source: str) -> dict[str, Array]:
    """(T, N) prices to try by zone."""
    tried = {zone: planned_prices(spec) for zone, spec in markets.items()}
    if isinstance(prices, Mapping):
        prices = pd.DataFrame({"product": list(prices), "price": list(prices.values())})
    if isinstance(prices, pd.DataFrame):
        _fill(markets, tried, prices, source)
        return tried
    for zone, path in tried.items():
        asked = np.asarray(prices, np.float64)
        if asked.shape not in (path.shape, path.shape[1:]):
            raise ValueError(f"{source} must have the shape (T, N) = {path.shape}; got {asked.shape}; fix it")
        if not (np.isfinite(asked) & (asked > 0)).all():
            raise ValueError(f"{source} must be finite and above zero; got {asked.min():g} to {asked.max():g}; fix it")
        tried[zone] = np.broadcast_to(asked, path.shape)
    return tried


def _fill(markets: Mapping[str, MarketSpec], tried: dict[str, Array], table: pd.DataFrame, source: str) -> None:
    """Put the prices of a table into the paths of the zones. Raises ValueError, with row and column."""
    columns = [str(name) for name in table.columns]
    for name in columns:
        if name not in COLUMNS:
            fix = nearest(name, COLUMNS)
            raise ValueError(f"{source}, row 1: columns are {', '.join(COLUMNS)}; got '{name}'; {fix}")
    for name in COLUMNS[:2]:
        if name not in columns:
            raise ValueError(f"{source}, row 1: must have the columns product and price; got no {name}; add it")
    number = {
        zone: {name: n for names in (spec.products.names, spec.products.ids or ()) for n, name in enumerate(names)}
        for zone, spec in markets.items()
    }
    seen: set[tuple[str, int, int]] = set()
    for row, cells in enumerate(table.astype(object).where(table.notna(), "").to_dict("records"), start=2):
        text = dict.fromkeys(COLUMNS, "") | {str(name): str(cell).strip() for name, cell in cells.items()}
        product, price, week, zone = (text[name] for name in COLUMNS)

        def wrong(column: str, allowed: str, fix: str, row: int = row, text: dict[str, str] = text) -> ValueError:
            return ValueError(
                f"{source}, row {row}, column {column}: must be {allowed}; got {text[column]!r:.200}; {fix}"
            )

        if not any(text.values()):
            continue
        share, fixed = _of_planned(price)
        if not np.isfinite(fixed):
            raise wrong("price", "a number above zero, currency per unit, or a change such as -10% or +.20", "fix it")
        if zone and zone not in markets:
            raise wrong("zone", "a zone of the market", nearest(zone, list(markets)))
        known = {one: names for one, names in number.items() if zone in ("", one)}
        if not any(product in names for names in known.values()):
            names = list(dict.fromkeys(name for names in known.values() for name in names))
            fix = nearest(product, names) if len(names) < 12 else nearest(product, names).split("known are")[0]
            raise wrong("product", "a name or id of the market", fix or "leave the row out")
        for one, n in ((one, names[product]) for one, names in known.items() if product in names):
            try:
                periods = _periods(markets[one], week)
            except (ValueError, IndexError):
                calendar = markets[one].calendar
                last = markets[one].market.horizon_periods - 1
                span = f"{calendar.first_day} to {calendar.last_day}" if calendar else f"0 to {last}"
                raise wrong("week", f"one of the market, {span}", "fix it, or leave it empty for all") from None
            if seen & {(one, t, n) for t in periods}:
                raise wrong("product", "priced once a week", "remove one of its rows")
            seen |= {(one, t, n) for t in periods}
            asked = share * tried[one][list(periods), n] + fixed
            if not (asked > 0).all():
                raise wrong("price", "above zero, currency per unit, after a change as well", "fix it")
            tried[one][list(periods), n] = asked


def _of_planned(price: str) -> tuple[float, float]:
    """The share of the planned price that a cell keeps, and what it adds to it; NaN where it is neither price nor change."""
    change = _CHANGE_TEXT.fullmatch(price)
    if change is None:
        return 0.0, pd.to_numeric(price, errors="coerce")
    size = float(change["size"].replace(" ", ""))
    return (1 + size / 100, 0.0) if change["percent"] else (1.0, size)


def _periods(spec: MarketSpec, week: str) -> Sequence[int]:
    """The periods that a cell names; all where it is empty."""
    every = range(spec.market.horizon_periods)
    if not week:
        return every
    return [spec.calendar.period(week[:10]) if spec.calendar else every[int(week)]]


def segment_units(
    spec: MarketSpec,
    draw: MarketSpec,
    period: NDArray[np.intp],
    price: Array,
    reference: NDArray[np.floating],
    discount: Array | None = None,
    displayed: Array | None = None,
) -> Array:
    """(B, K, N) expected units of each segment under a draw, over the regimes that may hold, with ample stock and the
    promotions and recommendations that are planned.

    Args:
        spec: The market.
        draw: The market under a draw of its posterior, or itself.
        period: (B,) number of the period of each row.
        price: (B, N) list prices, currency per unit.
        reference: (B, N) prices that customers remember.
        discount: (B, N, K) personal discounts, fractions of the list price; none by default.
        displayed: (B, N) share of stores with a display or mailer beyond the planned one, as of `Course.shown`.

    Example:
        >>> spec = load_scenario("stationary-logit")
        >>> segment_units(spec, spec, np.array([0]), np.array([[9.0]]), np.array([[9.0]])).shape
        (1, 1, 1)
    """
    given: dict[str, Any] = {"reference": reference} | ({} if discount is None else {"discount": discount})
    if spec.recommendation is not None:
        given["shown"] = np.tile(spec.shown_by_recommender, (len(period), 1))
    if spec.promotion is None and choice_model(spec).promotion.size:
        given["promoted"] = displayed
    if spec.promotion is not None and spec.plan is not None:
        given["promoted"] = (spec.plan.promotion > _PROMOTED).astype(np.float64)[period]
    chances = spec.regime_probabilities()
    units = np.zeros((len(price), spec.sizes["K"], spec.sizes["N"]))
    for regime in np.flatnonzero(chances.any(axis=0)).tolist():
        found = expected_units(draw, period, price, regime=regime, **given)
        units += spec.visits * chances[period, regime, None, None] * found
    return units


def course_units(
    spec: MarketSpec, draw: MarketSpec, price: Array, course: Course, discount: Array | None = None
) -> Array:
    """(B, T, K, N) expected units of each segment along courses of prices, as `segment_units` gives them.

    Args:
        spec: The market.
        draw: The market under a draw of its posterior, or itself.
        price: (B, T, N) prices as the market simulates them, currency per unit.
        course: What follows from them.
        discount: (B, N, K) personal discounts in all periods, fractions of the list price; none by default.

    Example:
        >>> spec, price = load_scenario("stationary-logit"), np.full((1, 30, 1), 9.0)
        >>> course_units(spec, spec, price, course_of(spec, price)).shape
        (1, 30, 1, 1)
    """
    courses, periods, products = price.shape
    rows = [part.reshape(-1, products) for part in (price, course.reference, course.shown)]
    spread = None if discount is None else np.repeat(discount, periods, axis=0)
    period = np.tile(np.arange(periods), courses)
    units = segment_units(spec, draw, period, rows[0], rows[1], discount=spread, displayed=rows[2])
    return units.reshape(courses, periods, -1, products)


def _zone(spec: MarketSpec, tried: Array, numbers: Sequence[int]) -> dict[str, Array]:
    """The figures of one market by product and week, R = T x N, as `TriedPrices.draws` holds them.

    Args:
        spec: The market.
        tried: (T, N) prices to try, currency per unit.
        numbers: Those of the posterior draws.
    """
    planned = planned_prices(spec)
    # What other products bring or take is the change of a product's units beyond that at its own new price alone. So
    # each turn changes the prices of some products only, which do not touch each other.
    turns = _turns(spec, (tried != planned).any(axis=0))
    paths = np.stack([planned, tried, *(np.where(turn, tried, planned) for turn in turns)])
    price = simulated_prices(spec, paths)
    course = course_of(spec, price, stated_deals(spec, price))
    returned = 0.0 if spec.returns is None else spec.returns.probability
    handling = 0.0 if spec.returns is None else returned * spec.returns.handling_cost
    figures: dict[str, list[Array]] = {name: [] for name in (*MEASURES, "units_from_others")}
    for m in numbers:
        draw = spec.draw(m)
        # (2 + turns, T, N) at the planned prices, at those to try, and at those of each turn.
        units = course_units(spec, draw, price, course).sum(axis=2)
        by_own_price = np.zeros(tried.shape)
        for turn, units_in_turn in zip(turns, units[2:], strict=True):
            by_own_price = by_own_price + turn * (units_in_turn - units[0])
        units = units[:2]
        kept = units * (1 - returned)
        revenue = kept * spec.products.net(paths[:2])
        profit = revenue - kept * draw.products.unit_cost - units * handling + units * course.funding[:2]
        for name, values in zip(MEASURES, (units, revenue, profit), strict=True):
            figures[name].append(values.reshape(2, -1))
        figures["units_from_others"].append((units[1] - units[0] - by_own_price).ravel())
    return {name: np.stack(values, axis=-2) for name, values in figures.items()}


def _turns(spec: MarketSpec, changed: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Masks (N,) that have each changed product once, and at most one of a category: these do not touch each other."""
    place = np.zeros(changed.size, np.intp)
    for category in np.unique(spec.category_index):
        own = np.flatnonzero(changed & (spec.category_index == category))
        place[own] = np.arange(own.size)
    return [changed & (place == j) for j in range(place.max() + 1) if (changed & (place == j)).any()]


def _rows(zone: str, spec: MarketSpec, tried: Array, brands: Mapping[str, str] | None) -> pd.DataFrame:
    names = spec.products.names
    periods = len(tried)
    ids = spec.products.ids or names
    by_product = {"category": [spec.category_names[c] for c in spec.category_index]}
    if brands is not None:
        both = zip(ids, names, strict=True)
        by_product["brand"] = [brands.get(product, brands.get(name, _NO_BRAND)) for product, name in both]
    by_product |= {"product": list(names), "product_id": list(ids)}
    columns: dict[str, Any] = {"zone": zone} | {name: np.tile(values, periods) for name, values in by_product.items()}
    columns |= {"week": np.repeat(_weeks(spec), len(names)), "planned_price": planned_prices(spec).ravel()}
    return pd.DataFrame(columns | {"price": tried.ravel()})


def _weeks(spec: MarketSpec) -> list[str]:
    """The first days of the periods, or their numbers."""
    return spec.calendar.labels if spec.calendar else [str(t) for t in range(spec.market.horizon_periods)]


def _warnings(zone: str, spec: MarketSpec, tried: Array, source: str) -> list[str]:
    """What speaks against prices to try, in lines. Raises ValueError where one leaves a firm rule."""
    planned = planned_prices(spec)
    catalogue = catalogue_of(spec)
    rules = spec.guardrails
    found = breaches(rules, catalogue, tried, planned, rules.prices_before(spec.products.regular_price))
    cost = spec.products.shelf_cost * (spec.market.objective == "profit")
    simulated = simulated_prices(spec, tried)
    course = course_of(spec, simulated, stated_deals(spec, simulated))

    def demand(period: NDArray[np.intp], price: Array, reference: NDArray[np.floating]) -> Array:
        return segment_units(spec, spec, period, price, reference, displayed=course.shown[period]).sum(axis=1)

    gains = allowed_gains(found, tried, course.reference, demand, catalogue, cost)
    names = spec.products.names
    start = "" if zone == ALL_STORES else f"{zone}: "
    weeks = _weeks(spec)
    lines = []
    money = {"money": spec.market.objective, "currency": spec.market.currency}
    for same, gain in alike(found, gains):
        when = [weeks[one.period] for one in same]
        line = start + breach_line(same, gain, product=names[same[0].product], weeks=when, **money)
        # What a frozen price would do may be asked: nobody is to charge another.
        if same[0].firm and set(same[0].rules) != {"frozen"}:
            must = "prices must keep the rules that no person may leave"
            raise ValueError(f"{source}: {must}; got {line}; try another price")
        lines.append(line)
    if (charged := charged_range(spec)) is not None:
        outside = np.flatnonzero((charged.outside(tried) & (tried != planned)).any(axis=0)).tolist()
        hardly = "hardly any data say what it sells there"
        lines += [f"{start}the price of {names[n]!r} is {charged.words(n)}: {hardly}" for n in outside]
    if spec.evidence.doubt:
        lines.append(start + spec.evidence.doubt)
    return lines
