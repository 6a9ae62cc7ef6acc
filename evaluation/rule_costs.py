"""What each price rule costs: the money of the best prices under all rules, and without each rule, group of rules and all.

Prices are searched as `agents.posterior.prices` does: one list price a product for all periods, by the mean over the
posterior draws; and from there on, where the market gives any, together with personal discounts by segment. What rules make of a price from
period to period, such as the steps that a largest change leaves, is part of its money. The prices that are found without
a rule are tried under the others too, and what is allowed under more rules is allowed under fewer: no rule costs less
than nothing, and one that binds nothing costs exactly zero. Costs are paired, draw by draw.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..agents.posterior import PosteriorMoney, draws_of
from ..agents.posterior.prices import best_prices, has_closed_form
from ..envs import catalogue_of
from ..pricing import Action, MarketView
from ..pricing.complete import check_complete
from ..pricing.price_rules.grids import SAME, seven_digits
from ..pricing.price_rules.rule_formulas import (
    BOUNDS,
    DIRECTIONS,
    DISCOUNT_RULES,
    LARGEST,
    LINKING,
    PRIORITIES,
    RULES,
    direction_range,
    is_firm,
    rival_range,
)
from ..pricing.wording import rule_words
from ..scenarios import MarketSpec, goal_market, load_scenario
from ..scenarios.periods import planned_prices, simulated_prices
from ..scenarios.planned_deals import course_of
from ..scenarios.sections import Array
from .uncertainty.draws import ENDS, METHOD, check_draws, draw_numbers
from .what_if import course_units

FROM_SALES = "_from_sales"
"""How the name of a rule ends that the fit took from the sales."""
GROUPS = {
    "bounds": ("floor", "ceiling", *BOUNDS[:2], "floor_from_sales", "ceiling_from_sales"),
    "changes": ("max_change", "max_step", "max_changes", "direction", "frozen", "frozen_from_sales"),
    "relations": ("line_order", "price_gap", "pack_price"),
    "rivals": ("rival_price", "price_index"),
    "discounts": DISCOUNT_RULES,
}
"""The rules that are also taken away together."""
_GROUPED = {rule for rules in GROUPS.values() for rule in rules if not rule.endswith(FROM_SALES)}
check_complete("evaluation.rule_costs", "a group", PRIORITIES.keys() | {*DISCOUNT_RULES}, _GROUPED)
ALL = "all rules"
_LIFTED: dict[str, dict[str, Any]] = {rule: {rule: None} for rule in (*BOUNDS[:2], "max_change", "max_step")}
_LIFTED |= {
    "max_changes": {"max_changes": None, "change_window_periods": None},
    "direction": {"direction": "any"},
    "line_order": {"line_order": ()},
    "price_gap": {"price_gaps": (), "gap_shares": np.empty(0)},
    "pack_price": {"packs": (), "pack_shares": np.empty(0)},
    "rival_price": {"rival_at_least": None, "rival_at_most": None},
    "price_index": {"index_names": (), "index_weights": None, "index_at_most": None},
    "max_discount": {"max_discount": 0.95},
    "segment_spread": {"max_segment_spread": 1.0},
    "group_spread": {"max_group_spread": 1.0},
}
"""The settings without each rule; `without` lifts the other three with what the sales gave of them."""
check_complete(
    "evaluation.rule_costs",
    "the settings without it",
    _GROUPED - {"floor", "ceiling", "frozen", "paid_floor"},
    _LIFTED,
)
# Discounts that are tried, in even steps of the log price paid, and factors on list prices beside them, sweep by sweep.
_DISCOUNT_STEPS = np.linspace(0, 1, 11)[:, None, None, None]
_FACTORS = [1.0, 0.5, 0.7, 1.4, 2.0, 3.0], [1.0, 0.6, 0.8, 0.9, 1.12, 1.3, 1.8], [1.0, 0.95, 1.05]
_DRAWS_SEARCHED = 30
# What the search is not sure of: a gain of less than this share of a component's money is none.
_PRECISION = 1e-4


class BoundProduct(Struct, frozen=True):
    """A product that a rule binds.

    Args:
        product: Its name.
        price: Its best price under all rules, currency per unit, in the period where the two differ most.
        without: The same without the rule; equal where the price lies at the bound and would stay there.
        discount: Its largest personal discount under all rules, a fraction.
        discount_without: The same without the rule.
    """

    product: str
    price: float
    without: float
    discount: float
    discount_without: float


class RuleCost(Struct, frozen=True):
    """What a rule, a group of rules or all of them cost: the money without them, less the money with all rules.

    Args:
        rule: Its name.
        rules: The rules that are taken away.
        says: What the rule says, with its priority; the rules of a group.
        cost: In the money that prices are chosen by; currency over the periods of the market.
        revenue: In revenue; below zero where other money is worth more.
        profit: In profit.
        cost_interval90, revenue_interval90, profit_interval90: 5% and 95% quantiles over the posterior draws.
        products: The products that it binds.
        extrapolated: Whether prices without it may lie where nothing was charged, so that their money is not known.
    """

    rule: str
    rules: tuple[str, ...]
    says: str
    cost: float
    revenue: float
    profit: float
    cost_interval90: tuple[float, float]
    revenue_interval90: tuple[float, float]
    profit_interval90: tuple[float, float]
    products: tuple[BoundProduct, ...]
    extrapolated: bool


class NoChoice(Struct, frozen=True):
    """Rules that leave a product one price in the first period, or none.

    Args:
        rules: One rule, or two that do so together.
        product: Name of the product.
        price: That price, currency per unit.
    """

    rules: tuple[str, ...]
    product: str
    price: float


class RuleCosts(Struct, frozen=True):
    """What the rules of a market cost, the most expensive first.

    Args:
        market: Its name.
        currency: Unit of money.
        chosen_by: The money that prices are chosen by.
        periods: Number of its periods.
        draws: Number of posterior draws.
        revenue: Expected revenue of the best prices under all rules.
        profit: Expected profit of the same.
        rules: Each rule alone.
        groups: Each group of two rules or more.
        together: All rules.
        no_choice: Rules that leave no choice.
        notes: What the figures do not hold, a sentence each.
    """

    market: str
    currency: str
    chosen_by: str
    periods: int
    draws: int
    revenue: float
    profit: float
    rules: tuple[RuleCost, ...]
    groups: tuple[RuleCost, ...]
    together: RuleCost
    no_choice: tuple[NoChoice, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `rules cost --json` prints it."""
        return msgspec.to_builtins(self)

    def to_frame(self) -> pd.DataFrame:
        """A row for each rule, each group and all together: `rule`, money without it less money with it, and intervals."""
        money = ("cost", "revenue", "profit")
        rows = []
        for found in (*self.rules, *self.groups, self.together):
            row: dict[str, Any] = {
                "rule": found.rule,
                "products": len(found.products),
                "extrapolated": found.extrapolated,
            }
            for name in money:
                low, high = getattr(found, f"{name}_interval90")
                row |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"RuleCosts({self.market}, {len(self.rules)} rules, together {self.together.cost:,.0f} {self.currency})"


