"""Would a manager sign the list? Orange juice of 83 stores, fitted by zone on the weeks before the last twelve, with defaults.

LISTS_FIT names a folder in which the fit is kept, or found. No agent learns here: the candidates are the plan and small steps.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import repricer
from numpy.typing import NDArray
from repricer.agents.posterior.deals import PlanValue
from repricer.evaluation.uncertainty import Assessment, chain_gain, plan_beside_past
from repricer.planning.price_list import proposed_rows
from repricer.pricing.planned_deals import deals_in
from repricer.scenarios import MarketSpec, load_scenario
from repricer.scenarios.periods import planned_prices
from repricer.scenarios.planned_deals import course_of, stated_deals

from .checks import check
from .loop import REPRICER
from .shops import CUT, HELD_OUT, Z90
from .shops_data import folder, juice, juice_tables

Array = NDArray[np.float64]
_STEP, _CENT = 0.05, 0.0101
_SINGLE = 5e-6
"""What single precision of the planned prices, to which a deal is compared, does to units."""
_DRAWS, _EPISODES = 60, 50


@dataclass(frozen=True)
class ZoneList:
    """A zone's list.

    Attributes:
        spec: The market of the weeks after the cut.
        found: What is recommended, and why.
        price: (T, N) the list's prices, currency per unit.
        stores: Names of the zone's stores.
    """

    spec: MarketSpec
    found: Assessment
    price: Array
    stores: tuple[str, ...]

    @property
    def planned(self) -> Array:
        """(T, N) the prices that are planned anyway."""
        return planned_prices(self.spec)


@functools.cache
def fit_folder() -> Path:
    """All zones, fitted by the command on the weeks up to the cut, with defaults."""
    out = Path(os.environ.get("LISTS_FIT") or folder() / "list-zones")
    if not (out / "zones.json").exists():
        tables = juice_tables(juice()[juice()["week"] <= CUT], "list-juice")
        how = ["--by", "zone", "--categories", "1", "--per-category", "11", "--weeks", str(HELD_OUT)]
        subprocess.run([*REPRICER, "fit", str(tables), *how, "--out", str(out)], check=True, capture_output=True)
    return out


@functools.cache
def lists() -> dict[str, ZoneList]:
    """Every zone's list."""
    stores = json.loads((fit_folder() / "zones.json").read_text(encoding="utf-8"))
    found = {name: _list_of(name, tuple(of)) for name, of in stores.items()}
    for name, one in found.items():
        gain, bounds = one.found.relative_gain, one.found.at_bounds
        words = "no change" if gain is None else "{:+.1%} [{:+.1%}, {:+.1%}]".format(*gain)
        print(f"  {name}: {words}; {'' if bounds is None else bounds.words()}")
    return found


def _list_of(name: str, stores: tuple[str, ...]) -> ZoneList:
    spec = load_scenario(str(fit_folder() / name))
    found = repricer.evaluate(spec, [], episodes=_EPISODES, draws=_DRAWS).uncertainty
    assert found is not None, "a fitted market has a posterior"
    shape = planned_prices(spec).shape
    rows = proposed_rows(found)
    price = np.array([row.new_price for row in rows]).reshape(shape[::-1]).T
    return ZoneList(spec, found, price, stores)


def _past_rows(name: str) -> list[float]:
    """Profit beside the booked one, less 1, of the last weeks and of the same a year ago."""
    one = lists()[name]
    shown, found = plan_beside_past(one.spec), []
    rows = juice()
    own = rows[rows["store"].isin(one.stores) & rows["product"].isin(one.spec.products.ids)]
    for row, last in zip(shown[1:3], (CUT, CUT + HELD_OUT - 52), strict=True):
        part = own[own["week"].between(last - HELD_OUT + 1, last)]
        booked = ((part["price"] - part["cost"]) * part["units"]).sum()
        found.append(row["profit"] / booked - 1)
    return found


