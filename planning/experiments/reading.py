"""The reading of an experiment: its effects so far, and whether they can be relied on.

What decides a reading is fixed in the plan; here are only the sales. The interval of an effect may be read on any day up to
the planned end, and an experiment may be stopped because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from ...data import Tables
from ...profiles import Segmentation, customer_features
from .designs import DAYS, Design
from .effects import Cells, Path
from .experiment import ARMS, Experiment, Reading, cells_of, elasticity_of
from .store_days import by_week, store_days

Array = NDArray[np.float64]
_PAST_DAYS = 364
# Of a store, the share of calendar prices that must have been charged; of all, that at which an experiment goes on.
_FOLLOWED, _GOES_ON = 0.9, 0.5
_SUSPECT = 0.001


@dataclass(frozen=True)
class Effect:
    """An effect as it is known on the last day read.

    Attributes:
        name: Of what: a category, a group, or all tested products.
        outcome: `units`, `revenue` or `profit`.
        measure: See `Reading`.
        effect: The estimate: an elasticity, or relative to what planned prices sell; NaN before the first look.
        low: Lower end of its interval of 95%, which holds on all looks together.
        high: Upper end.
        since: First day on which the interval left 0 out; None if it never did.
        detectable: The effect that the plan was to find by its end.
    """

    name: str
    outcome: str
    measure: str
    effect: float
    low: float
    high: float
    since: str | None
    detectable: float


@dataclass(frozen=True)
class Check:
    """Whether something speaks against a reading, in one sentence."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class ExperimentReading:
    """What an experiment says so far.

    Attributes:
        days: Days read, of the `planned` ones.
        planned: Planned days.
        last: The last day read.
        stopped: Whether its prices were given up before the planned end.
        effects: The registered readings, in their order.
        checks: What may speak against them.
        lost: What of the experiment was lost, a line each.
        looks: The first reading by look: (T,) estimate, lower and upper end.

    Example:
        >>> ExperimentReading(28, 56, "2024-01-28", False, (), (), (), ((), (), ())).to_dict()["days"]
        28
    """

    days: int
    planned: int
    last: str
    stopped: bool
    effects: tuple[Effect, ...]
    checks: tuple[Check, ...]
    lost: tuple[str, ...]
    looks: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def read_experiment(
    experiment: Experiment,
    tables: Tables,
    *,
    until: date | None = None,
    regions: Mapping[str, str] | None = None,
    segments: Mapping[str, str] | None = None,
    others: Iterable[Experiment] = (),
) -> ExperimentReading:
    """Read an experiment from a shop's sales.

    Args:
        experiment: The experiment.
        tables: The shop's tables, with sales before it and since.
        until: The last day to read; by default the last one in the sales.
        regions: The region of each store, whose stores may take customers from each other.
        segments: The segment of each customer, see `customer_segments`; the first reading is repeated for each.
        others: Other experiments, whose prices may have disturbed it.

    Raises:
        ValueError: The sales do not reach into the experiment, or name none of its stores.
    """
    return _Reader(experiment, tables, until, regions, tuple(others)).read(segments or {})


def customer_segments(tables: Tables, before: date, seed: int = 0) -> dict[str, str]:
    """The segment of each customer by what they bought before a day, as `repricer fit` forms them.

    Args:
        tables: The shop's tables.
        before: First day of an experiment: what it did to customers must not decide their segment.
        seed: Seed of the clustering.

    Raises:
        ValueError: The sales name no customers.
    """
    sales = tables.sales[tables.sales["date"] < pd.Timestamp(before)]
    if "customer" not in sales or sales["customer"].isna().all():
        raise ValueError("segments need sales that name their customers; got none; leave --segments out")
    features = customer_features(sales, products=tables.products, as_of=pd.Timestamp(before))
    found = Segmentation(seed=seed).fit(features)
    return {str(customer): str(name) for customer, name in found.labels_.map(found.summary_["name"]).items()}


