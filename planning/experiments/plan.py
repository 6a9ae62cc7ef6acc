"""Which regular prices to vary, in which stores and weeks, to learn the most for the least.

Each category is tried product by product, in halves and as a whole; of the groups and the sizes of their changes, those are
taken that add more value than they cost, as far as the money at risk allows. Arms are then drawn store by store and block
by block (`designs`), and what will be read, and how, is fixed before the first day (`effects`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from ...data import Tables
from ...envs import catalogue_of
from ...evaluation.uncertainty.draws import charged_range
from ...pricing.price_rules.grids import seven_digits
from ...pricing.price_rules.overrides import breaches, firm_bounds
from ...pricing.wording import rule_words
from ...scenarios import MarketSpec
from ...scenarios.periods import planned_prices
from .designs import DAYS, Design
from .effects import Analysis, Cells, calibrated
from .experiment import ARMS, Experiment, Group, PlannedExperiment, Reading, calendar_digest, cells_of, outcomes_of
from .past import Past
from .value import DrawnOutcomes, ExperimentValue, PriceTest, drawn_outcomes, known_range, value_of_experiment

Array = NDArray[np.float64]
CHANGES = (-0.20, -0.10, -0.05, 0.05, 0.10, 0.20)
# A test price goes at most this share beyond what was charged: what a larger step sells, the market cannot say.
BEYOND = 0.10
# Weeks after a test in which a product is not tested again in the same stores.
CARRY_OVER_WEEKS = 4
# With fewer stores, a store must change its arm to be compared with itself.
_SOME = 4
_WINDOWS = 4
_ASSIGNMENT_DRAWS = 25
# Rules that a test may leave: bounds that the sales alone set, where it teaches most; the largest change counts from the
# planned price of the same week, and prices are on the grid before they are checked.
_SOFT = {"floor", "ceiling", "max_change", "price_ladder"}
_NEAR = 1 + 1e-9
_ROUNDED_SHARE = 1e-6
_LEARNS_NOTHING = 10.0
_BLIND = 3.0
"""Detectable elasticity above which hardly any real one is seen."""
_SURE = "what its test would teach is worth less than it costs"
_TESTED = f"it was tested in most stores within {CARRY_OVER_WEEKS} weeks"


def plan_experiment(
    spec: MarketSpec,
    sales: pd.DataFrame | Tables,
    *,
    weeks: int = 4,
    design: str | None = None,
    risk: float = 0.01,
    seed: int = 0,
    choice: Literal["best", "random"] = "best",
    earlier: Iterable[Experiment] = (),
    changes: Sequence[float] = CHANGES,
    block_weeks: int | None = None,
    washout_days: int | None = None,
    stores: Sequence[str] | None = None,
    name: str = "",
) -> Experiment:
    """Plan an experiment in the first weeks of a fitted market.

    Args:
        spec: A market of `repricer fit`, of weekly periods.
        sales: The shop's sales, or tables, up to the first day of the market; lines that name no store are of one store.
        weeks: Weeks of the experiment.
        design: One of `designs.DESIGNS`; by default the one with the highest value of those that the stores allow.
        risk: Largest money at risk, as a share of what the planned prices earn in these weeks.
        seed: Seed of all random draws.
        choice: `best`, or `random`: as many products, each a group, drawn at random like their changes; for comparison.
        earlier: Experiments that were planned before: their products are not tested again at once in the same stores.
        changes: Relative changes that are tried, where they go at most `BEYOND` beyond what was charged.
        block_weeks: Weeks of a block; by default the whole experiment, or of a design that changes arms 2, 1 in a single
            store or where there are fewer than 4.
        washout_days: Days after a change of arm that are not read; 3 in blocks of a week, 7 in longer ones.
        stores: The stores that the market stands for; by default all, of which the `MOST_STORES` that sell most are taken.
        name: Name of the experiment; by default that of the market, with its first day.

    Raises:
        ValueError: The market has no posterior or dates, the sales are too short, or no test is worth its cost.
    """
    if spec.calendar is None or spec.period_days != DAYS:
        raise ValueError(f"an experiment needs a market of dated weeks; got {spec.name}; fit one by week")
    if not 0 < risk < 1 or not all(0 < abs(change) < 1 for change in changes):
        raise ValueError(f"risk and changes must be shares in (0, 1); got {risk:g} and {list(changes)}; fix them")
    past = Past(spec, sales, stores)
    return _ExperimentPlanner(spec, past, weeks, seed, risk, changes, earlier).planned(
        design, choice, block_weeks, washout_days, name
    )


@dataclass
class _ExperimentPlanner:
    """The tests that a market and its rules allow, what they are worth, and the choice among them."""

    spec: MarketSpec
    past: Past
    weeks: int
    seed: int
    risk: float
    changes: Sequence[float]
    earlier: Iterable[Experiment]
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = self.spec.products.ids or self.spec.products.names
        self.names = self.spec.products.names
        self.price, self.tested = planned_prices(self.spec), self._tested()
        self.tests = self._allowed()
        if not self.tests:
            reason = next(iter(self.left_out.values()), "it has no products")
            must = "an experiment needs a price that the rules let move"
            raise ValueError(f"{must}; got none in {self.spec.name}: {reason}")
        self.outcomes: DrawnOutcomes = drawn_outcomes(self.spec, self.tests, weeks=self.weeks, seed=self.seed)
        # (S, O) stores in which a test may run, and (O,) its share of the sales: half of the stores charge its prices.
        self.free = np.stack([~self.tested[:, test.products].any(axis=1) for test in self.tests], axis=1)
        self.shares = self.past.share @ self.free / 2

    # Which tests there are.

    def _tested(self) -> NDArray[np.bool_]:
        """(S, N) where a product was tested within the carry-over weeks."""
        tested = np.zeros((len(self.past.stores), len(self.ids)), bool)
        for experiment in self.earlier:
            calendar = experiment.calendar
            first_day = pd.Timestamp(str(self.spec.market.first_day))
            weeks_since = (first_day - pd.to_datetime(calendar["week"])).dt.days // DAYS
            recent_tests = calendar[(calendar["arm"] == ARMS[1]) & (weeks_since <= CARRY_OVER_WEEKS)]
            counts = pd.crosstab(recent_tests["store"], recent_tests["product"])
            tested |= counts.reindex(index=self.past.stores, columns=self.ids, fill_value=0).to_numpy() > 0
        return tested

    def _allowed(self) -> list[PriceTest]:
        """The tests that no rule refuses."""
        free = (~self.tested).sum(axis=0)
        fresh = (free == len(self.tested)) | (free >= max(_SOME, len(self.tested) / 2))
        found = list[PriceTest]()
        moved = [self._moved(change) for change in self.changes]
        random = np.random.default_rng(self.seed)
        for c, category in enumerate(self.spec.category_names):
            own = np.flatnonzero((self.spec.category_index == c) & fresh)
            divided = {self.names[n]: ("products", [int(n)]) for n in own}
            if len(own) > 1:
                divided[f"{category}, all"] = "category", own.tolist()
            # Of each two products that sell about the same, one in either half.
            order = own[np.argsort(-self.past.money[:, own].sum(axis=0), kind="stable")]
            coins = random.integers(0, 2, -(-len(order) // 2))
            first = np.stack([coins, 1 - coins], axis=1).ravel()[: len(order)].astype(bool)
            for number, half in enumerate((order[first], order[~first]), start=1) if len(own) > 2 else ():
                divided[f"{category}, half {number}"] = "halves", sorted(half.tolist())
            found += [
                PriceTest(tuple(products), path[:, products], name, kind)
                for name, (kind, products) in divided.items()
                for path, movable in moved
                if movable[products].all()
            ]
        able = {n for test in found for n in test.products}
        refused = {name: _TESTED for n, name in enumerate(self.names) if not fresh[n]}
        self.left_out = {name: (self.left_out | refused)[name] for n, name in enumerate(self.names) if n not in able}
        return found

    def _moved(self, change: float) -> tuple[Array, NDArray[np.bool_]]:
        """(T, N) prices that a change comes to, on the prices that the shop uses, and (N,) whether rules allow it."""
        path = on_grid(self.spec, self.price * (1 + change), self.price)
        most = self.spec.guardrails.max_change
        share = np.abs(path / self.price - 1)
        near = (share > 0).all(axis=0) & (share.mean(axis=0) < 2 * abs(change))
        small = (share <= (np.inf if most is None else most) + _ROUNDED_SHARE).all(axis=0)
        known = self._within_a_step(path)
        broken = self._broken(np.where(near & small, path, self.price))
        reasons = {n: f"leave the price rule {rules}" for n, rules in broken.items()}
        reasons |= dict.fromkeys(np.flatnonzero(~small).tolist(), "change by more than the rules allow")
        reasons |= dict.fromkeys(np.flatnonzero(~known).tolist(), f"go over {BEYOND:.0%} beyond what was charged")
        reasons |= dict.fromkeys(np.flatnonzero(~near).tolist(), "find no allowed price near it")
        for n, reason in reasons.items():
            self.left_out.setdefault(self.names[n], f"no rule lets it move: {change:+.0%} would {reason}")
        return path, ~np.isin(np.arange(len(self.names)), list(reasons))

    def _within_a_step(self, path: Array) -> NDArray[np.bool_]:
        """(N,) whether (T, N) prices stay within one step of what was charged."""
        known = known_range(self.spec)
        if known is None:
            return np.ones(len(self.names), bool)
        low, high = known
        inside = (path >= low * (1 - BEYOND) / _NEAR) & (path <= high * (1 + BEYOND) * _NEAR)
        return np.asarray(inside.all(axis=0))

    def _broken(self, wanted: Array) -> dict[int, str]:
        """The products that a path of prices makes leave a rule, with the rules; a bound that only the sales set is none."""
        rules = self.spec.guardrails
        catalogue = catalogue_of(self.spec)
        planned = self.price[: self.weeks]
        before = rules.prices_before(self.spec.products.regular_price)
        near = planned * _NEAR
        usual, found = (breaches(rules, catalogue, path[: self.weeks], near, before) for path in (self.price, wanted))
        same = wanted[: self.weeks] == planned
        known = {(one.period, one.product) for one in usual if same[one.period, one.product]}
        return {
            one.product: ", ".join(map(rule_words, one.rules))
            for one in found
            if (one.period, one.product) not in known and (one.firm or not {*one.rules} <= _SOFT)
        }

    # What they are worth, and which are taken.

    def planned(
        self, kind: str | None, choice: str, block_weeks: int | None, washout_days: int | None, name: str
    ) -> Experiment:
        """The experiment."""
        stores = len(self.past.stores)
        found = []
        kinds = ("stores", "both") if stores >= _SOME else ("both",)
        if stores == 1:
            kinds = ("switchback",)
        elif self.weeks < 2 * (block_weeks or 1):
            kinds = ("stores",)  # there is no second block in which a store could change arms
        for one in (kind,) if kind else kinds:
            design = self._design(one, block_weeks, washout_days)
            errors = self._errors(design)
            chosen = self._chosen(errors)
            found.append((self._value(chosen, errors).net, design, errors, chosen))
        _, design, errors, chosen = max(found, key=lambda each: each[0])
        if choice == "random":
            chosen = self._drawn(errors, chosen)
        if not chosen:
            must = f"a test must be worth more than it costs, with at most {self.risk:.1%} of the money at risk"
            raise ValueError(f"{must}; got none of {self.spec.name}; run it longer, in more stores or at more risk")
        chosen, arms = self._kept(design, chosen)
        return self._made(design, errors, chosen, arms, choice, name)

    def _design(self, kind: str, block_weeks: int | None, washout_days: int | None) -> Design:
        if block_weeks is None:
            short = len(self.past.stores) == 1 or self.weeks < 4 or self.weeks % 2
            block_weeks = 1 if short else 2
            if kind == "stores":
                block_weeks = self.weeks
        if self.weeks % block_weeks:
            raise ValueError(f"weeks must be whole blocks of {block_weeks} weeks; got {self.weeks}; change one of them")
        if washout_days is None:
            washout_days = 3 if block_weeks == 1 else DAYS
        return Design(kind, self.weeks // block_weeks, block_weeks, washout_days, self.past.alike)

    def _errors(self, design: Design) -> Array:
        """(O, 2) standard errors of what each test reads: of its products, and of the others of their category.

        They are those of the same readings in the past, with arms drawn anew; the deals of the past, which the fit knows, are
        taken out.
        """
        sold = self.past.without_deals
        many = len(self.past.stores) > 1
        random = np.random.default_rng(self.seed)
        cells = Cells.of_stores(len(sold), np.ones(1))
        base = Analysis(1.0, 0.0, 0.0, 1, design.days)
        if many:
            base = calibrated(cells, sold.sum(axis=1), design, random)[0]

        @cache
        def both(products: tuple[int, ...]) -> tuple[float, float]:
            own = np.isin(np.arange(len(self.ids)), products)
            others = (self.spec.category_index == self.spec.category_index[products[0]]) & ~own
            if many:
                rest = _past_error(base, cells, sold[:, others].sum(axis=1), design, random) if others.any() else np.inf
                return _past_error(base, cells, sold[:, own].sum(axis=1), design, random), rest
            # The other products tell what the weeks did.
            history = np.concatenate([sold[:, own].sum(axis=1), sold[0, ~own]])
            alone = Cells(np.zeros(len(history), np.intp), np.eye(len(history))[:, :1])
            return _past_error(base, alone, history, design, random), np.inf

        found = np.nan_to_num([both(test.products) for test in self.tests], nan=np.inf, posinf=np.inf)
        # A reading that says next to nothing is none.
        return np.minimum(found / np.sqrt(np.maximum(self.free.mean(axis=0), 1e-9))[:, None], _LEARNS_NOTHING)

    def _chosen(self, errors: Array) -> list[int]:
        """Numbers of the tests with the most value less cost, within the money at risk."""
        chosen = list[int]()
        for category in range(len(self.spec.category_names)):
            kinds = ("products", "halves", "category")
            chosen += max((self._best_of(category, kind, errors) for kind in kinds), key=lambda each: each[0])[1]
        while (own := self._value(chosen, errors)).money_at_risk > self.limit:

            def price(rest: list[int], own: ExperimentValue = own) -> float:
                value = self._value(rest, errors)
                return (own.net - value.net) / max(own.money_at_risk - value.money_at_risk, 1e-12)

            # What goes costs the least value for the risk that it saves.
            chosen = min(([other for other in chosen if other != one] for one in chosen), key=price)
        return chosen

    @cached_property
    def limit(self) -> float:
        """The most money at risk."""
        return self.risk * abs(float(self.outcomes.planned.mean()))

    def _value(self, chosen: Sequence[int], errors: Array) -> ExperimentValue:
        return value_of_experiment(self.outcomes, chosen, errors, self.shares)

    def _best_of(self, category: int, kind: str, errors: Array) -> tuple[float, list[int]]:
        """The value less cost of the best tests of a category that is divided in one way, and their numbers."""
        # What a change is expected to gain it gains without a test, too.
        cost = np.maximum(self.outcomes.losses.mean(axis=0), 0.0) * self.shares

        def net(tests: list[int]) -> float:
            return float(self.outcomes.information(category, tests, errors).mean() - cost[tests].sum())

        right = (self.outcomes.category == category) & np.array([test.divided == kind for test in self.tests])
        own = np.flatnonzero(right).tolist()
        chosen = list[int]()
        best = 0.0
        used = set[tuple[int, ...]]()
        for first in sorted(own, key=lambda number: -net([number])):
            products = self.tests[first].products
            if products in used:
                continue
            same = [number for number in own if self.tests[number].products == products]
            value, number = max((net([*chosen, number]), number) for number in same)
            if value > best:
                chosen = [*chosen, number]
                best = value
                used = used | {products}
        return best, chosen

    def _drawn(self, errors: Array, chosen: list[int]) -> list[int]:
        """Tests of as many products, each a group and drawn at random like its change, within the money at risk."""
        random = np.random.default_rng((self.seed, 1))
        drawn = list[int]()
        used = set[int]()
        size = sum(len(self.tests[number].products) for number in chosen)
        alone = [number for number, test in enumerate(self.tests) if test.divided == "products"]
        for number in random.permutation(alone).tolist():
            (product,) = self.tests[number].products
            within = self._value([*drawn, number], errors).money_at_risk <= self.limit
            if product not in used and within and len(used) < size:
                drawn = [*drawn, number]
                used = used | {product}
        return drawn

    # The calendar, and the analysis that is fixed with it.

    def _kept(self, design: Design, chosen: list[int]) -> tuple[list[int], NDArray[np.int8]]:
        """The tests whose prices, as the stores charge them together, keep the price rules, and their (G, S, B) arms.

        Stores where a group was tested shortly before keep the planned prices.
        """
        broken = set(chosen)
        while broken and chosen:
            random = np.random.default_rng((self.seed, 2))
            broken = set[int]()
            arms = np.zeros((len(chosen), len(self.past.stores), design.blocks), np.int8)
            for own, free in zip(arms, self.free[:, chosen].T, strict=True):
                own[free] = replace(design, past=design.past[free]).draw(random, 1)[0]
            for pattern in np.unique(np.repeat(arms, design.block_weeks, axis=-1).swapaxes(0, 1), axis=0):
                path = self.price.copy()
                for number, on in zip(chosen, pattern, strict=True):
                    rows = np.flatnonzero(on)
                    path[np.ix_(rows, np.array(self.tests[number].products))] = self.tests[number].price[rows]
                for n, rules in self._broken(path).items():
                    touched = {number for number in chosen if n in self.tests[number].products} or {
                        number for number in chosen if self.outcomes.category[number] == self.spec.category_index[n]
                    }
                    gone = [self.names[each] for number in touched for each in self.tests[number].products]
                    reason = f"with the other changes, a price would leave the rule {rules}"
                    self.left_out |= dict.fromkeys(gone, reason)
                    broken |= touched
            if not broken:
                return chosen, arms
            chosen = [number for number in chosen if number not in broken]
        must = f"a calendar must keep the price rules; got none of {self.spec.name} that does"
        raise ValueError(f"{must}: {next(iter(self.left_out.values()))}; vary fewer products")

    def _made(
        self, design: Design, errors: Array, chosen: list[int], arms: NDArray[np.int8], choice: str, name: str
    ) -> Experiment:
        spec = self.spec
        past = self.past
        share = np.zeros(len(self.tests))
        assert spec.calendar is not None
        share[chosen] = [past.share @ own.mean(axis=1) for own in arms]
        # Noise that had no part in the choice: the best of many is flattered by its own.
        value = value_of_experiment(replace(self.outcomes, seed=self.seed + 1), chosen, errors, share)
        worth: dict[str, Any] = msgspec.to_builtins(value)
        worth |= {"net": value.net, "planned_money": float(self.outcomes.planned.mean())}
        calendar = self._calendar(design, arms, chosen)
        first = spec.calendar.first_day
        currency = spec.market.currency
        tested = {n for number in chosen for n in self.tests[number].products}
        priced = np.isin(spec.category_index, self.outcomes.category[chosen])
        charged = charged_range(spec)
        path = self.price.copy()
        for number in chosen:
            path[:, list(self.tests[number].products)] = self.tests[number].price
        far = (path != self.price) & (charged is not None and charged.outside(path))
        outside = int(far[: self.weeks].any(axis=0).sum())
        warnings = [f"test prices of {outside:,} product(s) lie outside what was mostly charged"] if outside else []
        if past.left_out:
            warnings.append(f"left out, as they sold in too few weeks or too little: {', '.join(past.left_out[:9])}")
        plan = PlannedExperiment(
            name=name or f"{spec.name}-{first}",
            market=spec.name,
            first_day=first,
            design=design.kind,
            blocks=design.blocks,
            block_weeks=design.block_weeks,
            washout_days=design.washout_days,
            seed=self.seed,
            stores=past.stores,
            groups=self._groups(calendar, chosen),
            readings=(),
            unit_cost={str(self.ids[n]): float(spec.products.unit_cost[n]) for n in np.flatnonzero(priced)},
            vat={
                str(self.ids[n]): float(spec.products.vat[n]) for n in np.flatnonzero(priced & (spec.products.vat > 0))
            },
            calendar=calendar_digest(calendar),
            worth=worth | {"objective": spec.market.objective},
            stopping="",
            first_look=first,
            loss_limit=self.limit,
            left_out={each: self.left_out.get(each, _SURE) for n, each in enumerate(self.names) if n not in tested},
            warnings=tuple(warnings),
            choice=choice,
            currency=currency,
        )
        readings = self._readings(design, plan)
        if not all(np.isfinite(reading.power.planning) for reading in readings):
            must = "an experiment needs stores that tell its effects from chance"
            raise ValueError(f"{must}; got {len(plan.stores)}, which do not; bring the sales of more stores")
        if readings[0].power.planning > _BLIND:
            seen = f"an elasticity below {readings[0].power.planning:.1f} would hardly be seen"
            plan = msgspec.structs.replace(plan, warnings=(*plan.warnings, f"{seen}: take more stores or weeks"))
        look = first + dt.timedelta(days=max(reading.analysis.first_look for reading in readings) - 1)
        words = (
            f"The experiment ends on {plan.end - dt.timedelta(days=1)}. From {look} on it may be looked at every day; it ends "
            f"earlier where the 95% interval of what the test prices lose lies above {self.limit:,.2f} {currency}."
        )
        return Experiment(msgspec.structs.replace(plan, readings=readings, first_look=look, stopping=words), calendar)

    def _calendar(self, design: Design, arms: NDArray[np.int8], chosen: list[int]) -> pd.DataFrame:
        assert self.spec.calendar is not None
        of = np.repeat(np.arange(len(chosen)), [len(self.tests[number].products) for number in chosen])
        own = np.concatenate([self.tests[number].products for number in chosen])
        level = self.past.level[:, None, own]
        planned = self.price[: self.weeks, own]
        tried = np.concatenate([self.tests[number].price[: self.weeks] for number in chosen], axis=1)
        # (S, weeks, n); a store of another price level changes its own prices by as much.
        usual = np.where(level == 1, planned, on_grid(self.spec, planned * level))
        tried = np.where(level == 1, tried, on_grid(self.spec, usual * tried / planned, usual))
        tried = np.clip(tried, *(np.asarray(bound)[own] for bound in firm_bounds(self.spec.guardrails)))
        on = np.moveaxis(np.repeat(arms, design.block_weeks, axis=2)[of], 0, -1) == 1
        weeks = pd.to_datetime(self.spec.calendar.labels[: self.weeks])
        axes = [self.past.stores, weeks, np.asarray(self.ids)[own]]
        groups = np.array([self.tests[number].name for number in chosen], object)[of]
        columns = {"group": groups, "arm": np.where(on, *ARMS[::-1]), "price": np.where(on, tried, usual)}
        columns = {name: np.broadcast_to(each, on.shape).ravel() for name, each in columns.items()}
        index = pd.MultiIndex.from_product(axes, names=["store", "week", "product"])
        return pd.DataFrame(columns | {"planned_price": usual.ravel()}, index).sort_index().reset_index()

    def _groups(self, calendar: pd.DataFrame, chosen: list[int]) -> tuple[Group, ...]:
        tested = calendar[calendar["arm"] == ARMS[1]]
        change = (tested["price"] / tested["planned_price"] - 1).groupby(tested["group"]).mean().round(4)
        names = np.array(self.spec.category_names)[self.outcomes.category[chosen]]
        ids = np.asarray(self.ids)
        found = [(self.tests[number].name, [*self.tests[number].products]) for number in chosen]
        sold = np.array([self.past.money[:, products].sum() for _, products in found])
        return tuple(
            Group(name, str(category), tuple(ids[products].tolist()), float(change[name]), float(share))
            for (name, products), category, share in zip(
                found, names, (sold / max(sold.sum(), 1e-9)).round(6), strict=True
            )
        )

    def _readings(self, design: Design, plan: PlannedExperiment) -> tuple[Reading, ...]:
        """What will be read: the boundaries and the power, from experiments in the past."""
        random = np.random.default_rng((self.seed, 3))
        every = tuple(group.name for group in plan.groups)
        asked = [("all tested products", "units", "elasticity", every)]
        if len(plan.stores) > 1:
            asked.append(("all tested products", self.spec.market.objective, "all", every))
            for category in dict.fromkeys(group.category for group in plan.groups):
                own = tuple(group.name for group in plan.groups if group.category == category)
                asked.append((category, "units", "elasticity", own))
            asked += [(name, "units", "arm", (name,)) for name in every]
        return tuple(
            Reading(
                *facts,
                *calibrated(cells_of(plan, *facts[2:]), outcomes_of(plan, self.past.sold, *facts[1:]), design, random),
            )
            for facts in asked
        )


def on_grid(spec: MarketSpec, price: Array, planned: Array | None = None) -> Array:
    """The nearest prices that the shop uses (endings, ladder or tick), with seven digits.

    Args:
        spec: The market.
        price: (…, N) currency per unit.
        planned: (…, N) prices that are not left further than asked: then the nearest on this side.

    Example:
        >>> from repricer import load_scenario
        >>> on_grid(load_scenario("stationary-logit"), np.array([[9.123456789]])).tolist()
        [[9.0]]
    """
    grid: Callable[..., Any] = spec.guardrails.grid.rounded
    below, above = (np.asarray(grid(price, up=up), np.float64) for up in (False, True))
    near = np.where(price - below > above - price if planned is None else price < planned, above, below)
    return seven_digits(near)


def _past_error(base: Analysis, cells: Cells, history: Array, design: Design, random: Generator) -> float:
    """Root mean square of what a reading comes to by its last day in the past, where there was no effect."""
    days = design.days
    length = history.shape[1]
    found = list[Array]()
    for start in np.unique(np.linspace(min(2 * days, length - days), length - days, _WINDOWS).round().astype(int)):
        z, read = cells.regressor(design, design.draw(random, _ASSIGNMENT_DRAWS)[:, None])
        path = base.path(cells, history[:, :start], history[:, start : start + days], z, read)
        found.append(path.effect[..., -1].ravel())
    effects = np.concatenate(found)
    return float(np.sqrt(np.nanmean(effects**2))) if np.isfinite(effects).any() else np.inf
