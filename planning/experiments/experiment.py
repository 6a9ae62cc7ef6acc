"""An experiment in its folder: what is varied where and when, and how it will be read, fixed by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xarray as xr
from msgspec import Struct
from numpy.typing import NDArray

from ...atomic import whole_folder
from .designs import DAYS, Design
from .effects import Analysis, Cells, Power

PLAN = "plan.json"
CALENDAR = "calendar.csv"
VERSION = 1
ARMS = ("control", "test")
# Elasticity at which the regression of units on prices is linear.
_USUAL = -2.0


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """Products whose prices are varied together.

    Attributes:
        name: Its name.
        category: The category of its products.
        products: Their ids.
        change: Test price over planned price, less 1; the mean where rounding makes it differ.
        share: Its share of the money that the tested products of all groups earn at planned prices.
    """

    name: str
    category: str
    products: tuple[str, ...]
    change: float
    share: float


class Reading(Struct, frozen=True, forbid_unknown_fields=True):
    """An effect that the experiment will read, and how.

    Attributes:
        name: Of what: a category, a group, or all tested products.
        outcome: `units`, `revenue` or `profit`.
        measure: `elasticity`, of units in the price; `arm`, the effect of a group's test price on its units; `all`, that of
            all test prices together, against none, on the money of all products of their categories.
        groups: Names of the groups that it is of.
        analysis: How it is read.
        power: What it can find, in the unit of the measure.
    """

    name: str
    outcome: str
    measure: str
    groups: tuple[str, ...]
    analysis: Analysis
    power: Power


class PlannedExperiment(Struct, frozen=True, forbid_unknown_fields=True):
    """What an experiment is.

    Attributes:
        name: Of the experiment.
        market: Name of the fitted market that it was planned in.
        first_day: First day of its first week.
        design: One of `designs.DESIGNS`.
        blocks: Number of blocks.
        block_weeks: Weeks of a block.
        washout_days: First days after a change of price, which are not read.
        seed: Of the assignment.
        stores: Names of the stores.
        groups: What is varied.
        readings: What is read, and how; fixed before the first day.
        unit_cost: Unit cost of each product of the tested categories, by id, currency.
        calendar: SHA-256 of the calendar.
        worth: What the experiment is expected to earn and to cost, see `value`; nothing of it decides what is done.
        stopping: When it ends, in words.
        first_look: Day from which on it may be looked at.
        loss_limit: Loss against the planned prices, currency, beyond which it ends early.
        left_out: Why each other product is not tested.
        warnings: What speaks against its prices, a line each.
        choice: `best`, or `random`.
        currency: Unit of money.
        vat: Value added tax in the prices of those that have any, by id, a share of the price without it.
        version: Of this format.
    """

    name: str
    market: str
    first_day: date
    design: str
    blocks: int
    block_weeks: int
    washout_days: int
    seed: int
    stores: tuple[str, ...]
    groups: tuple[Group, ...]
    readings: tuple[Reading, ...]
    unit_cost: dict[str, float]
    calendar: str
    worth: dict[str, Any]
    stopping: str
    first_look: date
    loss_limit: float
    left_out: dict[str, str]
    warnings: tuple[str, ...] = ()
    choice: str = "best"
    currency: str = "currency"
    vat: dict[str, float] = {}
    version: int = VERSION

    @property
    def weeks(self) -> int:
        """Weeks of the experiment."""
        return self.blocks * self.block_weeks

    @property
    def end(self) -> date:
        """The day after its last."""
        return self.first_day + timedelta(days=DAYS * self.weeks)

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what is done and how it is read, but not of what it is expected to be worth."""
        fixed = msgspec.to_builtins(msgspec.structs.replace(self, worth={}, left_out={}, warnings=()))
        if not self.vat:  # plans of earlier versions have none
            del fixed["vat"]
        return hashlib.sha256(msgspec.json.encode(fixed, order="sorted")).hexdigest()


