"""Which regular prices to vary, in which stores and weeks, to learn the most for the least.

Each category is tried product by product, in halves and as a whole; of the groups and the sizes of their changes, those are
taken that add more value than they cost, as far as the money at risk allows. Arms are then drawn store by store and block
by block (`designs`), and what will be read, and how, is fixed before the first day (`effects`).
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from ...data import Tables
from ...data.panel.regular_prices import regular_prices
from ...envs import catalogue_of
from ...evaluation.uncertainty.draws import charged_range
from ...pricing.price_rules.overrides import breaches, firm_bounds
from ...pricing.wording import rule_words
from ...scenarios import MarketSpec
from ...scenarios.periods import planned_prices
from .designs import DAYS, Design
from .effects import Analysis, Cells, calibrated
from .experiment import ARMS, Experiment, Group, Plan, Reading, calendar_digest, cells_of
from .store_days import store_days
from .value import DrawnOutcomes, ExperimentValue, PriceTest, drawn_outcomes, value_of_experiment

Array = NDArray[np.float64]
CHANGES = (-0.20, -0.10, -0.05, 0.05, 0.10, 0.20)
CARRY_OVER_WEEKS = 4
"""Weeks after a test in which a product is not tested again in the same stores."""
MOST_STORES = 60
"""Stores of an experiment, those that sell most: more add cost, and little that is not read in these."""
_HISTORY_WEEKS, _RECENT_WEEKS, _REGULAR_SALES = 52, 13, 0.75
_WINDOWS, _DRAWS = 4, 25
_SINGLE, _SOME = 1, 4
"""With fewer stores than the second, a store must change its arm to be compared with itself."""
_SOFT = {"floor", "ceiling", "max_change", "price_ladder"}
"""Rules that a test may leave: bounds that the sales alone set, where it teaches most; the largest change counts from the
planned price of the same week, and prices are on the grid before they are checked."""
_NEAR, _CLOSE, _NOTHING = 1 + 1e-9, 1e-6, 10.0
_LEVELS = 0.005
_KINDS = ("products", "halves", "category")
_SURE = "what its test would teach is worth less than it costs"


class _Kind(NamedTuple):
    """Of a test, its category, how that is divided, the name of the group, and the change that was asked for."""

    category: int
    divided: str
    name: str
    change: float


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
        changes: Relative changes that are tried.
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
    return _Planner(spec, sales, weeks, seed, risk, tuple(changes), tuple(earlier), stores).planned(
        design, choice, block_weeks, washout_days, name
    )


class _Past:
    """What the stores sold, by day, up to the market's first day, and how their prices compare."""

    def __init__(self, spec: MarketSpec, sales: pd.DataFrame | Tables, stores: Sequence[str] | None) -> None:
        assert spec.calendar is not None
        ids, first = list(spec.products.ids or spec.products.names), spec.calendar.first_day
        tables = Tables(sales) if isinstance(sales, pd.DataFrame) else sales
        found = store_days(tables, ids, first - dt.timedelta(days=DAYS * _HISTORY_WEEKS), first)
        last = np.flatnonzero(np.isfinite(found["units"].to_numpy()).any(axis=(0, 1)))[-1]
        if found.sizes["day"] - 1 - last >= DAYS:
            must = f"sales must reach up to {first}, the first day of {spec.name}"
            day = pd.Timestamp(found.indexes["day"][last]).date()
            raise ValueError(f"{must}; got {day} as their last one; import later sales, or fit the market on these")
        if stores is not None:
            found = found.sel(store=found["store"].isin(list(stores)))
        sold = np.isfinite(found["units"].to_numpy()).any(axis=(0, 1))
        found = found.isel(day=slice(DAYS * (int(sold.argmax()) // DAYS), None))
        traffic = _by_week(found["units"].sum("product").to_numpy())
        steady = (traffic[:, -_RECENT_WEEKS:] > 0).mean(axis=1) >= _REGULAR_SALES
        count = min(MOST_STORES, max(int(steady.sum()), 1))
        best = np.sort(np.argsort(-traffic.sum(axis=1) * steady, kind="stable")[:count])
        self.share, found, traffic = traffic[best].sum(axis=1) / traffic.sum(), found.isel(store=best), traffic[best]
        self.stores = tuple(found["store"].to_numpy().tolist())
        self.units, self.paid, listed = (found[name].to_numpy() for name in ("units", "revenue", "regular_revenue"))
        sold, regular, deal = _deals(*map(_by_week, (self.units, self.paid, listed)))
        self.without_deals = self.units / np.repeat(deal, DAYS, axis=-1)
        self.money = np.nansum(self.paid, axis=-1)
        recent = np.maximum(traffic[:, -_RECENT_WEEKS:].sum(axis=1), 1e-9)
        usual = np.maximum(traffic.mean(axis=1) * _RECENT_WEEKS, 1e-9)
        self.alike = np.stack([np.log(recent), np.log(recent / usual)], axis=1)
        self.level = _levels(sold[..., -_RECENT_WEEKS:], regular[..., -_RECENT_WEEKS:])


def _by_week(daily: Array) -> Array:
    return np.nansum(daily.reshape(*daily.shape[:-1], -1, DAYS), axis=-1)


def _deals(units: Array, paid: Array, listed: Array) -> tuple[Array, Array, Array]:
    """(S, N, W) units, regular prices, and the factor by which deals changed the units: the fit knows the deals, too."""
    sold = np.where(units > 0, units, np.nan)
    price, given = paid / sold, listed / sold
    regular = regular_prices(price.swapaxes(1, 2), given.swapaxes(1, 2)).swapaxes(1, 2)
    depth = np.minimum(np.log(price / regular), 0.0)
    known = np.isfinite(depth)
    x, y = np.where(known, depth, 0.0), np.where(known, np.log(np.where(known, units, 1.0)), 0.0)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    apart = [np.where(known, one - one.sum(axis=-1, keepdims=True) / count, 0.0) for one in (x, y)]
    slope = (apart[0] * apart[1]).sum(axis=(0, 2)) / np.maximum((apart[0] ** 2).sum(axis=(0, 2)), 1e-9)
    return units, regular, np.exp(slope[:, None] * x)


def _levels(units: Array, regular: Array) -> Array:
    """(S, N) regular prices of each store relative to all, of the last weeks."""
    known = np.isfinite(regular) & (units > 0)
    money = np.where(known, units * np.nan_to_num(regular), 0.0).sum(axis=0)
    whole = money / np.maximum((units * known).sum(axis=0), 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        level = np.nanmedian(np.where(known, regular / np.maximum(whole, 1e-9), np.nan), axis=-1)
        level = np.where(np.isfinite(level), level, np.nanmedian(level, axis=1, keepdims=True))
    level = np.nan_to_num(level, nan=1.0)
    return np.where(np.abs(level - 1) < _LEVELS, 1.0, level)


class _Planner:
    """The tests that a market and its rules allow, what they are worth, and the choice among them."""

    def __init__(
        self,
        spec: MarketSpec,
        sales: pd.DataFrame | Tables,
        weeks: int,
        seed: int,
        risk: float,
        changes: tuple[float, ...],
        earlier: tuple[Experiment, ...],
        stores: Sequence[str] | None,
    ) -> None:
        self.spec, self.weeks, self.seed, self.risk = spec, weeks, seed, risk
        self.past, self.random = _Past(spec, sales, stores), np.random.default_rng(seed)
        self.ids, self.names = spec.products.ids or spec.products.names, spec.products.names
        self.price, self.left_out, self.refused = planned_prices(spec), dict[str, str](), dict[str, str]()
        self.tested = self._tested(earlier)
        self.tests, self.kinds = self._allowed(changes)
        if not self.tests:
            reason = next(iter(self.left_out.values()), "it has no products")
            raise ValueError(f"an experiment needs a price that the rules let move; got none in {spec.name}: {reason}")
        self.outcomes: DrawnOutcomes = drawn_outcomes(spec, self.tests, weeks=weeks, seed=seed)

    # Which tests there are.

    def _tested(self, earlier: Iterable[Experiment]) -> NDArray[np.bool_]:
        """(S, N) where a product was tested within the carry-over weeks."""
        tested = np.zeros((len(self.past.stores), len(self.ids)), bool)
        for one in earlier:
            rows = one.calendar[one.calendar["arm"] == ARMS[1]]
            since = (pd.Timestamp(str(self.spec.market.first_day)) - pd.to_datetime(rows["week"])).dt.days // DAYS
            rows = rows[since <= CARRY_OVER_WEEKS]
            store, product = (
                pd.Index(names).get_indexer(pd.Index(rows[column]))
                for names, column in ((self.past.stores, "store"), (self.ids, "product"))
            )
            there = (store >= 0) & (product >= 0)
            tested[store[there], product[there]] = True
        return tested

    def _allowed(self, changes: tuple[float, ...]) -> tuple[list[PriceTest], list[_Kind]]:
        """The tests that no rule refuses."""
        allowed = {change: self._movable(change) for change in changes}
        free = (~self.tested).sum(axis=0)
        fresh = (free == len(self.tested)) | (free >= max(_SOME, len(self.tested) / 2))
        found = list[tuple[PriceTest, _Kind]]()
        for c, category in enumerate(self.spec.category_names):
            own = np.flatnonzero((self.spec.category_index == c) & fresh)
            for name, (divided, products) in self._divisions(category, own).items():
                for change, (path, movable) in allowed.items():
                    if movable[products].all():
                        found.append((PriceTest(tuple(products), path[:, products]), _Kind(c, divided, name, change)))
        able = {n for test, _ in found for n in test.products}
        tested = f"it was tested in most stores within {CARRY_OVER_WEEKS} weeks"
        self.left_out = {
            name: self.refused[name] if fresh[n] else tested for n, name in enumerate(self.names) if n not in able
        }
        return [test for test, _ in found], [kind for _, kind in found]

    def _divisions(self, category: str, own: NDArray[np.intp]) -> dict[str, tuple[str, list[int]]]:
        """A category's groups by name, and how it is divided: into products, halves that sell about the same, or not."""
        order = own[np.argsort(-self.past.money[:, own].sum(axis=0), kind="stable")]
        coins = self.random.integers(0, 2, -(-len(order) // 2))
        first = np.stack([coins, 1 - coins], axis=1).ravel()[: len(order)].astype(bool)
        found = {self.names[n]: ("products", [int(n)]) for n in own}
        if len(own) > 1:
            found[f"{category}, all"] = "category", own.tolist()
        for number, half in enumerate((order[first], order[~first]), start=1) if len(own) > 2 else ():
            found[f"{category}, half {number}"] = "halves", sorted(half.tolist())
        return found

    def _movable(self, change: float) -> tuple[Array, NDArray[np.bool_]]:
        """(T, N) prices that a change comes to, on the prices that the shop uses, and (N,) whether rules allow it."""
        path, most = on_grid(self.spec, self.price * (1 + change)), self.spec.guardrails.max_change
        share = np.abs(path / self.price - 1)
        near = (share > 0).all(axis=0) & (share.mean(axis=0) < 2 * abs(change))
        small = (share <= (np.inf if most is None else most) + _CLOSE).all(axis=0)
        reasons = {
            n: f"leave the price rule {rules}"
            for n, rules in self._refused(np.where(near & small, path, self.price)).items()
        }
        reasons |= dict.fromkeys(np.flatnonzero(~small).tolist(), "change by more than the rules allow")
        reasons |= dict.fromkeys(np.flatnonzero(~near).tolist(), "find no allowed price near it")
        for n, reason in reasons.items():
            self.refused.setdefault(self.names[n], f"no rule lets it move: {change:+.0%} would {reason}")
        return path, ~np.isin(np.arange(len(self.names)), list(reasons))

    def _refused(self, wanted: Array) -> dict[int, str]:
        """The products that a path of prices makes leave a rule, with the rules; a bound that only the sales set is none."""
        rules, catalogue, planned = self.spec.guardrails, catalogue_of(self.spec), self.price[: self.weeks]
        before, near = rules.prices_before(self.spec.products.regular_price), planned * _NEAR
        usual, found = (breaches(rules, catalogue, path[: self.weeks], near, before) for path in (self.price, wanted))
        moved = wanted[: self.weeks] != planned
        known = {(one.period, one.product) for one in usual if not moved[one.period, one.product]}
        new = [
            one for one in found if (one.period, one.product) not in known and (one.firm or not {*one.rules} <= _SOFT)
        ]
        return {one.product: ", ".join(map(rule_words, one.rules)) for one in new}

    # What they are worth, and which are taken.

    def planned(
        self, kind: str | None, choice: str, block_weeks: int | None, washout_days: int | None, name: str
    ) -> Experiment:
        """The experiment."""
        single, few = len(self.past.stores) == _SINGLE, len(self.past.stores) < _SOME
        kinds = (kind,) if kind else ("switchback",) if single else ("both",) if few else ("stores", "both")
        if not kind and not single and self.weeks < 2 * (block_weeks or 1):
            kinds = ("stores",)  # there is no second block in which a store could change arms
        found = []
        for one in kinds:
            design = self._design(one, block_weeks, washout_days)
            errors = self._errors(design)
            chosen = self._chosen(errors)
            found.append((value_of_experiment(self.outcomes, chosen, errors, self._shares).net, design, errors, chosen))
        _, design, errors, chosen = max(found, key=lambda each: each[0])
        if not chosen:
            must = f"a test must be worth more than it costs, with at most {self.risk:.1%} of the money at risk"
            raise ValueError(f"{must}; got none of {self.spec.name}; run it longer, in more stores or at more risk")
        if choice == "random":
            chosen = self._drawn(errors, chosen)
        return self._made(design, errors, chosen, choice, name)

    def _design(self, kind: str, block_weeks: int | None, washout_days: int | None) -> Design:
        if block_weeks is None:
            short = len(self.past.stores) == _SINGLE or self.weeks < 4 or self.weeks % 2
            block_weeks = self.weeks if kind == "stores" else 1 if short else 2
        if self.weeks % block_weeks:
            raise ValueError(f"weeks must be whole blocks of {block_weeks} weeks; got {self.weeks}; change one of them")
        washout = (3 if block_weeks == 1 else DAYS) if washout_days is None else washout_days
        return Design(kind, self.weeks // block_weeks, block_weeks, washout, self.past.alike)

    @cached_property
    def _shares(self) -> Array:
        """(O,) share of the shop's sales at test prices: half of those of the stores in which a test is run."""
        return np.array([self.past.share @ ~self.tested[:, test.products].any(axis=1) / 2 for test in self.tests])

    def _errors(self, design: Design) -> Array:
        """(O, 2) standard errors of what each test reads: of its products, and of the others of their category.

        They are those of the same readings in the past, with arms drawn anew; the deals of the past, which the fit knows, are
        taken out.
        """
        stores, random = np.arange(len(self.past.stores)), np.random.default_rng(self.seed)
        whole = self.past.without_deals.sum(axis=1)
        base = (
            calibrated(Cells.of_stores(len(stores), np.ones(1)), whole, design, random)[0] if len(stores) > 1 else None
        )
        base = replace(base, height=1.0) if base else Analysis(1.0, 0.0, 0.0, 1, design.days)

        def error(products: NDArray[np.bool_], rest: NDArray[np.bool_]) -> float:
            own = self.past.without_deals[:, products].sum(axis=1)
            cells, history = Cells(stores, np.ones((len(stores), 1))), own
            if len(stores) == 1:  # the other products tell what the weeks did
                history = np.concatenate([own, self.past.without_deals[0, rest]])
                cells = Cells(np.zeros(len(history), np.intp), np.eye(len(history))[:, :1])
            return _past_error(base, cells, history, design, random)

        known, found = dict[tuple[int, ...], tuple[float, float]](), []
        for test in self.tests:
            if test.products not in known:
                own = np.isin(np.arange(len(self.ids)), test.products)
                others = (self.spec.category_index == self.spec.category_index[test.products[0]]) & ~own
                apart = error(others, own) if others.any() and len(stores) > 1 else np.inf
                known[test.products] = error(own, ~own), apart
            found.append(known[test.products])
        fewer = np.array([(~self.tested[:, test.products].any(axis=1)).mean() for test in self.tests])
        # A reading that says next to nothing is none.
        errors = np.nan_to_num(np.array(found), nan=np.inf, posinf=np.inf) / np.sqrt(np.maximum(fewer, 1e-9))[:, None]
        return np.minimum(errors, _NOTHING)

    def _chosen(self, errors: Array) -> list[int]:
        """Numbers of the tests with the most value less cost, within the money at risk."""
        chosen = list[int]()
        for category in {kind.category for kind in self.kinds}:
            options = [self._best_of(category, divided, errors) for divided in _KINDS]
            chosen += max(options, key=lambda each: each[0])[1]
        while chosen and (own := self._value(chosen, errors)).money_at_risk > self.limit:
            rests = [[other for other in chosen if other != one] for one in chosen]

            def price(rest: list[int], own: ExperimentValue = own) -> float:
                value = self._value(rest, errors)
                return (own.net - value.net) / max(own.money_at_risk - value.money_at_risk, 1e-12)

            # What goes costs the least value for the risk that it saves.
            chosen = min(rests, key=price)
        return chosen

    @property
    def limit(self) -> float:
        """The most money at risk."""
        return self.risk * abs(float(self.outcomes.planned.mean()))

    def _value(self, chosen: Sequence[int], errors: Array) -> ExperimentValue:
        return value_of_experiment(self.outcomes, chosen, errors, self._shares)

    def _best_of(self, category: int, divided: str, errors: Array) -> tuple[float, list[int]]:
        """The value less cost of the best tests of a category that is divided in one way, and their numbers."""
        # What a change is expected to gain it gains without a test, too.
        cost = np.maximum(self.outcomes.losses.mean(axis=0), 0.0) * self._shares

        def net(tests: list[int]) -> float:
            gains = self.outcomes.information(category, tests, errors) if tests else np.zeros(1)
            return float(gains.mean() - cost[tests].sum())

        own = [number for number, each in enumerate(self.kinds) if each[:2] == (category, divided)]
        chosen, best, used = list[int](), 0.0, set[int]()
        products = {number: set(self.tests[number].products) for number in own}
        alone = {number: net([number]) for number in own}
        for first in sorted(own, key=lambda number: -alone[number]):
            if products[first] & used:
                continue
            same = [number for number in own if products[number] & products[first]]
            value, number = max((net([*chosen, number]), number) for number in same)
            if value > best:
                chosen, best, used = [*chosen, number], value, used | products[number]
        return best, chosen

    def _drawn(self, errors: Array, chosen: list[int]) -> list[int]:
        """Tests of as many products, each a group and drawn at random like its change, within the money at risk."""
        random, drawn, used = np.random.default_rng((self.seed, 1)), list[int](), set[int]()
        size = sum(len(self.tests[number].products) for number in chosen)
        alone = [number for number, kind in enumerate(self.kinds) if kind.divided == "products"]
        for number in random.permutation(alone).tolist():
            products = set(self.tests[number].products)
            if not products & used and self._value([*drawn, number], errors).money_at_risk <= self.limit:
                drawn, used = [*drawn, number], used | products
            if len(used) == size:
                break
        return drawn

    # The calendar, and the analysis that is fixed with it.

    def _made(self, design: Design, errors: Array, chosen: list[int], choice: str, name: str) -> Experiment:
        while broken := self._broken(design, self._arms(design, chosen), chosen):
            chosen = [number for number in chosen if number not in broken]
            if not chosen:
                must = f"a calendar must keep the price rules; got none of {self.spec.name} that does"
                raise ValueError(f"{must}: {next(iter(self.left_out.values()))}; vary fewer products")
        arms = self._arms(design, chosen)
        spec, past = self.spec, self.past
        calendar = self._calendar(design, arms, chosen)
        groups = self._groups(calendar, chosen)
        share = np.zeros(len(self.tests))
        share[chosen] = [past.share @ own.mean(axis=1) for own in arms]
        # Noise that had no part in the choice: the best of many is flattered by its own.
        value = value_of_experiment(replace(self.outcomes, seed=self.seed + 1), chosen, errors, share)
        assert spec.calendar is not None
        first, money = spec.calendar.first_day, spec.market.currency
        tested = {n for number in chosen for n in self.tests[number].products}
        worth = {
            "net": value.net,
            "planned_money": float(self.outcomes.planned.mean()),
            "objective": spec.market.objective,
        }
        plan = Plan(
            name=name or f"{spec.name}-{first}",
            market=spec.name,
            first_day=first,
            design=design.kind,
            blocks=design.blocks,
            block_weeks=design.block_weeks,
            washout_days=design.washout_days,
            seed=self.seed,
            stores=past.stores,
            groups=groups,
            readings=(),
            unit_cost=self._unit_cost(chosen),
            calendar=calendar_digest(calendar),
            worth=msgspec.to_builtins(value) | worth,
            stopping="",
            first_look=first,
            loss_limit=self.limit,
            left_out={each: self.left_out.get(each, _SURE) for n, each in enumerate(self.names) if n not in tested},
            warnings=self._warnings(chosen),
            choice=choice,
            currency=money,
        )
        readings = self._readings(design, plan, chosen)
        if not all(np.isfinite(reading.power.planning) for reading in readings):
            must = "an experiment needs stores that tell its effects from chance"
            raise ValueError(f"{must}; got {len(past.stores)}, which do not; bring the sales of more stores")
        look = first + dt.timedelta(days=max(reading.analysis.first_look for reading in readings) - 1)
        words = (
            f"The experiment ends on {plan.end - dt.timedelta(days=1)}. From {look} on it may be looked at every day; it ends "
            f"earlier where the 95% interval of what the test prices lose lies above {self.limit:,.2f} {money}."
        )
        return Experiment(msgspec.structs.replace(plan, readings=readings, first_look=look, stopping=words), calendar)

    def _arms(self, design: Design, chosen: list[int]) -> NDArray[np.int8]:
        """(G, S, B) arms; stores where a group was tested shortly before keep the planned prices."""
        random = np.random.default_rng((self.seed, 2))
        arms = np.zeros((len(chosen), len(self.past.stores), design.blocks), np.int8)
        for group, number in enumerate(chosen):
            free = ~self.tested[:, self.tests[number].products].any(axis=1)
            arms[group, free] = replace(design, past=design.past[free]).draw(random, 1)[0]
        return arms

    def _broken(self, design: Design, arms: NDArray[np.int8], chosen: list[int]) -> set[int]:
        """The tests whose prices, as the stores will charge them together, leave a price rule; and the reason of each."""
        broken = set[int]()
        weekly = np.repeat(arms, design.block_weeks, axis=-1)
        for pattern in np.unique(weekly.swapaxes(0, 1), axis=0):
            path = self.price.copy()
            for number, on in zip(chosen, pattern, strict=True):
                own, rows = self.tests[number], np.flatnonzero(on)
                path[np.ix_(rows, np.array(own.products))] = own.price[rows]
            for n, rules in self._refused(path).items():
                touched = {number for number in chosen if n in self.tests[number].products}
                category = self.spec.category_index[n]
                touched = touched or {number for number in chosen if self.kinds[number].category == category}
                reason = f"with the other changes, a price would leave the rule {rules}"
                self.left_out |= {
                    self.names[each]: reason for number in touched for each in self.tests[number].products
                }
                broken |= touched
        return broken

    def _calendar(self, design: Design, arms: NDArray[np.int8], chosen: list[int]) -> pd.DataFrame:
        assert self.spec.calendar is not None
        weeks, ids = pd.to_datetime(self.spec.calendar.labels[: self.weeks]), np.asarray(self.ids)
        bounds, frames = firm_bounds(self.spec.guardrails), list[pd.DataFrame]()
        for number, by_block in zip(chosen, arms, strict=True):
            own = list(self.tests[number].products)
            level, planned, tried = (
                self.past.level[:, None, own],
                self.price[: self.weeks, own],
                self.tests[number].price[: self.weeks],
            )
            # (S, weeks, n); a store of another price level changes its own prices by as much.
            usual = np.where(level == 1, planned, on_grid(self.spec, planned * level))
            tried = np.where(level == 1, tried, on_grid(self.spec, usual * tried / planned))
            tried = np.clip(tried, *(np.asarray(bound)[own] for bound in bounds))
            on = np.repeat(by_block, design.block_weeks, axis=1)[..., None].astype(bool)
            index = pd.MultiIndex.from_product([self.past.stores, weeks, ids[own]], names=["store", "week", "product"])
            columns = {
                "group": self.kinds[number].name,
                "arm": np.broadcast_to(np.where(on, *ARMS[::-1]), usual.shape).ravel(),
            }
            columns |= {"price": np.where(on, tried, usual).ravel(), "planned_price": usual.ravel()}
            frames.append(pd.DataFrame(columns, index=index).reset_index())
        return pd.concat(frames).sort_values(["store", "week", "product"], ignore_index=True)

    def _groups(self, calendar: pd.DataFrame, chosen: list[int]) -> tuple[Group, ...]:
        tested = calendar[calendar["arm"] == ARMS[1]]
        change = (tested["price"] / tested["planned_price"] - 1).groupby(tested["group"]).mean()
        own = [list(self.tests[number].products) for number in chosen]
        sold = np.array([self.past.money[:, products].sum() for products in own])
        names = [(self.kinds[number].name, self.spec.category_names[self.kinds[number].category]) for number in chosen]
        return tuple(
            Group(*name, tuple(str(self.ids[n]) for n in products), round(float(change[name[0]]), 4), float(share))
            for name, products, share in zip(names, own, (sold / max(sold.sum(), 1e-9)).round(6), strict=True)
        )

    def _unit_cost(self, chosen: list[int]) -> dict[str, float]:
        """Of each product of the tested categories."""
        tested = {self.kinds[number].category for number in chosen}
        return {
            str(self.ids[n]): float(cost)
            for n, cost in enumerate(self.spec.products.unit_cost)
            if self.spec.category_index[n] in tested
        }

    def _readings(self, design: Design, plan: Plan, chosen: list[int]) -> tuple[Reading, ...]:
        """What will be read: the boundaries and the power, from experiments in the past."""
        random, groups = np.random.default_rng((self.seed, 3)), plan.groups
        every = tuple(group.name for group in groups)
        asked = [("all tested products", "units", "elasticity", every)]
        if len(plan.stores) > 1:
            asked.append(("all tested products", self.spec.market.objective, "all", every))
            for category in dict.fromkeys(group.category for group in groups):
                own = tuple(group.name for group in groups if group.category == category)
                asked.append((category, "units", "elasticity", own))
            asked += [(name, "units", "arm", (name,)) for name in every]
        found, priced = [], [n for n, one in enumerate(self.ids) if one in plan.unit_cost]
        for name, outcome, measure, names in asked:
            cells = cells_of(
                msgspec.structs.replace(plan, groups=tuple(group for group in groups if group.name in names)),
                measure,
                names,
            )
            if measure == "all":
                cost = np.array([plan.unit_cost[self.ids[n]] for n in priced]) * (outcome == "profit")
                history = (self.past.paid[:, priced] - cost[:, None] * self.past.units[:, priced]).sum(axis=1)
            else:
                own = [list(self.tests[number].products) for number in chosen if self.kinds[number].name in names]
                history = np.concatenate([self.past.units[:, products].sum(axis=1) for products in own])
            found.append(Reading(name, outcome, measure, names, *calibrated(cells, history, design, random)))
        return tuple(found)

    def _warnings(self, chosen: list[int]) -> tuple[str, ...]:
        charged, path = charged_range(self.spec), self.price.copy()
        for number in chosen:
            path[:, list(self.tests[number].products)] = self.tests[number].price
        outside = charged.outside(path) & (path != self.price) if charged is not None else np.zeros_like(path, bool)
        count = int(outside[: self.weeks].any(axis=0).sum())
        return (f"test prices of {count:,} products lie outside what was mostly charged",) if count else ()


def on_grid(spec: MarketSpec, price: Array) -> Array:
    """The nearest prices that the shop uses (endings, ladder or tick), with seven digits.

    Args:
        spec: The market.
        price: (…, N) currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> on_grid(load_scenario("stationary-logit"), np.array([[9.123456789]])).tolist()
        [[9.0]]
    """
    grid: Callable[..., Any] = spec.guardrails.grid.rounded
    below, above = (np.asarray(grid(price, up=up), np.float64) for up in (False, True))
    near = np.where(price - below > above - price, above, below)
    return np.array([float(f"{one:.7g}") for one in near.ravel().tolist()]).reshape(near.shape)


def _past_error(base: Analysis, cells: Cells, history: Array, design: Design, random: Generator) -> float:
    """Root mean square of what a reading comes to by its last day in the past, where there was no effect."""
    days, length = design.days, history.shape[1]
    starts = np.unique(np.linspace(min(2 * days, length - days), length - days, _WINDOWS).round().astype(int))
    found = []
    for start in starts.tolist():
        arms = np.stack([design.draw(random, 1) for _ in range(_DRAWS)])
        z, read = cells.regressor(design, arms)
        path = base.path(cells, history[:, :start], history[:, start : start + days], z, read)
        found.append(path.effect[..., -1].ravel())
    effects = np.concatenate(found)
    effects = effects[np.isfinite(effects)]
    return float(np.sqrt(np.mean(effects**2))) if effects.size else np.inf