def rule_costs(
    market: MarketSpec | str | os.PathLike[str],
    *,
    draws: int | None = None,
    seed: int = 0,
    progress: Callable[[str], object] = lambda _: None,
) -> RuleCosts:
    """What each price rule of a market costs.

    Args:
        market: A logit market with ample stock, or its name or folder; fitted on data, or any scenario of that kind.
        draws: Number of posterior draws; 200 by default, or all of fewer.
        seed: Selects the draws, where they are fewer than the market has.
        progress: Called with what is taken away next.

    Raises:
        ValueError: The money of prices has no closed form there, or the market has fewer draws.

    Example:
        >>> spec = load_scenario("stationary-logit").with_changes(
        ...     stock={"initial_units": np.inf}, prices={"max_change": 0.1, "minimum_margin": 0.05})
        >>> found = rule_costs(spec)
        >>> [one.rule for one in found.rules], found.rules[-1].cost
        (['max_change', 'minimum_margin'], 0.0)
    """
    spec = market if isinstance(market, MarketSpec) else load_scenario(market)
    if not has_closed_form(spec):
        must = "rules cost needs a logit market with ample stock, rivals with fixed prices and no loyalty"
        raise ValueError(f"{must}; got {spec.name}; compare prices with repricer evaluate there")
    if draws is not None:
        check_draws(spec, draws)
    count = len(draw_numbers(spec, draws)) if spec.num_draws else 0
    numbers = sorted(np.random.default_rng(seed).choice(spec.num_draws or 1, count, replace=False).tolist())
    present = rules_of(spec)
    shop = _RuledMarket(spec, numbers)
    groups = {name: found for name, rules in GROUPS.items() if len(found := frozenset(rules) & {*present}) > 1}
    sets = {rule: frozenset({rule}) for rule in present} | groups | {ALL: frozenset(present)}
    best = shop.best_without([frozenset(), *sets.values()], progress)
    costs = {name: _cost(shop, best, name, lifted) for name, lifted in sets.items()}

    ranked = sorted(costs.items(), key=lambda named: -named[1].cost)
    alone, grouped = (tuple(cost for name, cost in ranked if name in kind) for kind in (present, groups))
    _, revenue, profit = best[frozenset()].money.sum(axis=-1).mean(axis=1).tolist()
    objective = spec.market.objective
    keeps = "revenue less the shadow cost that keeps the profit"
    facts = spec.name, spec.market.currency, objective if shop.goal is shop.spec else keeps
    facts += spec.market.horizon_periods, max(count, 1), revenue, profit
    return RuleCosts(*facts, alone, grouped, costs[ALL], _no_choice(spec), _notes(spec, present))