@dataclass(frozen=True)
class Experiment:
    """A plan with its calendar.

    Attributes:
        plan: The plan.
        calendar: A row per store, week and product: `store`, `week` (first day), `product`, `group`, `arm`, `price`,
            `planned_price` (currency per unit).

    Example:
        >>> load_experiment(Path("experiments/autumn")).plan.weeks  # doctest: +SKIP
        8
    """

    plan: PlannedExperiment
    calendar: pd.DataFrame

    def __repr__(self) -> str:
        plan = self.plan
        size = f"{len(plan.groups)} groups in {len(plan.stores)} stores"
        return f"Experiment({plan.name}, {plan.design}, {plan.weeks} weeks from {plan.first_day}, {size})"

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data for JSON, with its `sha256`."""
        return msgspec.to_builtins(self.plan) | {"sha256": self.plan.digest}

    def to_frame(self) -> pd.DataFrame:
        """The calendar."""
        return self.calendar

    @property
    def arms(self) -> NDArray[np.int8]:
        """(G, S, B) arm of each group, store and block, 1 for the test price; -1 where a group is not varied in a store."""
        plan = self.plan
        starts = [pd.Timestamp(plan.first_day) + pd.Timedelta(weeks=plan.block_weeks * b) for b in range(plan.blocks)]
        wide = self.calendar.assign(arm=self.calendar["arm"] == ARMS[1]).pivot_table(
            index=["group", "store"], columns="week", values="arm", aggfunc="max"
        )
        rows = pd.MultiIndex.from_product([[group.name for group in plan.groups], plan.stores])
        arms = wide.reindex(index=rows, columns=starts).astype(float).fillna(-1).to_numpy(dtype=np.int8)
        return arms.reshape(len(plan.groups), len(plan.stores), plan.blocks)

    @property
    def design(self) -> Design:
        """What is read when; how arms are drawn takes the past of the stores."""
        plan = self.plan
        return Design(plan.design, plan.blocks, plan.block_weeks, plan.washout_days, np.zeros((len(plan.stores), 1)))

    def save(self, folder: str | Path, pictures: Mapping[str, bytes] | None = None) -> None:
        """Write the plan, the calendar and pictures into a new folder; all of it or nothing.

        Args:
            folder: The folder.
            pictures: More files, by name.

        Raises:
            ValueError: There is a plan already.
        """
        folder = Path(folder)
        if (folder / PLAN).exists():
            must = "an experiment that was planned is not planned again"
            raise ValueError(f"{must}; got {folder}; choose another folder, or delete this one")
        with whole_folder(folder) as fresh:
            self.calendar.to_csv(fresh / CALENDAR, index=False, lineterminator="\n")
            facts = self.to_dict()
            (fresh / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
            for name, content in (pictures or {}).items():
                (fresh / name).write_bytes(content)


def cells_of(plan: PlannedExperiment, measure: str, names: Collection[str]) -> Cells:
    """The units that a reading is of.

    Args:
        plan: The plan.
        measure: What is measured, see `Reading`.
        names: Names of the groups that it is of; the loadings are those of these alone, in the order of the plan.
    """
    share, change = np.array([(one.share, one.change) for one in plan.groups if one.name in names]).T
    if measure == "all":
        return Cells.of_stores(len(plan.stores), share / share.sum())
    return Cells.of_groups(len(plan.stores), _usual(change) if measure == "elasticity" else np.ones(len(change)))


def outcomes_of(
    plan: PlannedExperiment, sold: xr.Dataset, outcome: str, measure: str, names: Collection[str]
) -> NDArray[np.float64]:
    """(U, T) units or money by day of the units of `cells_of`, NaN while a store is closed.

    Args:
        plan: The plan.
        sold: Units and revenue, see `store_days`.
        outcome: `units`, `revenue` or `profit`.
        measure: What is measured, see `Reading`.
        names: Names of the groups that it is of.
    """
    if measure != "all":
        own = [sold["units"].sel(product=list(one.products)) for one in plan.groups if one.name in names]
        return np.concatenate([units.sum("product", skipna=False).to_numpy() for units in own])
    own = sold.sel(product=list(plan.unit_cost))
    cost = xr.DataArray(list(plan.unit_cost.values()), dims="product") * (outcome == "profit")
    vat = xr.DataArray([plan.vat.get(product, 0.0) for product in plan.unit_cost], dims="product")
    return (own["revenue"] / (1 + vat) - own["units"] * cost).sum("product", skipna=False).to_numpy()


def _usual(change: NDArray[np.float64]) -> NDArray[np.float64]:
    return (np.exp(_USUAL * np.log1p(change)) - 1) / _USUAL


def elasticity_of(slope: NDArray[np.float64], changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The elasticity that a slope of the measure `elasticity` means, the mean over the groups.

    Units are regressed on what a usual elasticity makes of a test price, so that neither large changes nor changes of both
    signs bias it.

    Args:
        slope: (…) slopes.
        changes: (G,) relative changes of the prices.

    Example:
        >>> elasticity_of(np.array([0.0, -2.0]), np.array([0.2, -0.1])).round(6).tolist()
        [0.0, -2.0]
    """
    return (np.log(np.maximum(1 + slope[..., None] * _usual(changes), 1e-6)) / np.log1p(changes)).mean(axis=-1)


def calendar_digest(calendar: pd.DataFrame) -> str:
    """SHA-256 of a calendar as its file holds it."""
    return hashlib.sha256(calendar.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def load_experiment(folder: str | Path) -> Experiment:
    """Read an experiment.

    Args:
        folder: A folder that `repricer experiment plan` wrote.

    Raises:
        ValueError: One line, where there is no experiment, or its plan or calendar was changed.

    Example:
        >>> load_experiment(Path("nowhere"))
        Traceback (most recent call last):
            ...
        ValueError: an experiment must be a folder with plan.json and calendar.csv; got nowhere; write one with repricer experiment plan
    """
    folder = Path(folder)
    try:
        data = (folder / PLAN).read_bytes()
        text = (folder / CALENDAR).read_text(encoding="utf-8")
    except FileNotFoundError:
        must = f"an experiment must be a folder with {PLAN} and {CALENDAR}"
        raise ValueError(f"{must}; got {folder}; write one with repricer experiment plan") from None
    try:
        facts = msgspec.json.decode(data, type=dict[str, Any])
        digest = facts.pop("sha256", None)
        plan = msgspec.convert(facts, PlannedExperiment)
    except msgspec.DecodeError as error:
        raise ValueError(f"{folder / PLAN} must be an experiment's plan; got: {error}; plan it anew") from None
    whole = {PLAN: digest == plan.digest, CALENDAR: hashlib.sha256(text.encode()).hexdigest() == plan.calendar}
    for name in (name for name, same in whole.items() if not same):
        must = f"{folder / name} must be the one that was planned"
        raise ValueError(f"{must}; got one that was changed; restore it, or plan another experiment")
    names = {"store": str, "product": str, "group": str}
    return Experiment(plan, pd.read_csv(folder / CALENDAR, dtype=names, parse_dates=["week"]))