@check(
    "lists",
    "orange juice: profit of past weeks beside the books, largest difference over zones and both rows",
    "<=",
    0.01,
)
def past_profit() -> float:
    apart = {name: _past_rows(name) for name in lists()}
    print("\n".join(f"  {name}: last {last:+.2%}, a year ago {ago:+.2%}" for name, (last, ago) in apart.items()))
    return float(np.abs(list(apart.values())).max())


def _regular_moves(one: ZoneList) -> Array:
    """Relative moves of the prices that are no deals, in the plan or in the list."""
    deal = stated_deals(one.spec, one.price)
    steady = ~deal if deal is not None else np.ones(one.price.shape, bool)
    regular = deals_in(one.planned, one.spec.products.regular_price).regular
    return np.abs(one.price[steady] - regular[steady]) - _CENT - _STEP * regular[steady]


@check("lists", "orange juice: regular prices moved by more than 5%", "==", 0)
def large_moves() -> float:
    return sum(int((_regular_moves(one) > 0).sum()) for one in lists().values())


@check("lists", "orange juice: share of prices at a bound other than the step", "<=", 0.10)
def at_bounds() -> float:
    marks = [bounds for one in lists().values() if (bounds := one.found.at_bounds) is not None]
    total = sum(one.price.size for one in lists().values())
    print(f"  {sum(mark.at_step or 0 for mark in marks)} of {total} prices stand at the step")
    return sum(mark.elsewhere for mark in marks) / total


@check("lists", "orange juice: share of planned deals that are kept or moved", ">=", 0.80)
def deals_kept() -> float:
    planned, kept = 0, 0
    for one in lists().values():
        before = deals_in(one.planned, one.spec.products.regular_price).on_deal
        after = stated_deals(one.spec, one.price)
        planned += before.sum()
        kept += np.minimum(before.sum(axis=0), (before if after is None else after).sum(axis=0)).sum()
    return float(kept / max(planned, 1))


@check("lists", "orange juice: markets of 11 zones and 19 draws in which dearer regular prices sell more", "==", 0)
def odd_responses() -> float:
    """Deals are kept: neither the category over the plan, nor a product in a week in which it alone is dearer."""
    count = 0
    for one in lists().values():
        draws = np.linspace(0, one.spec.num_draws - 1, 19).round().astype(int)
        count += sum(_sells_more(PlanValue(one.spec, recommended=False, draws=[int(m)])) for m in draws)
    return count


def _sells_more(value: PlanValue) -> bool:
    """Whether 5% dearer regular prices sell more in a market."""
    plan = value.planned
    before = value.units(plan)
    dearer = np.where(plan.deal, plan.price, (1 + _STEP) * plan.price)
    if value.units(plan._replace(price=dearer)).sum() > before.sum():
        return True
    products = np.arange(plan.price.shape[1])
    alone = np.stack([value.units(plan._replace(price=np.where(products == n, dearer, plan.price))) for n in products])
    own = alone[products, :, products].T
    return bool((own > before * (1 + _SINGLE)).any())


def _gains() -> dict[str, tuple[float, float, float]]:
    return {name: gain for name, one in lists().items() if (gain := one.found.relative_gain) is not None}


@check("lists", "orange juice: zones with a change", ">=", 6)
def changed_zones() -> float:
    return len(_gains())


@check("lists", "orange juice: predicted gains below 0 or above 15%, of all zones", "==", 0)
def odd_gains() -> float:
    return sum(not 0 <= mean <= 0.15 for mean, *_ in _gains().values())