def rules_of(spec: MarketSpec) -> list[str]:
    """The names of a market's rules: keys of `RULES`, with the ending `FROM_SALES` where the sales gave the rule.

    Example:
        >>> rules_of(load_scenario("stationary-logit").with_changes(prices={"max_change": 0.1}))
        ['max_change']
    """
    every = [rule for rules in GROUPS.values() for rule in rules if rule not in DISCOUNT_RULES]
    found = [rule for rule in every if without(spec, frozenset({rule})) is not spec]
    if spec.prices.max_discount == 0:
        return found
    # With personal discounts all rules on them hold, except that these two need a cap of their own.
    holds = dict.fromkeys(DISCOUNT_RULES, True)
    holds["segment_spread"] = spec.prices.max_segment_spread < 1
    holds["group_spread"] = spec.guardrails.contrasts.size > 0
    return [*found, *(rule for rule in DISCOUNT_RULES if holds[rule])]


def without(spec: MarketSpec, rules: frozenset[str]) -> MarketSpec:
    """A market without some of its price rules.

    Without a floor or ceiling, prices lie within what the price grid has, or a quarter of the regular price and four
    times as much.

    Args:
        spec: The market.
        rules: Names of rules, as of `rules_of`; `paid_floor` is no setting and stays.

    Example:
        >>> spec = load_scenario("stationary-logit").with_changes(prices={"max_change": 0.1})
        >>> without(spec, frozenset({"max_change"})).prices.max_change is None
        True
    """
    names = spec.products.names
    from_sales = np.isin(spec.products.names, spec.prices.bounds_from_sales)
    free = spec.with_changes(prices={"floor": None, "ceiling": None, "minimum_margin": None}).price_bounds
    changes: dict[str, Any] = {}
    sides = zip(("floor", "ceiling"), spec.price_bounds, free, (np.minimum, np.maximum), strict=True)
    for key, own, loose, wider in sides:
        lifted = np.where(from_sales, key + FROM_SALES in rules, key in rules)
        if (wider(own, loose) != own)[lifted].any():
            changes[key] = np.where(lifted, wider(own, loose), own)
    moves = {name for name, sold in zip(names, from_sales, strict=True) if "frozen" + FROM_SALES * bool(sold) in rules}
    changes |= {"frozen": tuple(name for name in spec.prices.frozen if name not in moves)}
    for rule in rules & _LIFTED.keys():
        changes |= _LIFTED[rule]
    # What is empty is no rule.
    given = {key: getattr(spec.prices, key, ()) for key in changes}
    changes = {key: new for key, new in changes.items() if np.size(given[key]) and not np.array_equal(given[key], new)}
    return spec.with_changes(prices=changes) if changes else spec


