"""Do predictions hold in a real chain? Orange juice of 83 stores: zone prices, held-out weeks, accounts, profit.

`repricer fit --by zone` holds out the last 12 weeks, whose prices are those really charged, so that the proof of each zone
answers all questions. SHOPS_FIT names a folder in which the fit is kept, or found.

Sizes: M posterior draws, S stores, T weeks, N products.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from repricer.envs import expected_units
from repricer.evaluation.uncertainty.by_product import simulated_products
from repricer.evaluation.uncertainty.draws import quantiles
from repricer.pricing.policies import EmptySlots, PricePath
from repricer.scenarios import MarketSpec, load_scenario
from repricer.scenarios.periods import simulated_prices

from .checks import check
from .loop import REPRICER
from .shops_data import folder, juice, juice_tables
from .shops_regression import PooledLogLog, slope_and_error

Array = NDArray[np.float64]
HELD_OUT, LAST = 12, 160
CUT = LAST - HELD_OUT
# In these weeks the chain moved its prices by zones: their spread over stores changed by 3.4%, elsewhere by 1 to 2.5%.
EVENT, BEFORE = 156, (24, 36)
# Weeks of an event and of a placebo; placebos end so many weeks apart.
_WINDOW = LAST - EVENT + 1
_FIRST_PLACEBO = 85
MONTH, DRAWS = 4, 50
# Weeks before all others whose prices are remembered.
_REMEMBERED = 26
Z90 = 1.645


@dataclass(frozen=True)
class ZoneProof:
    """The market of a zone's held-out weeks, and what was sold in them.

    Attributes:
        spec: The market, fitted on the weeks before.
        rows: The zone's sales by store, product and week, of the products in the market.
        price: (T, N) mean prices charged, currency per unit.
        cost: (T, N) mean unit costs of the same weeks.
        units: (T, N) units sold.
        simulated: (R, T, N) units sold at the prices charged, in R runs over posterior draws and customers.
    """

    spec: MarketSpec
    rows: pd.DataFrame
    price: Array
    cost: Array
    units: Array
    simulated: Array

    @property
    def predicted(self) -> Array:
        """(T, N) mean units."""
        return self.simulated.mean(axis=0)

    @property
    def wape(self) -> float:
        """Of the mean prediction, by product and week."""
        return float(np.abs(self.predicted - self.units).sum() / self.units.sum())

    @property
    def bias(self) -> float:
        """Units predicted over units sold, less 1."""
        return float(self.predicted.sum() / self.units.sum() - 1)


def predicted_units(spec: MarketSpec, price: pd.DataFrame, period: int) -> Array:
    """(M, B, N) mean units of a period at prices by store and week, by posterior draw: the one place that asks what a price sells.

    The chain makes the deals, and customers remember its prices. How far a store's are from them is its regular price, which
    its customers are used to, as `repricer.what_if` has it of prices that move in all weeks.
    """
    given, reference = {}, spec.reference_price
    if reference is not None:
        chain = _chain_prices()[list(price.columns)]
        weight = max(1 - reference.memory, 1e-6)
        remembered = chain.shift(1).fillna(chain.iloc[0]).ewm(alpha=weight, adjust=False).mean() / chain
        given["reference"] = price.to_numpy() * remembered.loc[price.index.get_level_values("week")].to_numpy()
    draws = np.linspace(0, spec.num_draws - 1, min(DRAWS, spec.num_draws)).astype(int)
    return np.stack([expected_units(spec.draw(int(m)), period, price.to_numpy(), **given).sum(axis=1) for m in draws])


@functools.cache
def _chain_prices() -> pd.DataFrame:
    """By week and product, the geometric mean over all stores."""
    logs = juice().assign(price=lambda rows: np.log(rows["price"]))
    return np.exp(logs.pivot_table(index="week", columns="product", values="price"))


def simulated_units(spec: MarketSpec, price: Array) -> Array:
    """(R, T, N) units along (T, N) prices: the one place that asks for a course of prices, as the account of a cycle does."""
    path = PricePath(simulated_prices(spec, price).astype(np.float32), None, name="charged", as_charged=True)
    units = simulated_products(spec, EmptySlots(path))[0][0]
    return units.reshape(-1, *price.shape).astype(np.float64)


@functools.cache
def fit_folder() -> Path:
    """The fit of all zones, by the command, with the last weeks held out."""
    out = Path(os.environ.get("SHOPS_FIT") or folder() / "zones")
    if not (out / "zones.json").exists():
        tables = juice_tables(juice(), "juice")
        how = ["--by", "zone", "--categories", "1", "--per-category", "11", "--holdout", str(HELD_OUT)]
        subprocess.run([*REPRICER, "fit", str(tables), *how, "--out", str(out)], check=True, capture_output=True)
    return out


@functools.cache
def zones() -> dict[str, ZoneProof]:
    """Every zone's proof."""
    stores, rows = json.loads((fit_folder() / "zones.json").read_text(encoding="utf-8")), juice()
    return {name: proof_of(fit_folder() / name, rows[rows["store"].isin(of)], CUT) for name, of in stores.items()}