class _Reader:
    """The sales of an experiment beside its calendar."""

    def __init__(
        self,
        experiment: Experiment,
        tables: Tables,
        until: date | None,
        regions: Mapping[str, str] | None,
        others: tuple[Experiment, ...],
    ) -> None:
        plan, self.experiment, self.tables = experiment.plan, experiment, tables
        self.plan, self.regions, self.others, self.lost = plan, regions, others, list[str]()
        sold_on = tables.sale_lines(["date"]).select(pl.col("date").dt.date()).unique().collect()["date"].sort()
        last = sold_on[-1]
        if by_week(sold_on.to_physical().to_numpy()):
            last += timedelta(days=DAYS - 1)  # a week is known whole
        end = min(plan.end, (last if until is None else min(until, last)) + timedelta(days=1))
        if end <= plan.first_day:
            must, fix = f"sales must reach into the experiment, which began on {plan.first_day}", "import later sales"
            what, fix = (
                ("their last day", fix) if until is None or until > last else ("the last day to read", "name another")
            )
            raise ValueError(f"{must}; got {last if until is None else min(until, last)} as {what}; {fix}")
        if sold_on[0] > plan.first_day - timedelta(days=DAYS):
            must, fix = "sales must hold a week or more before the experiment", "import the sales of its past, too"
            raise ValueError(f"{must} of {plan.first_day}; got {sold_on[0]} as their first day; {fix}")
        products = [
            *dict.fromkeys([*(product for group in plan.groups for product in group.products), *plan.unit_cost])
        ]
        first = plan.first_day - timedelta(days=_PAST_DAYS)
        sold = store_days(tables, products, first, end)
        there = [store for store in plan.stores if store in sold.indexes["store"]]
        if not there:
            raise ValueError(f"sales must name the stores of the experiment; got none of {', '.join(plan.stores[:3])}")
        if gone := [store for store in plan.stores if store not in there]:
            self.lost.append(f"{_few(gone)} sold nothing and cannot be read")
        known = np.isfinite(sold["units"].to_numpy()).any(axis=(0, 1))
        self.sold = sold.reindex(store=list(plan.stores)).isel(day=slice(int(np.argmax(known)), None))
        self.followed = self._followed()
        stop = self._stop()
        self.stopped = stop < end
        self.sold = self.sold.sel(day=slice(None, pd.Timestamp(stop) - pd.Timedelta(days=1)))
        self.days, self.end = (stop - plan.first_day).days, stop
        self.lost += self._delisted()
        self.used = self._used(there)
        self.design: Design = experiment.design()

    def read(self, segments: Mapping[str, str]) -> ExperimentReading:
        """The reading, with the first effect by segment of customers."""
        first, whole = self.plan.readings[0], self.sold
        looks = self._looks(first)
        effects = [self._effect(reading, reading.name) for reading in self.plan.readings]
        for name in sorted(set(segments.values())):
            self.sold = self._of_segment(whole, [customer for customer, own in segments.items() if own == name])
            effects.append(self._effect(first, f"segment {name}"))
        self.sold = whole
        return ExperimentReading(
            self.days,
            self.design.days,
            str(self.end - timedelta(days=1)),
            self.stopped,
            tuple(effects),
            tuple(self._checks()),
            tuple(self.lost),
            tuple(tuple(ends.tolist()) for ends in looks),  # type: ignore[arg-type]
        )

    def _effect(self, reading: Reading, name: str) -> Effect:
        effect, low, high = self._looks(reading)
        away = np.flatnonzero((low > 0) | (high < 0))
        since = f"{self.plan.first_day + timedelta(days=int(away[0]))}" if len(away) else None
        at = (float(effect[-1]), float(low[-1]), float(high[-1]))
        return Effect(name, reading.outcome, reading.measure, *at, since, reading.power.planning)

    def _looks(self, reading: Reading) -> tuple[Array, Array, Array]:
        """Estimate and interval of each day, in the unit of the measure."""
        path = self._path(reading)
        low, high = self._interval(reading, path)
        if reading.measure != "elasticity":
            return path.effect, low, high
        changes = np.array([group.change for group in self.plan.groups if group.name in reading.groups])
        return elasticity_of(path.effect, changes), elasticity_of(low, changes), elasticity_of(high, changes)

    def _of_segment(self, whole: xr.Dataset, customers: list[str]) -> xr.Dataset:
        """What some customers bought."""
        sales = self.tables.sales[self.tables.sales["customer"].isin(customers)]
        first = pd.Timestamp(whole["day"].to_numpy()[0]).date()
        own = store_days(Tables(sales), list(whole.indexes["product"]), first, self.end)
        return own.reindex_like(whole).fillna(0.0).where(np.isfinite(whole))

    # What was charged, beside the calendar.

    def _followed(self) -> xr.DataArray:
        """(store, product, week) whether the calendar's price was charged, as far as sales tell: 1, 0, or NaN.

        A deal lowers the prices of both arms: what stores in the control arm charge relative to theirs in the same week is
        taken out.
        """
        plan, calendar = self.plan, self.experiment.calendar
        weeks = self.sold.sel(day=slice(pd.Timestamp(plan.first_day), None))
        number = np.arange(weeks.sizes["day"]) // DAYS
        sums = weeks.assign_coords(week=("day", number)).groupby("week").sum("day")
        charged = sums["revenue"] / sums["units"].where(sums["units"] > 0)
        charged = charged.transpose("store", "product", "week").to_series()
        week = (pd.to_datetime(calendar["week"]) - pd.Timestamp(plan.first_day)).dt.days // DAYS
        keys = pd.MultiIndex.from_arrays(
            [calendar["store"], calendar["product"], week], names=["store", "product", "week"]
        )
        rows = calendar.set_index(keys)
        away = np.log(charged.reindex(keys) / rows["price"])
        control = pd.Series(away[rows["arm"] == ARMS[0]]).groupby(level=["product", "week"]).median()
        deal = control.reindex(keys.droplevel("store")).fillna(0.0).to_numpy()
        change = {product: abs(np.log1p(group.change)) for group in plan.groups for product in group.products}
        near = keys.get_level_values("product").map(change).to_numpy() / 2
        kept = pd.Series(np.abs(away - deal) <= near, keys, dtype=float).where(np.isfinite(away))
        return kept.to_xarray().reindex(store=list(plan.stores))

    def _stop(self) -> date:
        """The day after the last week in which at least half of the test prices were charged."""
        calendar, plan = self.experiment.calendar, self.plan
        week = (pd.to_datetime(calendar["week"]) - pd.Timestamp(plan.first_day)).dt.days // DAYS
        keys = pd.MultiIndex.from_arrays([calendar["store"], calendar["product"], week])
        tested = keys[(calendar["arm"] == ARMS[1]).to_numpy()]
        share = self.followed.to_series().reindex(tested).groupby(level=2).mean().dropna()
        going = share.index[share >= _GOES_ON]
        end = pd.Timestamp(self.sold["day"].to_numpy()[-1]).date() + timedelta(days=1)
        if not len(going):
            raise ValueError(
                f"the calendar of {plan.name} was not followed: in no week were half of its test prices charged; "
                "check that these are the sales of its stores and days"
            )
        stop = plan.first_day + timedelta(days=DAYS * (int(going.max()) + 1))
        if len(share) - 1 > going.max():
            self.lost.append(f"its prices were given up after {stop - timedelta(days=1)}; it is read up to then")
        return min(stop, end)

    def _delisted(self) -> Iterable[str]:
        """Tested products that no store sells any more."""
        inside = self.sold["units"].isel(day=slice(-self.days, None)).sum("store").transpose("product", "day")
        for product in (product for group in self.plan.groups for product in group.products):
            days = np.flatnonzero(inside.sel(product=product).to_numpy() > 0)
            last = int(days[-1]) if len(days) else -1
            if self.days - 1 - last >= DAYS:
                since = self.plan.first_day + timedelta(days=last)
                yield f"{product} sold nothing after {since}: effects on its group are read smaller than they are"

    def _used(self, there: list[str]) -> NDArray[np.bool_]:
        """(S,) stores that are read: those that charged the calendar's prices."""
        inside = self.followed.sel(week=slice(0, self.days // DAYS - 1 if self.days >= DAYS else 0))
        share = inside.mean(["product", "week"])
        broken = share.to_numpy() < _FOLLOWED
        if broken.any():
            names = [
                f"{store} ({float(share.sel(store=store)):.0%} of them)" for store in np.array(self.plan.stores)[broken]
            ]
            self.lost.append(
                f"{_few(names)} charged other prices than the calendar's and {'is' if broken.sum() == 1 else 'are'} left "
                f"out; {int((~broken).sum())} of {len(broken)} stores are read"
            )
        return ~broken & np.isin(self.plan.stores, there)

    # The effects.

    def _path(
        self,
        reading: Reading,
        *,
        before: int = 0,
        beside: Array | None = None,
        days: NDArray[np.bool_] | bool = True,
    ) -> Path:
        """The effect by day.

        Args:
            reading: What is read.
            before: With the same arms, so many days earlier, when nothing was tested.
            beside: (U, T) another regressor.
            days: Which days of those that are read otherwise, by unit or for all.
        """
        cells = cells_of(self.plan, reading.measure, reading.groups)
        values = self._values(reading)
        start = values.shape[1] - self.days - before
        past, inside = values[:, :start], values[:, start : start + self.days]
        z, read = cells.regressor(self.design, self._arms)
        used = read[:, : self.days] & (self.used[cells.store] & self._varied(cells))[:, None] & days
        return reading.analysis.path(cells, past, inside, z[:, : self.days] if beside is None else beside, used)

    @property
    def _arms(self) -> NDArray[np.int8]:
        return np.maximum(self.experiment.arms, 0).astype(np.int8)

    def _varied(self, cells: Cells) -> NDArray[np.bool_]:
        """(U,) units whose store varies one of their groups."""
        varied = (self.experiment.arms >= 0).any(axis=2)
        return (np.abs(cells.loading) @ varied)[np.arange(len(cells.store)), cells.store] > 0

    def _interval(self, reading: Reading, path: Path) -> tuple[Array, Array]:
        half = reading.analysis.height * reading.analysis.shape()[: self.days] * path.error
        return path.effect - half, path.effect + half

    def _values(self, reading: Reading) -> Array:
        """(U, H + T) the outcome of the reading's units."""
        plan, sold = self.plan, self.sold
        if reading.measure == "all":
            own = sold.sel(product=list(plan.unit_cost)).transpose("store", "day", "product")
            costs = np.array(list(plan.unit_cost.values())) * (reading.outcome == "profit")
            return (own["revenue"] - own["units"] * costs).sum("product", skipna=False).to_numpy()
        groups = [list(group.products) for group in plan.groups if group.name in reading.groups]
        return np.concatenate(
            [sold["units"].sel(product=own).sum("product", skipna=False).to_numpy() for own in groups]
        )

    # What may speak against them.

    def _checks(self) -> Iterable[Check]:
        yield self._sample_ratio()
        yield self._placebo()
        yield from self._carry_over()
        if self.regions is not None:
            yield self._interference(self.regions)
        yield self._contamination()

    def _sample_ratio(self) -> Check:
        """Whether as many planned store-days of each arm sold as the other's: Fisher's exact test."""
        z, _ = self.design.by_day(self._arms)
        z = z[..., : self.days] > 0
        units = self.sold["units"].to_numpy()[..., -self.days :]
        there = np.broadcast_to(np.isfinite(units).max(axis=1), z.shape)
        counts = np.array([[(z & there).sum(), (z & ~there).sum()], [(~z & there).sum(), (~z & ~there).sum()]])
        p = float(stats.fisher_exact(counts // max(len(self.plan.groups) * DAYS, 1))[1])
        shares = counts[:, 0] / counts.sum(axis=1)
        text = f"stores were open on {shares[0]:.1%} of the days of the test arm, {shares[1]:.1%} of the control arm's"
        return Check("sample ratio", p >= _SUSPECT, f"{text} (p = {p:.2g})")

    def _placebo(self) -> Check:
        """The same arms in the weeks before, where nothing was tested."""
        reading = self.plan.readings[0]
        if self.days < reading.analysis.first_look:
            return Check("placebo weeks", True, "they are tried from the first look on")
        if self.sold.sizes["day"] - 2 * self.days < DAYS:
            return Check("placebo weeks", True, "there are too few weeks before the experiment to try it there")
        path = self._path(reading, before=self.days)
        low, high = (float(ends[-1]) for ends in self._interval(reading, path))
        text = f"the same arms in the {self.days} days before read {path.effect[-1]:+.3g} ({low:+.3g} to {high:+.3g})"
        return Check("placebo weeks", not (low > 0 or high < 0), text)

    def _carry_over(self) -> Iterable[Check]:
        """The effect in the first and the second half of the days that are read in a block."""
        length, plan, reading = self.plan.block_weeks * DAYS, self.plan, self.plan.readings[0]
        day = np.arange(self.days) % length
        early = day < (plan.washout_days + length) / 2
        if self.days < length:
            return
        first, second = (self._path(reading, days=rows) for rows in (early, ~early))
        error = float(np.hypot(first.error[-1], second.error[-1]))
        apart = float(second.effect[-1] - first.effect[-1])
        p = 2 * float(stats.norm.sf(abs(apart) / error))
        text = f"late in a block the effect is {apart:+.3g} from what it is early (p = {p:.2g})"
        yield Check("carry-over", p >= _SUSPECT, text if p >= _SUSPECT else f"{text}: plan longer blocks")

    def _interference(self, regions: Mapping[str, str]) -> Check:
        """Whether stores at planned prices sell more or less where other stores of their region test."""
        region = np.array([regions.get(store, "") for store in self.plan.stores])
        near = (region[:, None] == region) & ~np.eye(len(region), dtype=bool) & (region != "")[:, None]
        reading = self.plan.readings[0]
        cells = cells_of(self.plan, "arm", reading.groups)
        z = cells.regressor(self.design, self._arms)[0][:, : self.days]
        beside = np.zeros_like(z)
        for unit, store in enumerate(cells.store):
            same = near[store, cells.store] & (np.abs(cells.loading - cells.loading[unit]).sum(axis=1) == 0)
            beside[unit] = z[same].mean(axis=0) if same.any() else 0.0
        missing = int((region == "").sum())
        unknown = f"; {missing} of {len(region)} stores have no region" if missing else ""
        path = self._path(msgspec.structs.replace(reading, measure="arm"), beside=beside, days=z == 0)
        slope, error = float(path.effect[-1]), float(path.error[-1])
        if not beside.any() or not np.isfinite(slope):
            return Check("interference", True, f"too few stores test beside others of their region to tell{unknown}")
        p = 2 * float(stats.norm.sf(abs(slope) / error)) if error > 0 else 1.0
        text = (
            f"stores at planned prices sell {slope:+.1%} where all others of their region test (p = {p:.2g}){unknown}"
        )
        return Check("interference", p >= _SUSPECT, text)

    def _contamination(self) -> Check:
        """Other experiments with the same stores, weeks and categories."""
        own = self.experiment.calendar
        for other in self.others:
            same = own.merge(other.calendar[other.calendar["arm"] == ARMS[1]], on=["store", "week", "product"])
            if len(same):
                stores, products = (same[name].nunique() for name in ("store", "product"))
                text = f"{other.plan.name} tested {products} of its products in {stores} of its stores at the same time"
                return Check("contamination", False, text)
        return Check(
            "contamination", True, f"none of {len(self.others)} other experiments touched its stores and weeks"
        )


def _few(names: list[str], most: int = 4) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