class _Best(NamedTuple):
    """The best prices (T, N) and personal discounts (N, K), and their money (3, M, C): chosen by, revenue, profit."""

    price: Array
    discount: Array
    money: Array


class _RuledMarket:
    """The best prices of a market under its rules or some of them, and their money.

    A component of products shares no customers with another, nor any rule.
    """

    def __init__(self, spec: MarketSpec, numbers: Sequence[int]) -> None:
        self.spec = spec
        self.planned = planned_prices(spec)
        self.numbers = numbers
        self.held = spec.guardrails.held
        self.goal = goal_market(self.spec)
        # A product whose price must not change is at its regular price, apart from the plan.
        usual = np.where(self.held, spec.products.regular_price, spec.initial_price)
        self.one = spec.guardrails.nearest(usual)
        self.rival = _rival_price(spec)
        self.component = _components(spec)
        self.member = np.eye(self.component.max() + 1)[self.component]

    @cached_property
    def draws(self) -> list[MarketSpec]:
        """The market under each of the draws; itself where it has no posterior."""
        return [self.spec.draw(m) for m in self.numbers] or [self.spec]

    def best_without(
        self, sets: Sequence[frozenset[str]], progress: Callable[[str], object] = lambda _: None
    ) -> dict[frozenset[str], _Best]:
        """The best prices without each set of rules; the first set is empty.

        Whatever is found without one set is tried under all others, as far as their rules let it.
        """
        markets = {lifted: without(self.spec, lifted) for lifted in sorted(dict.fromkeys(sets), key=len)}
        alone: dict[frozenset[str], Array] = {}
        none = np.zeros((self.spec.sizes["N"], self.spec.sizes["K"]))
        found = [(self.one, none)]
        for lifted, market in markets.items():
            progress(", ".join(map(rule_words, sorted(lifted))))
            own = lifted - set(DISCOUNT_RULES)
            if own not in alone:
                alone[own] = self._searched(market)
                found.append((alone[own], none))
            if market.prices.max_discount > 0:
                found.append(self._with_discounts(market, lifted, alone[own]))
        asked, discounts = (np.stack(part) for part in zip(*found, strict=True))
        tried = []
        for lifted, market in markets.items():
            price = self._allowed(market, asked)
            discount = np.minimum(discounts, self._most(market, lifted, price)[..., None])
            tried.append((price, market.guardrails.together(discount)))
        price, discount = (np.concatenate(part) for part in zip(*tried, strict=True))
        flat = np.hstack([price.reshape(len(price), -1), discount.reshape(len(price), -1)])
        _, first, place = np.unique(flat, axis=0, return_index=True, return_inverse=True)
        money = np.stack([one.sum(axis=2) for one in self.money(price[first], discount[first])], axis=1)
        mean = money[0].mean(axis=0)
        best = dict[frozenset[str], _Best]()
        for lifted, at in zip(markets, place.reshape(len(markets), -1), strict=True):
            chosen = at[mean[at].argmax(axis=0)]
            row = first[chosen][self.component]
            n = np.arange(len(self.component))
            own_best = _Best(price[row, :, n].T, discount[row, n], money[:, :, chosen, np.arange(len(chosen))])
            best[lifted] = self._best_of([*(one for other, one in best.items() if other < lifted), own_best])
        return best

    def money(
        self, price: Array, discount: Array | None = None, draws: Sequence[MarketSpec] | None = None
    ) -> Iterator[Array]:
        """(3, B, K, C) money of B courses of prices (B, T, N) with discounts (B, N, K), draw by draw."""
        spec = self.spec
        goal = self.goal
        rows = price.shape[:2]
        simulated = simulated_prices(spec, price)
        course = course_of(spec, simulated)
        paid = price[:, :, None] * (1 - (0.0 if discount is None else np.moveaxis(discount, 2, 1)[:, None]))
        weight = spec.market.discount_factor ** np.arange(rows[1])
        returned = 0.0 if spec.returns is None else spec.returns.probability
        handling = 0.0 if spec.returns is None else returned * spec.returns.handling_cost
        # Stock that is sold is restored a lead time later, at the latest when the market ends.
        left = rows[1] - np.arange(rows[1])[:, None]
        stock = spec.stock
        restored = np.minimum(stock.lead_time_periods + 1, left) * (stock.replenishment == "order-up-to")
        saved = restored * stock.holding_cost
        for draw in self.draws if draws is None else draws:
            units = course_units(spec, draw, simulated, course, discount)
            kept = units * (1 - returned)
            revenue = kept * spec.products.net(paid)
            profit = revenue - kept * draw.products.unit_cost
            profit = profit - units * (handling - saved[:, None] - course.funding[:, :, None])
            if goal is not spec:
                chosen_by = revenue - kept * goal.products.unit_cost
            elif goal.market.objective == "profit":
                chosen_by = profit
            else:
                chosen_by = revenue
            yield np.einsum("abtkn,t->abkn", np.stack([chosen_by, revenue, profit]), weight) @ self.member

    def _searched(self, market: MarketSpec) -> Array:
        """(N,) fixed prices that are best within the rules, as far as the search knows them."""
        goal = goal_market(_bounded(market, self.rival))
        drawn = draws_of(goal)
        if self.numbers:
            drawn = type(drawn)(*(each[list(self.numbers)] for each in drawn))
        found = best_prices(goal, PosteriorMoney(goal, drawn))
        return np.where(market.guardrails.held, self.one, found)

    def _allowed(self, market: MarketSpec, asked: Array) -> Array:
        """(S, T, N) what the rules make, period by period, of S fixed prices (S, N)."""
        rules = replace(market.guardrails, planned_price=self.planned)
        catalogue = catalogue_of(market)
        held = rules.held
        window = rules.change_window_periods
        # A frozen product moves its plan along.
        course = np.where(self.held, self.planned + (asked - self.one)[:, None], asked[:, None])
        course = np.where(held, self.planned, course)
        past = [np.tile(row, (len(asked), 1)) for row in rules.prices_before(market.products.regular_price)]
        none = np.zeros(asked.shape, np.float32)
        rival = np.tile(self.rival, (len(asked), 1)).astype(np.float32)
        made = []
        for t in range(course.shape[1]):
            in_force = np.where(held, self.planned[t], past[-1]).astype(np.float32)
            moves = None if window is None else (np.diff(np.array(past[-window:], np.float32), axis=0) != 0).sum(axis=0)
            state = in_force, in_force, none, none, none
            view = MarketView(catalogue, np.full(len(asked), t), *state, competitor_price=rival, changes=moves)
            price = rules.apply(Action(course[:, t].astype(np.float32)), view).price
            made.append(np.where(held, self.planned[t], seven_digits(price)))
            past.append(made[-1])
        return np.stack(made, axis=1)

    def _most(self, market: MarketSpec, lifted: frozenset[str], price: Array) -> Array:
        """(S, N) largest discounts at S courses of prices."""
        least = 0.0 if "paid_floor" in lifted else market.guardrails.paid_low
        most = np.where(market.guardrails.follows_plan, 0.0, market.prices.max_discount)
        return np.clip(1 - least / price.min(axis=1), 0, most)

    def _with_discounts(self, market: MarketSpec, lifted: frozenset[str], asked: Array) -> tuple[Array, Array]:
        """Fixed prices (N,) with discounts (N, K), by coordinate ascent from the prices that are best without discounts.

        Of each product, all segments take the best of their discounts at each of its prices, and then it takes the best
        price; segments whose discounts then differ by too much are brought together.
        """
        discount = np.zeros((self.spec.sizes["N"], self.spec.sizes["K"]))
        n = np.arange(self.spec.sizes["N"])
        segment = np.arange(discount.shape[1])
        few = [self.draws[i] for i in np.unique(np.linspace(0, len(self.draws) - 1, _DRAWS_SEARCHED).astype(int))]
        place = np.array([(self.component[:i] == one).sum() for i, one in enumerate(self.component)])
        turns = [place == j for j in range(place.max() + 1)]

        def money(price: Array, tried: Array) -> Array:
            course = np.broadcast_to(price, (len(tried), *price.shape)).reshape(-1, *price.shape[1:])
            drawn = self.money(course, tried.reshape(-1, *tried.shape[2:]), few)
            found = np.sum([one[0] for one in drawn], axis=0)
            return found.reshape(*tried.shape[:2], *found.shape[1:])

        for factors in _FACTORS:
            for turn in turns:
                rows = np.where(turn, asked * np.array(factors)[:, None], asked)
                price = self._allowed(market, rows)
                most = self._most(market, lifted, price)[..., None]
                tried = np.where(turn[:, None], 1 - (1 - most) ** _DISCOUNT_STEPS, np.minimum(discount, most))
                found = money(price, tried)
                at = found.max(axis=0).sum(axis=1).argmax(axis=0)[self.component]
                level = found.argmax(axis=0)[at, :, self.component]
                asked = rows[at, n]
                discount = tried[level, at[:, None], n[:, None], segment]
        for turn in turns if (market.guardrails.together(discount) != discount).any() else ():
            price = self._allowed(market, asked[None])
            low = 1 - (1 - self._most(market, lifted, price)[..., None]) ** _DISCOUNT_STEPS
            near = np.clip(discount, low, low + market.prices.max_segment_spread)
            tried = market.guardrails.together(np.where(turn[:, None], near, discount))
            discount = tried[money(price, tried).sum(axis=2)[:, 0].argmax(axis=0)[self.component], 0, n]
        return asked, discount

    def _best_of(self, options: Sequence[_Best]) -> _Best:
        """The best option of each component; the first of those between which the search is not sure."""
        best = options[0]
        for other in options[1:]:
            old, new = (one.money[0].mean(axis=0) for one in (best, other))
            better = new > old + _PRECISION * np.abs(old)
            own = better[self.component]
            price = np.where(own, other.price, best.price)
            discount = np.where(own[:, None], other.discount, best.discount)
            best = _Best(price, discount, np.where(better, other.money, best.money))
        return best


