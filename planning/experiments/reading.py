"""The reading of an experiment: its effects so far, and whether they can be relied on.

What decides a reading is fixed in the plan; here are only the sales. The interval of an effect may be read on any day up to
the planned end, and an experiment may be stopped because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from .designs import DAYS
from .effects import Cells, Path
from .experiment import ARMS, Experiment, Reading, cells_of, elasticity_of, outcomes_of
from .store_days import by_week, store_days

Array = NDArray[np.float64]
_PAST_DAYS = 364
# Of a store, the share of calendar prices that must have been charged; of all, that at which an experiment goes on.
_FOLLOWED = 0.9
_GOES_ON = 0.5
_SUSPECT = 0.001


@dataclass(frozen=True)
class MeasuredEffect:
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
class ReadingCheck:
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
        loss: What the test prices have lost so far against the planned ones, currency, with the ends of its interval; None
            before the first look, or where money is not read.
        limit: The loss above which the experiment is to be stopped.

    Example:
        >>> ExperimentReading(28, 56, "2024-01-28", False, (), (), (), ((), (), ()), None, 9.0).stop
        False
    """

    days: int
    planned: int
    last: str
    stopped: bool
    effects: tuple[MeasuredEffect, ...]
    checks: tuple[ReadingCheck, ...]
    lost: tuple[str, ...]
    looks: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    loss: tuple[float, float, float] | None
    limit: float

    @property
    def stop(self) -> bool:
        """Whether the whole interval of the loss lies above the limit."""
        return self.loss is not None and self.loss[1] > self.limit

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"stop": self.stop}


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
    return _Reader(experiment, tables, until).read(segments or {}, regions, tuple(others))


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

    def __init__(self, experiment: Experiment, tables: Tables, until: date | None) -> None:
        plan = experiment.plan
        self.experiment = experiment
        self.tables = tables
        self.lost = list[str]()
        self.plan = plan
        self.first = pd.Timestamp(plan.first_day)
        self.arms = experiment.arms
        self.design = experiment.design
        sold_on = tables.sale_lines(["date"]).select(pl.col("date").dt.date()).unique().collect()["date"].sort()
        last = sold_on[-1]
        if by_week(sold_on.to_physical().to_numpy()):
            last += timedelta(days=DAYS - 1)  # a week is known whole
        named = until is not None and until <= last
        what, fix = ("the last day to read", "name another") if named else ("their last day", "import later sales")
        last = last if until is None else min(until, last)
        end = min(plan.end, last + timedelta(days=1))
        if end <= plan.first_day:
            must = f"sales must reach into the experiment, which began on {plan.first_day}"
            raise ValueError(f"{must}; got {last} as {what}; {fix}")
        if sold_on[0] > plan.first_day - timedelta(days=DAYS):
            must = "sales must hold a week or more before the experiment"
            fix = "import the sales of its past, too"
            raise ValueError(f"{must} of {plan.first_day}; got {sold_on[0]} as their first day; {fix}")
        products = dict.fromkeys([product for group in plan.groups for product in group.products])
        sold = store_days(tables, [*products | plan.unit_cost], plan.first_day - timedelta(days=_PAST_DAYS), end)
        there = np.isin(plan.stores, sold["store"])
        if not there.any():
            raise ValueError(f"sales must name the stores of the experiment; got none of {', '.join(plan.stores[:3])}")
        if not there.all():
            self.lost.append(f"{_few([*np.array(plan.stores)[~there]])} sold nothing and cannot be read")
        known = np.isfinite(sold["units"].to_numpy()).any(axis=(0, 1))
        self.sold = sold.reindex(store=list(plan.stores)).isel(day=slice(int(np.argmax(known)), None))
        followed = self._followed()
        stop = min(self._stop(followed), end)
        self.stopped = stop < end
        self.days = (stop - plan.first_day).days
        self.end = stop
        self.sold = self.sold.sel(day=slice(None, pd.Timestamp(stop) - pd.Timedelta(days=1)))
        self.lost += self._delisted()
        self.used = there & self._kept(followed)

    def read(
        self, segments: Mapping[str, str], regions: Mapping[str, str] | None, others: Sequence[Experiment]
    ) -> ExperimentReading:
        """The reading, with the first effect by segment of customers."""
        first = self.plan.readings[0]
        whole = self.sold
        effects = [self._effect(reading, reading.name) for reading in self.plan.readings]
        for name in sorted(set(segments.values())):
            self.sold = self._of_segment(whole, [customer for customer, own in segments.items() if own == name])
            effects.append(self._effect(first, f"segment {name}"))
        self.sold = whole
        checks = [self._sample_ratio(), self._placebo(), *self._carry_over()]
        checks += [] if regions is None else [self._interference(regions)]
        checks = (*checks, self._contamination(others))
        last = str(self.end - timedelta(days=1))
        looks: Any = tuple(tuple(ends.tolist()) for ends in self._looks(first))
        seen = (self.days, self.design.days, last, self.stopped)
        return ExperimentReading(
            *seen, tuple(effects), checks, tuple(self.lost), looks, self._loss(), self.plan.loss_limit
        )

    def _effect(self, reading: Reading, name: str) -> MeasuredEffect:
        effect, low, high = self._looks(reading)
        away = np.flatnonzero((low > 0) | (high < 0))
        since = f"{self.plan.first_day + timedelta(days=int(away[0]))}" if len(away) else None
        at = (float(effect[-1]), float(low[-1]), float(high[-1]))
        return MeasuredEffect(name, reading.outcome, reading.measure, *at, since, reading.power.planning)

    def _looks(self, reading: Reading) -> tuple[Array, ...]:
        """Estimate and interval of each day, in the unit of the measure."""
        path = self._path(reading)
        looks = path.effect, *reading.analysis.interval(path)
        if reading.measure != "elasticity":
            return looks
        changes = np.array([group.change for group in self.plan.groups if group.name in reading.groups])
        return tuple(elasticity_of(each, changes) for each in looks)

    def _loss(self) -> tuple[float, float, float] | None:
        """What the test prices have lost so far, and the ends of its interval."""
        reading = next((one for one in self.plan.readings if one.measure == "all"), None)
        if reading is None or self.days < reading.analysis.first_look:
            return None
        money = outcomes_of(self.plan, self.sold, reading.outcome, "all", reading.groups)[self.used, -self.days :]
        share = float(self._regressor(reading, "all")[1][self.used].mean())
        gain, low, high = (float(ends[-1]) * share for ends in self._looks(reading))
        usual = float(np.nansum(money)) / (1 + gain)
        return -gain * usual, -high * usual, -low * usual

    def _of_segment(self, whole: xr.Dataset, customers: list[str]) -> xr.Dataset:
        """What some customers bought."""
        sales = self.tables.sales[self.tables.sales["customer"].isin(customers)]
        first = pd.Timestamp(whole["day"].to_numpy()[0]).date()
        own = store_days(Tables(sales), list(whole.indexes["product"]), first, self.end)
        return own.reindex_like(whole).fillna(0.0).where(np.isfinite(whole))

    # What was charged, beside the calendar.

    def _followed(self) -> pd.DataFrame:
        """The calendar by store, product and number of the week, with `kept`: whether its price was charged, as far as sales
        tell: 1, 0, or NaN.

        A deal lowers the prices of both arms: what stores in the control arm charge relative to theirs in the same week is
        taken out.
        """
        weeks = self.sold.sel(day=slice(self.first, None))
        sums = weeks.assign_coords(week=("day", np.arange(weeks.sizes["day"]) // DAYS)).groupby("week").sum("day")
        charged = sums["revenue"] / sums["units"].where(sums["units"] > 0)
        week = (pd.to_datetime(self.experiment.calendar["week"]) - self.first).dt.days // DAYS
        rows = self.experiment.calendar.assign(week=week).set_index(["store", "product", "week"])
        charged = charged.transpose("store", "product", "week").to_series().reindex(rows.index)
        away = (charged / rows["price"]).map(np.log)
        deal = away.where(rows["arm"] == ARMS[0]).groupby(level=["product", "week"]).transform("median").fillna(0.0)
        change = {product: abs(np.log1p(group.change)) for group in self.plan.groups for product in group.products}
        near = rows.index.get_level_values("product").map(change).to_numpy() / 2
        return rows.assign(kept=(away - deal).abs().le(near).astype(float).where(away.abs() < np.inf))

    def _stop(self, followed: pd.DataFrame) -> date:
        """The day after the last week in which at least half of the test prices were charged."""
        share = followed["kept"][followed["arm"] == ARMS[1]].groupby(level="week").mean().dropna()
        going = share.index[share >= _GOES_ON]
        if not len(going):
            got = f"the calendar of {self.plan.name} was not followed: in no week were half of its test prices charged"
            raise ValueError(f"{got}; check that these are the sales of its stores and days")
        stop = self.plan.first_day + timedelta(days=DAYS * (int(going.max()) + 1))
        if len(share) - 1 > going.max():
            self.lost.append(f"its prices were given up after {stop - timedelta(days=1)}; it is read up to then")
        return stop

    def _kept(self, followed: pd.DataFrame) -> NDArray[np.bool_]:
        """(S,) stores that charged the calendar's prices."""
        inside = followed["kept"][followed.index.get_level_values("week") < max(self.days // DAYS, 1)]
        share = inside.groupby(level="store").mean().reindex(self.plan.stores)
        broken = share[share < _FOLLOWED]
        if len(broken):
            names = _few([f"{store} ({each:.0%} of them)" for store, each in broken.items()])
            out = f"{'is' if len(broken) == 1 else 'are'} left out; {len(share) - len(broken)} of {len(share)} stores are read"
            self.lost.append(f"{names} charged other prices than the calendar's and {out}")
        return ~(share < _FOLLOWED).to_numpy()

    def _delisted(self) -> Iterator[str]:
        """Tested products that no store sells any more."""
        inside = self.sold["units"].isel(day=slice(-self.days, None)).sum("store").transpose("product", "day")
        for product in (product for group in self.plan.groups for product in group.products):
            days = np.flatnonzero(inside.sel(product=product).to_numpy() > 0)
            last = int(days[-1]) if len(days) else -1
            if self.days - 1 - last >= DAYS:
                since = self.plan.first_day + timedelta(days=last)
                yield f"{product} sold nothing after {since}: effects on its group are read smaller than they are"

    # The effects.

    def _regressor(self, reading: Reading, measure: str) -> tuple[Cells, Array, NDArray[np.bool_]]:
        """The units, (U, T) their regressor, and whether a day is read."""
        own = self.arms[[group.name in reading.groups for group in self.plan.groups]]
        cells = cells_of(self.plan, measure, reading.groups)
        z, read = cells.regressor(self.design, np.maximum(own, 0).astype(np.int8))
        varied = np.abs(cells.loading) @ (own >= 0).any(axis=2)
        inside = self.used[cells.store] & (varied[np.arange(len(varied)), cells.store] > 0)
        return cells, z[:, : self.days], read[:, : self.days] & inside[:, None]

    def _path(
        self, reading: Reading, *, before: int = 0, days: NDArray[np.bool_] | bool = True, beside: Array | None = None
    ) -> Path:
        """The effect by day.

        Args:
            reading: What is read.
            before: With the same arms, so many days earlier, when nothing was tested.
            days: Which days of those that are read otherwise, by unit or for all.
            beside: (U, T) another regressor.
        """
        cells, z, read = self._regressor(reading, reading.measure)
        values = outcomes_of(self.plan, self.sold, reading.outcome, reading.measure, reading.groups)
        start = values.shape[1] - self.days - before
        past = values[:, :start]
        inside = values[:, start : start + self.days]
        return reading.analysis.path(cells, past, inside, z if beside is None else beside, read & days)

    # What may speak against them.

    def _sample_ratio(self) -> ReadingCheck:
        """Whether as many planned store-days of each arm sold as the other's: Fisher's exact test."""
        tested = self.design.by_day(np.maximum(self.arms, 0).astype(np.int8))[0][..., : self.days] > 0
        open_ = np.isfinite(self.sold["units"].to_numpy()[..., -self.days :]).max(axis=1)
        counts = np.array([[(arm & there).sum() for there in (open_, ~open_)] for arm in (tested, ~tested)])
        p = float(stats.fisher_exact(counts // max(len(self.plan.groups) * DAYS, 1))[1])
        shares = counts[:, 0] / counts.sum(axis=1)
        text = f"stores were open on {shares[0]:.1%} of the days of the test arm, {shares[1]:.1%} of the control arm's"
        return _by_chance("sample ratio", p, text)

    def _placebo(self) -> ReadingCheck:
        """The same arms in the weeks before, where nothing was tested."""
        reading = self.plan.readings[0]
        if self.days < reading.analysis.first_look:
            return ReadingCheck("placebo weeks", True, "they are tried from the first look on")
        if self.sold.sizes["day"] - 2 * self.days < DAYS:
            return ReadingCheck("placebo weeks", True, "there are too few weeks before the experiment to try it there")
        path = self._path(reading, before=self.days)
        low, high = (float(ends[-1]) for ends in reading.analysis.interval(path))
        text = f"the same arms in the {self.days} days before read {path.effect[-1]:+.3g} ({low:+.3g} to {high:+.3g})"
        return ReadingCheck("placebo weeks", not (low > 0 or high < 0), text)

    def _carry_over(self) -> list[ReadingCheck]:
        """The effect in the first and the second half of the days that are read in a block."""
        length = self.plan.block_weeks * DAYS
        if self.days < length:
            return []
        early = np.arange(self.days) % length < (self.plan.washout_days + length) / 2
        first, second = (self._path(self.plan.readings[0], days=rows) for rows in (early, ~early))
        apart = float(second.effect[-1] - first.effect[-1])
        p = _chance(apart, float(np.hypot(first.error[-1], second.error[-1])))
        text = f"late in a block the effect is {apart:+.3g} from what it is early"
        return [_by_chance("carry-over", p, text, ": plan longer blocks")]

    def _interference(self, regions: Mapping[str, str]) -> ReadingCheck:
        """Whether stores at planned prices sell more or less where other stores of their region test."""
        region = np.array([regions.get(store, "") for store in self.plan.stores])
        near = (region[:, None] == region) & ~np.eye(len(region), dtype=bool) & (region != "")[:, None]
        reading = msgspec.structs.replace(self.plan.readings[0], measure="arm")
        cells, z, _ = self._regressor(reading, "arm")
        # Units of the same groups in the other stores of the region.
        others = near[np.ix_(cells.store, cells.store)] & (cells.loading[:, None] == cells.loading).all(axis=-1)
        beside = others @ z / np.maximum(others.sum(axis=1), 1)[:, None]
        missing = int((region == "").sum())
        unknown = f"; {missing} of {len(region)} stores have no region" if missing else ""
        path = self._path(reading, days=z == 0, beside=beside)
        slope = float(path.effect[-1])
        if not beside.any() or not np.isfinite(slope):
            return ReadingCheck(
                "interference", True, f"too few stores test beside others of their region to tell{unknown}"
            )
        text = f"stores at planned prices sell {slope:+.1%} where all others of their region test{unknown}"
        return _by_chance("interference", _chance(slope, float(path.error[-1])), text)

    def _contamination(self, others: Sequence[Experiment]) -> ReadingCheck:
        """Other experiments with the same stores, weeks and products."""
        own = self.experiment.calendar
        for other in others:
            same = own.merge(other.calendar[other.calendar["arm"] == ARMS[1]], on=["store", "week", "product"])
            if len(same):
                stores, products = (same[name].nunique() for name in ("store", "product"))
                text = f"{other.plan.name} tested {products} of its products in {stores} of its stores at the same time"
                return ReadingCheck("contamination", False, text)
        return ReadingCheck(
            "contamination", True, f"none of {len(others)} other experiments touched its stores and weeks"
        )


def _chance(effect: float, error: float) -> float:
    """Two-sided probability of an effect that large where there is none."""
    return 2 * float(stats.norm.sf(abs(effect) / error)) if error > 0 else 1.0


def _by_chance(name: str, p: float, text: str, fix: str = "") -> ReadingCheck:
    """A check of a finding that chance makes with probability p, and what to do where it is small."""
    return ReadingCheck(name, p >= _SUSPECT, f"{text} (p = {p:.2g}){fix * (p < _SUSPECT)}")


def _few(names: Sequence[str], most: int = 4) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