def proof_of(fit: Path, rows: pd.DataFrame, cut: int) -> ZoneProof:
    """The proof in a fit's folder.

    Args:
        fit: The folder.
        rows: Sales by store, product and week: `units`, `price`, `cost`.
        cut: The last week of the fit.
    """
    spec = load_scenario(str(fit / "proof"))
    ids = list(spec.products.ids)
    rows = rows[rows["product"].isin(ids)]
    late = rows[rows["week"] > cut]
    sums = late.assign(price=late["price"] * late["units"], cost=late["cost"] * late["units"])
    sums = sums.groupby(["week", "product"])[["units", "price", "cost"]].sum().unstack()
    units, price, cost = (sums[column][ids].to_numpy(float) for column in ("units", "price", "cost"))
    price, cost = price / units, cost / units
    return ZoneProof(spec, rows, price, cost, units, simulated_units(spec, price))


@functools.cache
def yardstick() -> PooledLogLog:
    """The regression of a quick analyst, on the same products and stores."""
    return PooledLogLog(pd.concat([zone.rows for zone in zones().values()]), CUT)


# (a) Zone prices.


def _changes(values: pd.Series, after: tuple[int, int], weeks_before: int) -> pd.Series:
    """By store, the mean over the weeks after less that over the weeks before, each week against the chain's mean."""
    table = values.unstack("week")
    table = table - table.mean()
    first, last = after
    before = table.loc[:, first - weeks_before : first - 1].mean(axis=1)
    return table.loc[:, first:last].mean(axis=1) - before


@functools.cache
def _store_weeks() -> pd.DataFrame:
    """By store and week: log price index, log units, and by posterior draw the log units of the zone's market."""
    index, sold, drawn = [], [], []
    weights = yardstick().weights
    for zone in zones().values():
        ids = list(zone.spec.products.ids)
        table = zone.rows[zone.rows["week"] >= EVENT - max(BEFORE) - _REMEMBERED].pivot(
            index=["store", "week"], columns="product", values=["price", "units"]
        )
        price = table["price"][ids]
        index.append(pd.Series(np.log(price.to_numpy()) @ weights[ids].to_numpy(), table.index))
        sold.append(np.log(table["units"][ids].sum(axis=1)))
        # All at one week's demand: what differs between weeks and stores are the prices.
        at_prices = predicted_units(zone.spec, price, EVENT - CUT - 1)
        drawn.append(pd.DataFrame(np.log(at_prices.sum(axis=2)).T, table.index))
    found = pd.concat(drawn).add_prefix("draw-")
    return found.assign(index=pd.concat(index), sold=pd.concat(sold))


def _placebos(moved: pd.Series, weeks_before: int) -> float:
    """Standard deviation of the answer in earlier weeks to price moves that were still to come.

    The moves of those weeks themselves are held constant.
    """
    rows, weights = yardstick().rows, yardstick().weights
    log = (np.log(rows["price"]) * rows["product"].map(weights)).groupby([rows["store"], rows["week"]]).sum()
    sold = np.log(rows.groupby(["store", "week"])["units"].sum())
    slopes = []
    for last in range(EVENT - 1, _FIRST_PLACEBO, -_WINDOW):
        after = (last - _WINDOW + 1, last)
        own, answer = (_changes(values, after, weeks_before) for values in (log, sold))
        slopes.append(slope_and_error(answer, pd.DataFrame({"moved": moved, "own": own}))[0])
    return float(np.std(slopes, ddof=1))


@functools.cache
def zone_moves() -> dict[int, dict[str, float]]:
    """By number of weeks before: realised and predicted slopes of units on prices over stores, and their errors."""
    found = {}
    for weeks in BEFORE:
        by_store = _store_weeks().apply(_changes, after=(EVENT, LAST), weeks_before=weeks)
        moved = by_store.pop("index")
        realised, error = slope_and_error(by_store.pop("sold"), moved.to_frame())
        draws = np.array([slope_and_error(by_store[name], moved.to_frame())[0] for name in by_store])
        row = {
            "realised": realised,
            "error": error,
            "predicted": float(draws.mean()),
            "spread": float(draws.std(ddof=1)),
            "placebos": _placebos(moved, weeks),
        }
        row["combined"] = float(np.sqrt(row["error"] ** 2 + row["spread"] ** 2 + row["placebos"] ** 2))
        found[weeks] = row
        print(
            f"  weeks {EVENT} to {LAST} against {weeks} before: realised {realised:.2f} (s.e. {error:.2f}), predicted "
            f"{row['predicted']:.2f} (s.e. {row['spread']:.2f}), placebos' spread {row['placebos']:.2f}"
        )
    return found