def _components(spec: MarketSpec) -> NDArray[np.intp]:
    """(N,) number of the component of each product: its category, with those that rules tie to it."""
    prices = spec.prices
    number = {name: n for n, name in enumerate(spec.products.names)}
    first = np.unique(spec.category_index, return_index=True)[1][spec.category_index]
    pairs = [*enumerate(first.tolist())]
    for tied in (*prices.line_order, *prices.price_gaps, *prices.packs):
        pairs += [(number[tied[0]], number[name]) for name in tied]
    for row in () if prices.index_weights is None else prices.index_weights:
        inside = np.flatnonzero(row).tolist()
        pairs += [(inside[0], n) for n in inside]
    ends = tuple(np.array(pairs).T)
    ties = coo_array((np.ones(len(pairs)), ends), shape=(len(first), len(first)))
    return connected_components(ties)[1].astype(np.intp)


def _rival_price(spec: MarketSpec) -> Array:
    """(N,) the lowest price of a rival offer for each product, infinite for none."""
    lowest = np.full(spec.sizes["N"], np.inf)
    np.minimum.at(lowest, spec.competitor_product, spec.initial_rival_price)
    return lowest


def _intervals(spec: MarketSpec, rival: Array) -> dict[str, tuple[Array, Array]]:
    """The lowest and the highest price (N,) that each rule alone leaves in the first period."""
    rules = spec.guardrails
    start = spec.guardrails.nearest(spec.initial_price)
    held = np.where(rules.follows_plan, planned_prices(spec)[0], start)
    none = np.zeros(start.shape)
    open_ended = np.full(start.shape, LARGEST)
    from_sales = np.isin(spec.products.names, spec.prices.bounds_from_sales)
    found = dict(rules.bounds)
    ranges = {rule: found.pop(rule) for rule in ("floor", "ceiling")}
    ranges |= {"frozen": (np.where(rules.held, held, none), np.where(rules.held, held, open_ended))}
    for rule, (low, high) in ranges.items():
        for suffix, own in (("", ~from_sales), (FROM_SALES, from_sales)):
            found[rule + suffix] = np.where(own, low, none), np.where(own, high, open_ended)
    if rules.max_change is not None:
        found["max_change"] = (start * (1 - rules.max_change), start * (1 + rules.max_change))
    if rules.near_plan.size:
        low, high = rules.step_range(np.zeros(1, np.intp), None)
        found["max_step"] = (low[0], high[0])
    if rules.direction != "any":
        found["direction"] = direction_range(start, DIRECTIONS[rules.direction])
    if rules.rival_at_least is not None and rules.rival_at_most is not None:
        found["rival_price"] = rival_range(rival, rules.rival_at_least, rules.rival_at_most)
    for rule in LINKING:
        # What this rule alone leaves within the bounds.
        linked = without(spec, frozenset(LINKING) - {rule}).guardrails
        tied = (linked.low > linked.own_low) | (linked.high < linked.own_high)
        found[rule] = (np.where(tied, linked.low, none), np.where(tied, linked.high, open_ended))
    return found


