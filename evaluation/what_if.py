"""What prices that a person types would sell and earn, against the prices that are planned, over posterior draws."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..envs import catalogue_of, expected_units
from ..pricing.price_rules.overrides import alike, allowed_gains, breach_line, breaches
from ..scenarios import MarketSpec, load_scenario
from ..scenarios.fields import nearest
from ..scenarios.periods import planned_prices, reference_path, simulated_prices
from ..scenarios.sections import Array
from .uncertainty.draws import ENDS, METHOD, charged_range, check_draws, draw_numbers

ALL_STORES = "all stores"
GROUPS = ("category", "brand", "zone", "product", "week")
"""What the figures can be rolled up by."""
MEASURES = ("units", "revenue", "profit")
COLUMNS = ("product", "price", "week", "zone")
"""The columns of a table of prices to try; the first two are needed."""
_NO_BRAND, _PROMOTED = "no brand", 0.5
Market = MarketSpec | str | os.PathLike[str]
Prices = pd.DataFrame | Mapping[str, float] | ArrayLike


@dataclass(frozen=True)
class WhatIf:
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

    def table(self, by: str | None = None) -> pd.DataFrame:
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
) -> WhatIf:
    """What a fitted market would sell and earn at other prices, against the planned ones.

    Expected units are those of `envs.expected_units` under each posterior draw, with ample stock; customers' reference
    prices follow the prices that are tried, week by week. A product that costs less in all weeks has a lower regular
    price, which customers are used to (`scenarios.periods.reference_path`); in some weeks, it has deals. Intervals hold
    parameter uncertainty, not chance.

    Args:
        market: A market, or its name or folder; or the markets of several zones, by zone.
        prices: A table with the columns `product` (name or id) and `price` and, where a row is for one of them only,
            `week` (a day of it) and `zone`; or the price by product; or (T, N) prices. Other products keep their planned
            prices.
        brands: Brand by product, name or id.
        draws: Number of posterior draws; 200 by default, or all of fewer.
        source: What errors call the prices.

    Raises:
        ValueError: A market has no posterior, a product or week is unknown, a price is not above zero, or leaves a rule that
            is firm (`pricing.price_rules.overrides`).

    Example:
        >>> what_if("market/", {"tea": 2.49}).table("category")  # doctest: +SKIP
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
    return WhatIf(pd.concat(rows, ignore_index=True), together, currency, tuple(lines))


def _typed_prices(markets: Mapping[str, MarketSpec], prices: Prices, source: str) -> dict[str, Array]:
    """(T, N) prices to try by zone."""
    tried = {zone: planned_prices(spec) for zone, spec in markets.items()}
    if isinstance(prices, Mapping):
        prices = pd.DataFrame({"product": list(prices), "price": list(prices.values())})
    if isinstance(prices, pd.DataFrame):
        _Table(markets, tried, prices, source).fill()
        return tried
    for zone, path in tried.items():
        asked = np.asarray(prices, np.float64)
        if asked.shape not in (path.shape, path.shape[1:]):
            raise ValueError(f"{source} must have the shape (T, N) = {path.shape}; got {asked.shape}; fix it")
        if not (np.isfinite(asked) & (asked > 0)).all():
            raise ValueError(f"{source} must be finite and above zero; got {asked.min():g} to {asked.max():g}; fix it")
        tried[zone] = np.broadcast_to(asked, path.shape)
    return tried