@check("shops", "orange juice, zone price moves: predicted less realised slope, in standard errors", "<=", 1.64)
def zone_slope() -> float:
    return max(abs(row["predicted"] - row["realised"]) / row["combined"] for row in zone_moves().values())


@check("shops", "orange juice, zone price moves: lowest predicted slope", ">=", -1.0)
def zone_slope_low() -> float:
    return min(row["predicted"] for row in zone_moves().values())


@check("shops", "orange juice, zone price moves: highest predicted slope", "<=", 0.2)
def zone_slope_high() -> float:
    return max(row["predicted"] for row in zone_moves().values())


# (b) The last weeks, held out, at the prices really charged.


def _over_zones(figure: Callable[[ZoneProof], float]) -> Array:
    return np.array([figure(zone) for zone in zones().values()])


@functools.cache
def errors() -> pd.DataFrame:
    """By zone: WAPE and bias of the proof and of the regression."""
    found = pd.DataFrame({"wape": _over_zones(lambda zone: zone.wape), "bias": _over_zones(lambda zone: zone.bias)})
    found.index = pd.Index(zones())
    for name, zone in zones().items():
        there = yardstick().predicted(zone.rows)
        found.loc[name, "regression"] = float((there["units"] - there["predicted"]).abs().sum() / there["units"].sum())
        found.loc[name, "regression_bias"] = float(there["predicted"].sum() / there["units"].sum() - 1)
    print(found.round(3).to_string())
    return found


@check("shops", "orange juice, 12 held-out weeks: mean WAPE over zones, over that of a pooled regression", "<=", 1.0)
def wape() -> float:
    return float(errors()["wape"].mean() / errors()["regression"].mean())


@check("shops", "orange juice, 12 held-out weeks: WAPE over that of a pooled regression, worst zone", "<=", 1.05)
def worst_wape() -> float:
    return float((errors()["wape"] / errors()["regression"]).max())


@check("shops", "orange juice, 12 held-out weeks: median absolute bias over zones", "<=", 0.06)
def bias() -> float:
    return float(errors()["bias"].abs().median())


def pooled_slope(proofs: Iterable[ZoneProof]) -> tuple[float, float]:
    """Of log units on predicted log units, by zone and product, and its standard error; errors cluster by product and week, as
    deals do.
    """
    rows, clusters = [], list[str]()
    for proof in proofs:
        pair = [np.log(np.maximum(part, 0.5)) for part in (proof.units, proof.predicted)]
        rows.append([(part - part.mean(axis=0)).ravel() for part in pair])
        clusters += [f"{product} {week}" for week in range(len(proof.units)) for product in proof.spec.products.ids]
    sold, expected = np.concatenate(rows, axis=1)
    found, error = slope_and_error(pd.Series(sold), pd.DataFrame({"expected": expected}), clusters)
    print(f"  slope {found:.2f} (s.e. {error:.2f})")
    return found, error


@check(
    "shops",
    "orange juice, 12 held-out weeks: distance of the pooled slope from 1, in half-widths of its 90% interval",
    "<=",
    1,
)
def slope_in_errors() -> float:
    found, error = pooled_slope(zones().values())
    return abs(found - 1) / (Z90 * error)


@check("shops", "orange juice, 12 held-out weeks: distance of the pooled slope from 1", "<=", 0.15)
def slope() -> float:
    return abs(pooled_slope(zones().values())[0] - 1)


# (c) Accounts of four weeks.


@functools.cache
def accounts() -> list[bool]:
    """Whether the revenue of each zone's four weeks lies inside its 90% interval, which is that of the account."""
    inside = []
    for zone in zones().values():
        for first in range(0, HELD_OUT, MONTH):
            month = slice(first, first + MONTH)
            low, high = quantiles((zone.simulated * zone.price)[:, month].sum(axis=(1, 2)))
            inside.append(low <= (zone.units * zone.price)[month].sum() <= high)
    return inside


@check("shops", "orange juice, four weeks' revenue by zone: share inside the 90% intervals", ">=", 0.75)
def accounts_inside() -> float:
    return float(np.mean(accounts()))


@check("shops", "orange juice, four weeks' revenue by zone: share inside the 90% intervals, upper limit", "<=", 0.97)
def accounts_not_too_wide() -> float:
    return float(np.mean(accounts()))


# (d) Profit.


@check(
    "shops",
    "orange juice, 12 held-out weeks: profit predicted at the prices and costs of these weeks, distance from that earned",
    "<=",
    0.08,
)
def profit() -> float:
    earned = _over_zones(lambda zone: float(((zone.price - zone.cost) * zone.units).sum()))
    expected = _over_zones(lambda zone: float(((zone.price - zone.cost) * zone.predicted).sum()))
    print(
        f"  earned {earned.sum():,.0f}, predicted {expected.sum():,.0f}; by zone {np.round(expected / earned - 1, 2).tolist()}"
    )
    return abs(float(expected.sum() / earned.sum()) - 1)