class PooledRegression:
    """Log units on own log price and log price index of the category, with effects of store-products and product-weeks.

    The week of a product takes up what the whole chain did in it, so that what is left is one store beside another.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        revenue = (rows["price"] * rows["units"]).groupby(rows["product"]).sum()
        self.weights = revenue / revenue.sum()
        log = np.log(rows["price"])
        index = (log * rows["product"].map(self.weights)).groupby([rows["store"], rows["week"]]).transform("sum")
        table = pd.DataFrame({"units": np.log(rows["units"]), "price": log, "index": index})
        groups = [[rows["store"], rows["product"]], [rows["product"], rows["week"]]]
        for _ in range(30):  # alternating projections on both sets of effects (Gaure 2013)
            for group in groups:
                table = table - table.groupby(group).transform("mean")
        causes = table[["price", "index"]].to_numpy()
        inverse = np.linalg.inv(causes.T @ causes)
        self.slopes = inverse @ causes.T @ table["units"].to_numpy()
        scores = pd.DataFrame(causes * (table["units"].to_numpy() - causes @ self.slopes)[:, None])
        summed = scores.groupby(rows["store"].to_numpy()).sum().to_numpy()
        self.covariance = inverse @ summed.T @ summed @ inverse

    def gain(self, units: pd.Series, margin: pd.Series, change: pd.Series) -> tuple[float, float]:
        """What a list earns more than the plan, and its standard error, by the delta method.

        Args:
            units: At the planned prices, by store group, product and week.
            margin: (2 columns) planned price less cost, and new price less cost.
            change: Log of new over planned prices.
        """
        index = (
            (change * change.index.get_level_values("product").map(self.weights))
            .groupby(["zone", "week"])
            .transform("sum")
        )
        causes = np.column_stack([change, index])
        sold = units.to_numpy() * np.exp(causes @ self.slopes)
        earned = margin["new"].to_numpy() * sold
        own = float((margin["planned"].to_numpy() * units.to_numpy()).sum())
        slope = (earned[:, None] * causes).sum(axis=0) / own
        return float(earned.sum() / own - 1), float(np.sqrt(slope @ self.covariance @ slope))


@functools.cache
def chain_gains() -> tuple[float, float, float, float]:
    """The chain's relative gain by the regression and as predicted, each with its standard error; that of the prediction
    counts what zones share, as the draws of their response do.
    """
    rows = juice()[juice()["week"] <= CUT]
    regression = PooledRegression(rows[rows["units"] > 0])
    parts = []
    for name, one in lists().items():
        spec, horizon = one.spec, range(len(one.price))
        at = pd.MultiIndex.from_product([[name], horizon, spec.products.ids], names=["zone", "week", "product"])
        assert spec.plan is not None
        columns = {"units": _planned_units(one), "planned": one.planned, "price": one.price}
        columns["cost"] = spec.products.unit_cost - course_of(spec, one.planned).funding
        columns["new_cost"] = (
            spec.products.unit_cost - course_of(spec, one.price, stated_deals(spec, one.price)).funding
        )
        parts.append(pd.DataFrame({key: value.ravel() for key, value in columns.items()}, at))
    table = pd.concat(parts)
    margin = pd.DataFrame({"planned": table["planned"] - table["cost"], "new": table["price"] - table["new_cost"]})
    found, error = regression.gain(table["units"], margin, np.log(table["price"] / table["planned"]))
    zones = [gain for one in lists().values() if (gain := one.found.zone_gain) is not None]
    together = chain_gain(zones)
    assert together is not None, "all zones are judged under the same draws"
    predicted, low, high = together
    own, base = (high - low) / (2 * Z90), sum(zone.base for zone in zones)
    apart = np.linalg.norm([zone.base / base * np.std(zone.draws) for zone in zones])
    print(f"  slopes {regression.slopes.round(2)}; by regression {found:+.2%} ({error:.2%})")
    print(f"  predicted {predicted:+.2%} ({own:.2%}; {apart:.2%} if zones shared no response)")
    return found, error, predicted, own


def _planned_units(one: ZoneList) -> Array:
    """(T, N) mean units at the planned prices."""
    value = PlanValue(one.spec, recommended=False)
    return value.units(value.planned)


@check("lists", "orange juice: the chain's gain by a pooled regression, in its standard errors", ">=", 1.64)
def gain_by_regression() -> float:
    found, error, *_ = chain_gains()
    return found / error


@check("lists", "orange juice: gain predicted less that by regression, in combined standard errors", "<=", 1.64)
def gains_apart() -> float:
    found, error, predicted, own = chain_gains()
    return abs(predicted - found) / float(np.hypot(error, own))