class _Table:
    """A table of prices to try, which fills the paths of the zones."""

    def __init__(
        self, markets: Mapping[str, MarketSpec], tried: dict[str, Array], table: pd.DataFrame, source: str
    ) -> None:
        self._markets, self._tried, self._table, self._source = markets, tried, table, source
        self._number = {
            zone: {name: n for names in (spec.products.names, spec.products.ids or ()) for n, name in enumerate(names)}
            for zone, spec in markets.items()
        }

    def fill(self) -> None:
        """Put the prices of the table into the paths. Raises ValueError, with row and column."""
        columns = [str(name) for name in self._table.columns]
        for name in columns:
            if name not in COLUMNS:
                raise ValueError(
                    f"{self._source}, row 1: columns are {', '.join(COLUMNS)}; got '{name}'; {nearest(name, COLUMNS)}"
                )
        for name in COLUMNS[:2]:
            if name not in columns:
                raise ValueError(
                    f"{self._source}, row 1: must have the columns product and price; got no {name}; add it"
                )
        seen: set[tuple[str, int, int]] = set()
        for row, cells in enumerate(
            self._table.astype(object).where(self._table.notna(), "").to_dict("records"), start=2
        ):
            text = {str(name): str(cell).strip() for name, cell in cells.items()}
            if not any(text.values()):
                continue
            price = self._price(row, text["price"])
            for zone in self._zones(row, text):
                n = self._number[zone][text["product"]]
                for t in self._periods(row, zone, text.get("week", "")):
                    if (zone, t, n) in seen:
                        raise self._wrong(
                            row, "product", "priced once a week", text["product"], "remove one of its rows"
                        )
                    seen.add((zone, t, n))
                    self._tried[zone][t, n] = price

    def _wrong(self, row: int, column: str, allowed: str, got: str, fix: str) -> ValueError:
        return ValueError(f"{self._source}, row {row}, column {column}: must be {allowed}; got {got!r:.200}; {fix}")

    def _price(self, row: int, text: str) -> float:
        try:
            price = float(text)
        except ValueError:
            price = np.nan
        if not 0 < price < np.inf:
            raise self._wrong(row, "price", "a number above zero, currency per unit", text, "fix it")
        return price

    def _zones(self, row: int, text: dict[str, str]) -> list[str]:
        zone, product = text.get("zone", ""), text["product"]
        if zone and zone not in self._markets:
            raise self._wrong(row, "zone", "a zone of the market", zone, nearest(zone, list(self._markets)))
        found = [one for one in ([zone] if zone else self._markets) if product in self._number[one]]
        if not found:
            known = list(
                dict.fromkeys(name for one in ([zone] if zone else self._number) for name in self._number[one])
            )
            fix = nearest(product, known) if len(known) < 12 else nearest(product, known).split("known are")[0]
            raise self._wrong(row, "product", "a name or id of the market", product, fix or "leave the row out")
        return found

    def _periods(self, row: int, zone: str, text: str) -> Sequence[int]:
        spec = self._markets[zone]
        calendar, count = spec.calendar, spec.market.horizon_periods
        if not text:
            return range(count)
        try:
            return [calendar.period(text[:10])] if calendar else [range(count)[int(text)]]
        except (ValueError, IndexError):
            span = f"{calendar.first_day} to {calendar.last_day}" if calendar else f"0 to {count - 1}"
            raise self._wrong(
                row, "week", f"one of the market, {span}", text, "fix it, or leave it empty for all"
            ) from None


class _Demand:
    """Expected units of a market with ample stock, with the promotions and recommendations that are planned."""

    def __init__(self, spec: MarketSpec) -> None:
        self._spec, self._chances = spec, spec.regime_probabilities()
        self._shown = None if spec.recommendation is None else spec.shown_by_recommender
        self._promoted = None
        if spec.promotion is not None and spec.history is not None:
            self._promoted = (spec.history.promotion > _PROMOTED).astype(np.float64)

    def units(self, draw: MarketSpec, period: NDArray[np.intp], price: Array, reference: NDArray[np.floating]) -> Array:
        """(B, N) units under a draw, over the regimes that may hold."""
        given: dict[str, Any] = {"reference": reference}
        if self._shown is not None:
            given["shown"] = np.tile(self._shown, (len(period), 1))
        if self._promoted is not None:
            given["promoted"] = self._promoted[period]
        units = np.zeros(price.shape)
        for regime in np.flatnonzero(self._chances.any(axis=0)).tolist():
            found = expected_units(draw, period, price, regime=regime, **given).sum(axis=1)
            units += self._spec.visits * self._chances[period, regime, None] * found
        return units