def _bounded(spec: MarketSpec, rival: Array) -> MarketSpec:
    """The market with what a direction and rivals leave of its prices as a floor and a ceiling, for the search."""
    rules = spec.guardrails
    intervals = _intervals(spec, rival)
    low = rules.own_low.astype(np.float64)
    high = rules.own_high.astype(np.float64)
    for rule in intervals.keys() & {"direction", "rival_price"}:
        low, high = (rules.nearest(np.clip(bound, low, high)) for bound in intervals[rule])
    return spec.with_changes(prices={"floor": low, "ceiling": high} | _LIFTED["direction"] | _LIFTED["rival_price"])


def _no_choice(spec: MarketSpec) -> tuple[NoChoice, ...]:
    """The rules, alone or in pairs, that leave a product one price or none in the first period."""
    intervals = _intervals(spec, _rival_price(spec))
    start = spec.guardrails.nearest(spec.initial_price)

    def stuck(rules: Sequence[str], n: int) -> bool:
        low, high = (pick(intervals[rule][i][n] for rule in rules) for i, pick in enumerate((max, min)))
        if high >= LARGEST or high <= low * (1 + SAME):
            return high < LARGEST
        least, most = (float(spec.guardrails.grid.rounded(bound, up=up)) for bound, up in ((low, True), (high, False)))
        return bool(spec.guardrails.grid.kind) and not most > least * (1 + SAME)

    found = []
    for n, product in enumerate(spec.products.names):
        alone = [rule for rule in intervals if stuck([rule], n)]
        pairs = [pair for pair in combinations([rule for rule in intervals if rule not in alone], 2) if stuck(pair, n)]
        found += [NoChoice(tuple(rules), product, float(start[n])) for rules in [*((rule,) for rule in alone), *pairs]]
    return tuple(found)


