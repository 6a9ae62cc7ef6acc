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
from ..pricing import Catalogue, MarketView
from ..pricing.price_rules.rule_formulas import PRICE_BITS
from ..scenarios import MarketSpec

Array = NDArray[np.float64]

_SEEN = ("list_price", "reference_price", "on_hand", "on_order", "last_units")


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
        columns: dict[str, NDArray] = {
            "market": np.repeat(self.market, products),
            "period": np.repeat(view.period, products),
            "product": np.tile(np.array(self.spec.products.names, dtype=object), decisions),
        }
        columns |= {f"seen_{name}": getattr(view, name).reshape(-1) for name in _SEEN}
        if view.competitor_price is not None:
            columns["seen_competitor_price"] = view.competitor_price.reshape(-1)
        if view.regime is not None:
            names = np.array(view.catalogue.regimes, dtype=object)
            columns["seen_regime"] = np.repeat(names[view.regime], products)
        if view.loyalty is not None:
            for k, segment in enumerate(view.catalogue.segments):
                columns[f"seen_loyalty[{segment}]"] = np.repeat(view.loyalty[:, k], products)
        if view.capacity is not None:
            for name, left in zip(_capacity_columns(self.spec), view.capacity.T, strict=True):
                columns[name] = np.repeat(left, products)
        if view.due is not None:
            due = zip(_due_columns(view.catalogue), view.due.transpose(2, 0, 1), strict=True)
            columns |= {name: units.reshape(-1) for name, units in due}
        if view.changes is not None:
            columns["seen_changes"] = view.changes.reshape(-1)
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
        catalogue, products = catalogue_of(spec), len(spec.products.names)
        loyal = [f"seen_loyalty[{segment}]" for segment in catalogue.segments] if catalogue.loyal else []
        due, shared_stock = _due_columns(catalogue), _capacity_columns(spec)
        table = _ordered(spec, table, loyal + shared_stock)

        def grid(name: str) -> Array:
            values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
            return values.reshape(-1, products)

        def first(name: str) -> NDArray:
            return table[name].to_numpy()[::products]

        regime = None
        if catalogue.regimes:
            regime = pd.Index(list(catalogue.regimes)).get_indexer(pd.Index(first("seen_regime")))
            if (regime < 0).any():
                strange = first("seen_regime")[regime < 0][0]
                raise ValueError(
                    f"log: seen_regime must be one of {', '.join(catalogue.regimes)}; got '{strange}'; log this market"
                )
        period = first("period").astype(np.intp)
        last_units, forecast = grid("seen_last_units"), catalogue.forecast_units[np.maximum(period - 1, 0)]
        view = MarketView(
            catalogue=catalogue,
            period=period,
            **{name: grid(f"seen_{name}").astype(np.float32) for name in _SEEN[:-1]},
            last_units=np.where(np.isnan(last_units), forecast, last_units).astype(np.float32),
            competitor_price=grid("seen_competitor_price").astype(np.float32) if catalogue.rivals else None,
            regime=regime,
            # A state may leave out a loyalty of 1.
            loyalty=np.stack([table[name].fillna(1.0)[::products] for name in loyal], axis=1).astype(np.float32)
            if loyal
            else None,
            changes=grid("seen_changes").astype(np.intp) if catalogue.change_window_periods else None,
            due=np.stack([grid(name) for name in due], axis=2).astype(np.float32) if due else None,
            capacity=np.stack([first(name) for name in shared_stock], axis=1).astype(np.float32)
            if shared_stock
            else None,
        )
        market = first("market").astype(np.int64)
        units = grid("units")
        money = grid("money") if "money" in table else _money(spec, units, grid("price_paid"))
        shared = grid("arm_propensity") if "arm_propensity" in table else None
        return cls(spec, market, view, grid("price"), grid("propensity"), units, money, shared)


def _due_columns(catalogue: Catalogue) -> list[str]:
    return [f"seen_due[{ahead}]" for ahead in range(1, catalogue.due_periods + 1)]