def _zone(spec: MarketSpec, tried: Array, numbers: Sequence[int]) -> dict[str, Array]:
    """The figures of one market by product and week, R = T x N."""
    planned, demand = planned_prices(spec), _Demand(spec)
    turns = _turns(spec, (tried != planned).any(axis=0))
    paths = np.stack([planned, tried, *(np.where(turn, tried, planned) for turn in turns)])
    price = np.concatenate([simulated_prices(spec, path) for path in paths])
    reference = np.concatenate([reference_path(spec, simulated_prices(spec, path)) for path in paths])
    period = np.tile(np.arange(len(tried)), len(paths))
    returned = 0.0 if spec.returns is None else spec.returns.probability
    handling = 0.0 if spec.returns is None else returned * spec.returns.handling_cost
    figures: dict[str, list[Array]] = {name: [] for name in (*MEASURES, "units_from_others")}
    for m in numbers:
        draw = spec.draw(m)
        units = demand.units(draw, period, price, reference).reshape(paths.shape)
        alone = sum((turn * (units[2 + j] - units[0]) for j, turn in enumerate(turns)), np.zeros(tried.shape))
        units, kept = units[:2], units[:2] * (1 - returned)
        revenue = kept * paths[:2]
        found = (units, revenue, revenue - kept * draw.products.unit_cost - units * handling)
        for name, values in zip(MEASURES, found, strict=True):
            figures[name].append(values.reshape(2, -1))
        figures["units_from_others"].append((units[1] - units[0] - alone).ravel())
    return {name: np.stack(values, axis=-2) for name, values in figures.items()}


def _turns(spec: MarketSpec, changed: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Masks (N,) that have each changed product once, and at most one of a category: these do not touch each other."""
    place = np.zeros(changed.size, np.intp)
    for category in np.unique(spec.category_index):
        own = np.flatnonzero(changed & (spec.category_index == category))
        place[own] = np.arange(own.size)
    return [changed & (place == j) for j in range(place.max() + 1) if (changed & (place == j)).any()]


def _rows(zone: str, spec: MarketSpec, tried: Array, brands: Mapping[str, str] | None) -> pd.DataFrame:
    names, periods = spec.products.names, len(tried)
    ids, calendar = spec.products.ids or names, spec.calendar
    by_product = {"category": [spec.category_names[c] for c in spec.category_index]}
    if brands is not None:
        by_product["brand"] = [
            brands.get(product, brands.get(name, _NO_BRAND)) for product, name in zip(ids, names, strict=True)
        ]
    by_product |= {"product": list(names), "product_id": list(ids)}
    weeks = calendar.labels if calendar else [str(t) for t in range(periods)]
    columns: dict[str, Any] = {"zone": zone} | {name: np.tile(values, periods) for name, values in by_product.items()}
    columns |= {"week": np.repeat(weeks, len(names)), "planned_price": planned_prices(spec).ravel()}
    return pd.DataFrame(columns | {"price": tried.ravel()})


def _warnings(zone: str, spec: MarketSpec, tried: Array, source: str) -> list[str]:
    """What speaks against prices to try, in lines. Raises ValueError where one leaves a firm rule."""
    planned, catalogue, rules = planned_prices(spec), catalogue_of(spec), spec.guardrails
    found = breaches(rules, catalogue, tried, planned, rules.prices_before(spec.products.regular_price))
    demand, cost = _Demand(spec), spec.products.unit_cost * (spec.market.objective == "profit")
    gains = allowed_gains(
        found, tried, reference_path(spec, tried), lambda *given: demand.units(spec, *given), catalogue, cost
    )
    names, start = spec.products.names, "" if zone == ALL_STORES else f"{zone}: "
    weeks, lines = spec.calendar.labels if spec.calendar else [str(t) for t in range(len(tried))], []

    for same, gain in alike(found, gains):
        line = start + breach_line(
            same,
            gain,
            product=names[same[0].product],
            weeks=[weeks[one.period] for one in same],
            money=spec.market.objective,
            currency=spec.market.currency,
        )
        if same[0].firm:
            raise ValueError(
                f"{source}: prices must keep the rules that no person may leave; got {line}; try another price"
            )
        lines.append(line)
    if (charged := charged_range(spec)) is not None:
        outside = np.flatnonzero((charged.outside(tried) & (tried != planned)).any(axis=0)).tolist()
        lines += [
            f"{start}the price of {names[n]!r} is {charged.words(n)}: hardly any data say what it sells there"
            for n in outside
        ]
    if spec.history is not None and spec.history.doubt:
        lines.append(start + spec.history.doubt)
    return lines