def _cost(shop: _RuledMarket, best: dict[frozenset[str], _Best], name: str, lifted: frozenset[str]) -> RuleCost:
    base = best[frozenset()]
    other = best[lifted]
    gained = (other.money - base.money).sum(axis=-1)
    means = gained.mean(axis=1).tolist()
    ends = np.quantile(gained, ENDS, axis=1, method=METHOD).T.tolist()
    says = _says(shop.spec, name) if name in lifted else ", ".join(map(rule_words, sorted(lifted)))
    unknown = any(rule.endswith(FROM_SALES) or rule in ("max_discount", "paid_floor") for rule in lifted)
    figures: dict[str, Any] = dict(zip(("cost", "revenue", "profit"), means, strict=True))
    figures |= {f"{figure}_interval90": tuple(end) for figure, end in zip(figures, ends, strict=True)}
    products = _bound(shop, base, other, lifted)
    return RuleCost(name, tuple(sorted(lifted)), says, products=products, extrapolated=unknown, **figures)


def _bound(shop: _RuledMarket, base: _Best, other: _Best, lifted: frozenset[str]) -> tuple[BoundProduct, ...]:
    """The products whose price or discount changes, and those whose price lies at the bound of a rule."""
    far = np.abs(other.price / base.price - 1)
    paid = np.abs(other.discount - base.discount).max(axis=1) > SAME
    bound = (far.max(axis=0) > SAME) | paid
    for rule, ends in _intervals(shop.spec, shop.rival).items():
        if rule in lifted and rule in GROUPS["bounds"]:
            bound |= np.any([np.isclose(base.price, end, rtol=SAME, atol=0).any(axis=0) for end in ends], axis=0)
    names = shop.spec.products.names
    week = far.argmax(axis=0)

    def at(best: _Best, n: int) -> tuple[float, float]:
        return float(best.price[week[n], n]), round(float(best.discount[n].max()), 6)

    pairs = ((n, *zip(at(base, n), at(other, n), strict=True)) for n in np.flatnonzero(bound).tolist())
    return tuple(BoundProduct(names[n], *price, *discount) for n, price, discount in pairs)


