"""A log of decisions: the view, the price with its probability, and the result.

A sales table holds sales only. Off-policy evaluation also needs the decisions that sold nothing,
and what the policy saw when it took them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..envs import Outcome, catalogue_of
from ..pricing import QUANTITIES, Catalogue, MarketView
from ..pricing.price_rules.rule_formulas import PRICE_BITS
from ..scenarios import MarketSpec
from .uncertainty.draws import views_together

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PriceLog:
    """D decisions on N products, sorted by market and period.

    Attributes:
        spec: The market.
        market: (D,) number of the market.
        view: What the policy saw, one row per decision.
        price: (D, N) price charged, currency per unit.
        propensity: (D, N) its probability, NaN where it was not stated.
        units: (D, N) units sold.
        money: (D, N) the scenario's objective, currency.
        arm_propensity: (D, N) the part of the propensity that the products of a decision share
            because one draw decided which policy prices them (1 for a product that all would price
            alike); None where each product was drawn separately.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.evaluation import LogRecorder, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> recorder = LogRecorder(spec)
        >>> episodes = rollout(spec, named_policy("regular", spec), episodes=2, seed=0, watch=recorder)
        >>> len(recorder.log())
        60
    """

    spec: MarketSpec
    market: NDArray[np.int64]
    view: MarketView
    price: Array
    propensity: Array
    units: Array
    money: Array
    arm_propensity: Array | None = None

    def __len__(self) -> int:
        return self.market.size

    def only(self, kept: NDArray[np.bool_]) -> PriceLog:
        """The decisions that are kept, (D,)."""
        names = ("market", "price", "propensity", "units", "money", "arm_propensity")
        rows = {name: None if getattr(self, name) is None else getattr(self, name)[kept] for name in names}
        return replace(self, view=self.view.take(np.flatnonzero(kept)), **rows)

    def to_table(self) -> pd.DataFrame:
        """One row per market, period and product; regimes by name."""
        view, (decisions, products) = self.view, self.price.shape
        columns: dict[str, Any] = {
            "market": np.repeat(self.market, products),
            "period": np.repeat(view.period, products),
            "product": np.tile(np.array(self.spec.products.names, dtype=object), decisions),
        }
        for name, headings in _seen_columns(self.spec).items():
            seen = getattr(view, name)
            if name == "regime":
                seen = np.array(view.catalogue.regimes, dtype=object)[seen]
            rows = seen.reshape(decisions, 1 if QUANTITIES[name].shared else products, -1)
            rows = np.broadcast_to(rows, (decisions, products, len(headings)))
            columns |= {heading: rows[..., i].ravel() for i, heading in enumerate(headings)}
        columns |= {name: getattr(self, name).reshape(-1) for name in ("price", "propensity", "units", "money")}
        if self.arm_propensity is not None:
            columns["arm_propensity"] = self.arm_propensity.reshape(-1)
        return pd.DataFrame(columns)

    @classmethod
    def from_table(cls, spec: MarketSpec, table: pd.DataFrame) -> PriceLog:
        """Read a table that `to_table` or `repricer log export` wrote.

        The latter has prices paid instead of money, and may lack the units sold last, which the
        forecast then replaces.

        Args:
            spec: The market of the log.
            table: The table.

        Raises:
            ValueError: One line, for another kind of table or another market.
        """
        catalogue = catalogue_of(spec)
        products = len(spec.products.names)
        table = _ordered(spec, table)

        def grid(name: str) -> Array:
            values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
            return values.reshape(-1, products)

        period = grid("period")[:, 0].astype(np.intp)
        seen: dict[str, Any] = {}
        for name, headings in _seen_columns(spec).items():
            if name == "regime":
                seen[name] = _regimes(catalogue, table[headings[0]].to_numpy()[::products])
                continue
            rows = np.stack([grid(heading) for heading in headings], axis=2)
            rows = rows[:, 0] if QUANTITIES[name].shared else rows
            alone = QUANTITIES[name].axes == "N"
            seen[name] = (rows[..., 0] if alone else rows).astype(QUANTITIES[name].kind)
        if "loyalty" in seen:
            # A state may leave out a loyalty of 1.
            seen["loyalty"] = np.nan_to_num(seen["loyalty"], nan=1.0)
        forecast = catalogue.forecast_units[np.maximum(period - 1, 0)]
        last = seen["last_units"]
        seen["last_units"] = np.where(np.isnan(last), forecast, last)
        view = MarketView(catalogue, period, **seen)
        units = grid("units")
        money = grid("money") if "money" in table else _money(spec, units, grid("price_paid"))
        shared = grid("arm_propensity") if "arm_propensity" in table else None
        market = table["market"].to_numpy()[::products].astype(np.int64)
        return cls(spec, market, view, grid("price"), grid("propensity"), units, money, shared)


def _seen_columns(spec: MarketSpec) -> dict[str, list[str]]:
    """The columns of a table by the quantity that they hold; several for one that has a number for each of some parts."""
    catalogue = catalogue_of(spec)
    parts = {"K": catalogue.segments, "D": range(1, catalogue.due_periods + 1)}
    parts["H"] = () if spec.capacity is None else spec.capacity.names
    columns = dict[str, list[str]]()
    for name, quantity in QUANTITIES.items():
        if not quantity.logged or not quantity.observed(catalogue):
            continue
        by = quantity.axes.removeprefix("N")
        columns[name] = [f"seen_{name}[{part}]" for part in parts[by]] if by else [f"seen_{name}"]
    return {name: headings for name, headings in columns.items() if headings}


def _regimes(catalogue: Catalogue, names: NDArray) -> NDArray[np.intp]:
    """Numbers of the regimes. Raises ValueError for an unknown one."""
    regime = pd.Index(list(catalogue.regimes)).get_indexer(pd.Index(names))
    if (regime < 0).any():
        known = ", ".join(catalogue.regimes)
        strange = names[regime < 0][0]
        raise ValueError(f"log: seen_regime must be one of {known}; got '{strange}'; log this market")
    return regime


def _money(spec: MarketSpec, units: Array, paid: Array) -> Array:
    """(D, N) objective from units and prices paid (currency per unit), where nothing else counts."""
    if spec.market.objective == "revenue" and spec.returns is None:
        return units * spec.products.net(paid)
    stock = spec.stock
    due = ("order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value")
    also = [name for name in due if np.any(getattr(stock, name))]
    also += [name for name in ("promotion", "returns", "express") if getattr(spec, name) is not None]
    also += ["units ordered"] if stock.cost_due == "ordered" else []
    if also:
        must = "log must have a column money where the objective counts more than units, prices and unit costs"
        raise ValueError(f"{must}; got {spec.name} with {', '.join(also)} and no such column; add it")
    return units * (spec.products.net(paid) - spec.products.unit_cost)


def _ordered(spec: MarketSpec, table: pd.DataFrame) -> pd.DataFrame:
    """The rows sorted by market, period and product. Raises ValueError where it is no log of this market."""
    wanted = ["market", "period", "product", "price", "units", "price_paid" if "price_paid" in table else "money"]
    wanted += [heading for headings in _seen_columns(spec).values() for heading in headings]
    missing = [name for name in wanted if name not in table]
    if missing:
        must = f"log must have a column {missing[0]}"
        fix = "write it with repricer simulate --log or repricer log export"
        raise ValueError(f"{must}; got {', '.join(table.columns)}; {fix}")
    if "propensity" not in table:
        table = table.assign(propensity=np.nan)
    products = len(spec.products.names)
    order = pd.Index(spec.products.names).get_indexer(pd.Index(table["product"]))
    table = table.assign(product=order).sort_values(["market", "period", "product"])
    codes = table["product"].to_numpy().reshape(-1, products) if len(table) % products == 0 else np.empty((0, 1))
    if len(table) == 0 or not (codes.size == len(table) and (codes == np.arange(products)).all()):
        must = f"log must have one row for every product of {spec.name} in every market and period"
        fix = "log this market"
        raise ValueError(f"{must}; got {len(table)} rows of {table['product'].nunique()} known products; {fix}")
    return table


def read_log(spec: MarketSpec, path: Path) -> PriceLog:
    """Read the log in a file.

    Args:
        spec: The market of the log.
        path: A file, .csv or .parquet.

    Raises:
        ValueError: One line, where it is no log of this market.

    Example:
        >>> from pathlib import Path
        >>> from repricer.evaluation import read_log
        >>> from repricer.scenarios import load_scenario
        >>> read_log(load_scenario("stationary-logit"), Path("missing.csv"))
        Traceback (most recent call last):
            ...
        ValueError: log must be a file that ends in .csv or .parquet; got 'missing.csv'; write it with simulate --log
    """
    if path.suffix not in (".csv", ".parquet") or not path.is_file():
        must = "log must be a file that ends in .csv or .parquet"
        raise ValueError(f"{must}; got '{path}'; write it with simulate --log")
    return PriceLog.from_table(spec, pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path))


def stated_propensity(outcome: Outcome) -> NDArray[np.floating]:
    """(E, N) the probability of each price, NaN where it was not stated or a price rule changed the price."""
    stated = np.full(outcome.units.shape, np.nan) if outcome.propensity is None else outcome.propensity
    return np.where((outcome.trail & PRICE_BITS) > 0, np.nan, stated)


class LogRecorder:
    """Records the decisions of a `rollout`.

    A price that a guardrail changed has no propensity: the probability that the policy stated is
    that of another price.

    Args:
        spec: The market.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.evaluation import LogRecorder, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> recorder = LogRecorder(spec)
        >>> episodes = rollout(spec, named_policy("random", spec), episodes=1, seed=0, watch=recorder)
        >>> recorder.log().to_table().columns[:3].tolist()
        ['market', 'period', 'product']
    """

    def __init__(self, spec: MarketSpec) -> None:
        self._spec = spec
        self._views: list[MarketView] = []
        self._rows: list[tuple[NDArray, ...]] = []
        self._first = 0

    def __call__(self, view: MarketView, outcome: Outcome) -> None:
        """Record one period of one batch of markets."""
        stated = stated_propensity(outcome)
        market = self._first + np.arange(view.num_markets)
        money = getattr(outcome, self._spec.market.objective)
        self._views.append(view)
        self._rows.append((market, outcome.list_price, stated, outcome.units, money))
        if int(view.period[0]) == view.catalogue.horizon - 1:
            self._first += view.num_markets

    def log(self) -> PriceLog:
        """The decisions so far."""
        view = views_together(self._views)
        market, *parts = (np.concatenate(column) for column in zip(*self._rows, strict=True))
        order = np.lexsort((view.period, market))
        parts = [part[order].astype(np.float64) for part in parts]
        return PriceLog(self._spec, market[order], view.take(order), *parts)