def _capacity_columns(spec: MarketSpec) -> list[str]:
    return [] if spec.capacity is None else [f"seen_capacity[{name}]" for name in spec.capacity.names]


def _money(spec: MarketSpec, units: Array, paid: Array) -> Array:
    """(D, N) objective from units and prices paid (currency per unit), where nothing else counts."""
    if spec.market.objective == "revenue" and spec.returns is None:
        return units * paid
    stock = spec.stock
    due = ("order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value")
    also = [name for name in due if np.any(getattr(stock, name))]
    also += [name for name in ("promotion", "returns", "express") if getattr(spec, name) is not None]
    also += ["units ordered"] if stock.cost_due == "ordered" else []
    if also:
        raise ValueError(
            "log must have a column money where the objective counts more than units, prices and unit costs; got "
            f"{spec.name} with {', '.join(also)} and no such column; add it"
        )
    return units * (paid - spec.products.unit_cost)


def _ordered(spec: MarketSpec, table: pd.DataFrame, common: list[str]) -> pd.DataFrame:
    """The rows sorted by market, period and product. Raises ValueError where it is no log
    of this market. common: further columns that it needs, of what a market's products share.
    """
    catalogue = catalogue_of(spec)
    wanted = ["market", "period", "product", *(f"seen_{name}" for name in _SEEN), "price", "units"]
    wanted.append("price_paid" if "price_paid" in table else "money")
    wanted += ["seen_competitor_price"] * catalogue.rivals + ["seen_regime"] * bool(catalogue.regimes)
    wanted += ["seen_changes"] * bool(catalogue.change_window_periods) + _due_columns(catalogue)
    missing = [name for name in [*wanted, *common] if name not in table]
    if missing:
        raise ValueError(
            f"log must have a column {missing[0]}; got {', '.join(table.columns)}; "
            "write it with repricer simulate --log or repricer log export"
        )
    if "propensity" not in table:
        table = table.assign(propensity=np.nan)
    products = len(spec.products.names)
    order = pd.Index(spec.products.names).get_indexer(pd.Index(table["product"]))
    table = table.assign(product=order).sort_values(["market", "period", "product"])
    codes = table["product"].to_numpy().reshape(-1, products) if len(table) % products == 0 else np.empty((0, 1))
    if len(table) == 0 or not (codes.size == len(table) and (codes == np.arange(products)).all()):
        raise ValueError(
            f"log must have one row for every product of {spec.name} in every market and period; got {len(table)} "
            f"rows of {table['product'].nunique()} known products; log this market"
        )
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
        raise ValueError(
            f"log must be a file that ends in .csv or .parquet; got '{path}'; write it with simulate --log"
        )
    return PriceLog.from_table(spec, pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path))


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
        stated = np.full(outcome.units.shape, np.nan) if outcome.propensity is None else outcome.propensity
        changed = (outcome.trail & PRICE_BITS) > 0
        market = self._first + np.arange(view.num_markets)
        money = getattr(outcome, self._spec.market.objective)
        self._views.append(view)
        self._rows.append((market, outcome.list_price, np.where(changed, np.nan, stated), outcome.units, money))
        if int(view.period[0]) == view.catalogue.horizon - 1:
            self._first += view.num_markets

    def log(self) -> PriceLog:
        """The decisions so far."""
        market = np.concatenate([row[0] for row in self._rows])
        period = np.concatenate([view.period for view in self._views])
        order = np.lexsort((period, market))
        parts = [np.concatenate([row[i] for row in self._rows])[order].astype(np.float64) for i in range(1, 5)]

        def seen(name: str) -> NDArray | None:
            values = [getattr(view, name) for view in self._views]
            return None if values[0] is None else np.concatenate(values)[order]

        names = ("period", *_SEEN, "competitor_price", "regime", "loyalty", "changes", "due", "capacity")
        parts_seen: dict[str, Any] = {name: seen(name) for name in names}
        view = MarketView(catalogue=catalogue_of(self._spec), **parts_seen)
        return PriceLog(self._spec, market[order], view, *parts)