_VALUES = {"price_gap": "gap_shares", "pack_price": "pack_shares"}
_VALUES |= {"segment_spread": "max_segment_spread", "group_spread": "max_group_spread"}


def _says(spec: MarketSpec, rule: str) -> str:
    """What a rule says, with its number or the range of its numbers."""
    base = rule.removesuffix(FROM_SALES)
    words = RULES[base]
    if base != rule:
        words += ", as the sales have it"
    if base in PRIORITIES:
        priority = (PRIORITIES | dict(spec.prices.priority or {}))[base]
        words = f"{words} ({priority if is_firm(priority) else f'soft {priority}'})"
    value = getattr(spec.prices, _VALUES.get(base, base), None)
    if value is None or isinstance(value, (str, tuple)) or not np.size(value):
        return words
    numbers = np.unique(np.round(value, 6))
    if len(numbers) == 1:
        return f"{words}: {numbers[0]:g}"
    return f"{words}: {numbers[0]:g} to {numbers[-1]:g}"


def _notes(spec: MarketSpec, present: Sequence[str]) -> tuple[str, ...]:
    from_sales = any(rule.endswith(FROM_SALES) for rule in present)
    capped = "max_discount" in present
    notes = {
        "The best prices are one list price a product for all periods, with ample stock; the price grid stays.": True,
        "Beyond the floors and ceilings from the sales nothing was charged, so what prices earn there is not known.": from_sales,
        "Beyond the cap and below the floor of the price paid no personal discount was given, so its money is not known.": capped,
        "The market has no posterior draws, so the intervals have no width.": not spec.num_draws,
    }
    return tuple(note for note, holds in notes.items() if holds)
