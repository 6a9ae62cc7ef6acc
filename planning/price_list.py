"""The price list of a market: its rows from the recommended prices.

Needs the `train` extra.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..agents.posterior.deals import DEAL, Plan, own_plan
from ..envs import catalogue_of, expected_units
from ..evaluation.uncertainty import Assessment, ProductFigures, charged_range, product_figures
from ..pricing import Action, MarketView, Policy
from ..pricing.law import announced_path, prior_periods, reduction
from ..pricing.price_rules.guardrails import GaveWay
from ..pricing.price_rules.overrides import allowed_path, gave_way_by_product
from ..pricing.price_rules.projection import MISSED
from ..pricing.price_rules.rule_formulas import BITS
from ..pricing.wording import rule_words
from ..scenarios import MarketSpec, goal_market
from ..scenarios.periods import planned_prices, simulated_prices
from ..serving.price_list.rows import ALL_STORES, EXPECTED, ListError, PriceRow, sealed
from .price_image import image_of_list

if TYPE_CHECKING:
    from ..evaluation import Comparison

_FEW_DRAWS = 8
_NONE_MOVED = "all prices stay as planned"
UNCHANGED = 5e-4
"""A change of a price, as a share of it, that is smaller reads as none."""
# How far from the regular price the reasons say what a product would sell.
_COMPARED_STEP = 0.1
_ELSEWHERE = "so that other products or a price rule decide"
_PROMOTED = " On display or in the mailer."
Floats = NDArray[np.float64]


def proposed_rows(found: Assessment, *, zone: str = ALL_STORES, seed: int = 0) -> list[PriceRow]:
    """The rows of the recommended prices: every product in every week of the market,
    product by product.

    A list has one price per product and week, so where a policy's price depends on what will have
    been sold, it is the mean over posterior draws and customers, brought in line with the price
    rules again. The expected figures are those of the prices in the list.

    Args:
        found: The assessment of a market with a calendar.
        zone: Name of the stores that the market stands for.
        seed: Selects the test seeds of the expected figures.

    Raises:
        ListError: The market has no calendar.

    Example:
        >>> from repricer import load_scenario
        >>> from repricer.evaluation.uncertainty import assess
        >>> from repricer.scenarios.sections import Posterior
        >>> dates = {"first_day": "2018-01-01", "period_days": 7}
        >>> spec = load_scenario("stationary-logit").with_changes(market=dates)
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> row, *others = proposed_rows(assess(spec, [], learned=[]))
        >>> row.week.isoformat(), len(others)
        ('2018-01-01', 29)
    """
    spec = found.compared.spec
    chosen = found.recommendation
    calendar = spec.calendar
    if calendar is None:
        got = f"got {spec.name} without market.first_day; set it, or fit again"
        raise ListError([f"a price list needs a market with dates; {got}"])
    catalogue = catalogue_of(spec)
    current = planned_prices(spec)
    wanted = np.where(spec.guardrails.held, current, found.compared.prices[chosen.policy]) if chosen.change else current
    rules = spec.guardrails
    regular = spec.products.regular_price
    price, steps, gave_way = allowed_path(rules, catalogue, wanted, current, rules.prices_before(regular))
    in_list = [[sum({int(BITS[step.rule]) for step in trail}) for trail in week] for week in steps]
    bits = product_figures(spec.scored, found.policy, draws=min(_FEW_DRAWS, spec.scored.num_draws), seed=seed).rules
    bits = bits | np.array(in_list, np.uint32)
    reason = _Reasons(spec, chosen.change)
    return priced_rows(spec, found.policy, price, current, reason, rules=bits, gave_way=gave_way, zone=zone, seed=seed)


def priced_rows(
    spec: MarketSpec,
    policy: Policy,
    price: Floats,
    current: Floats,
    reason: Callable[[int, int, float], str],
    *,
    rules: NDArray[np.uint32] | None = None,
    gave_way: Sequence[Sequence[GaveWay]] = (),
    zone: str = ALL_STORES,
    seed: int = 0,
) -> list[PriceRow]:
    """The rows of given prices, with what is expected at them.

    Args:
        spec: A market with a calendar and a posterior.
        policy: Decides all else than prices.
        price: (T, N) the prices, to which the price rules have been applied.
        current: (T, N) the prices that are planned anyway.
        reason: Says why, given period, product and relative change.
        rules: (T, N) bits of the price rules that changed a proposal; none by default.
        gave_way: By period, the price rules that gave way to stronger ones.
        zone: Name of the stores that the market stands for.
        seed: Selects the test seeds of the expected figures.
    """
    calendar = spec.calendar
    products = spec.products
    ids = spec.products.ids or spec.products.names
    assert calendar is not None, "the market has a calendar"
    simulated = simulated_prices(spec, price)
    listed = charged_by(spec, policy, price)
    figures = product_figures(spec.scored, listed, seed=seed).bringing(products.net(price - simulated))
    guardrails = spec.guardrails
    periods = prior_periods(calendar.period_days)
    lowest = pd.DataFrame(price).rolling(periods).min().shift(1).to_numpy()
    prior = None
    if guardrails.law is not None and guardrails.law.states_prior:
        assert guardrails.prior_price_periods is not None, "the law sets it"
        periods = guardrails.prior_price_periods
        before = guardrails.prices_before(products.regular_price)
        prior = announced_path(guardrails.law, price, before, periods)
        lowest = pd.DataFrame([*before[-periods:], *price]).rolling(periods).min().shift(1).to_numpy()[periods:]
    charged = charged_range(spec)
    outside = np.zeros(price.shape, np.bool_) if charged is None else charged.outside(price)
    # A price that nobody decides on is no extrapolation.
    outside &= ~guardrails.follows_plan
    marks = [] if charged is None else [charged.words(n) for n in range(len(products.names))]
    change = price / current - 1
    missed = defaultdict(list)
    for t, week in enumerate(gave_way):
        for _, n, _, words in gave_way_by_product(guardrails, week):
            missed[t, n].append(words)
    # A price that stays as planned may miss what the shop itself fixed.
    fixed = ~np.isin(products.names, spec.prices.bounds_from_sales)
    for rule, (least, most) in guardrails.bounds.items():
        short = np.maximum(least - price, price - most)
        named = (short > MISSED * price) & (price == current) & (fixed | (rule not in ("floor", "ceiling")))
        for t, n in np.argwhere(named).tolist():
            missed[t, n].append(f"planned price misses {rule_words(rule)} by {short[t, n]:.4g}")

    def row(t: int, n: int) -> PriceRow:
        moved = float(change[t, n])
        own: dict[str, Any] = {"zone": zone, "product_id": ids[n], "product": products.names[n]}
        own |= {"category": spec.category_names[spec.category_index[n]], "week": calendar.day(t)}
        own |= {"current_price": float(current[t, n]), "new_price": float(price[t, n]), "change": round(moved, 6)}
        own |= {"reason": reason(t, n, moved) + _PROMOTED * bool(figures.promoted[t, n])} | _money(figures, t, n)
        if prior is not None and np.isfinite(prior[t, n]):
            off = float(reduction(price[t, n], prior[t, n]))
            own["reason"] += f" May be announced as a reduction of {off:.2%} from {prior[t, n]:,.2f}."
        share, low = (None if np.isnan(one[t, n]) else float(one[t, n]) for one in (figures.parameter_share, lowest))
        own |= {"parameter_share": share and round(share, 4), "lowest_price_30_days": low}
        own |= {"outside_charged": marks[n] if outside[t, n] else ""}
        changed = [] if rules is None else _rules(spec, int(rules[t, n]))
        own |= {"rules": ", ".join([*changed, *missed.get((t, n), [])])}
        return sealed(PriceRow(**own, check=""))

    return [row(t, n) for n in range(len(products.names)) for t in range(len(price))]


def _money(figures: ProductFigures, t: int, n: int) -> dict[str, Any]:
    """Expected units, revenue and profit, with both ends of their intervals, as a row has them."""
    money: dict[str, Any] = {}
    for name in EXPECTED:
        mean, low, high = (round(float(part[t, n]), 2) for part in getattr(figures, name))
        money |= {f"expected_{name}": mean, f"{name}_low": low, f"{name}_high": high}
    return money


def _rules(spec: MarketSpec, bits: int) -> list[str]:
    """The rules in words; that a price is a whole number of cents is not worth one."""
    cents = spec.prices.tick is not None
    named = [rule for rule, bit in BITS.items() if bits & int(bit) and not (cents and rule == "price_ladder")]
    return [rule_words(rule) for rule in named]


def charged_by(spec: MarketSpec, policy: Policy, price: Floats) -> Policy:
    """A policy that charges the prices of a list, (T, N), as the market simulates them, and decides all else as another does."""
    return _Charged(policy.name, policy, simulated_prices(spec, price), spec.guardrails.paid_low)


@dataclass(frozen=True)
class _Charged:
    """A policy that charges the prices of a list, and decides all else as another does.

    Attributes:
        name: Name of the other policy.
        policy: The other policy.
        price: (T, N) the prices of the list.
        paid_low: (N,) lowest price after a personal discount, which holds although the list's prices stand.
    """

    name: str
    policy: Policy
    price: Floats
    paid_low: NDArray[np.float32]

    def act(self, view: MarketView) -> Action:
        """The other policy's action at the prices of the list."""
        price = self.price[view.period].astype(np.float32)
        action = self.policy.act(view)
        discount = action.discount
        if discount is not None:
            discount = np.minimum(discount, np.maximum(1 - self.paid_low / price, 0)[..., None])
        return replace(action, price=price, discount=discount, as_charged=True)


@dataclass(frozen=True)
class _Reasons:
    """Why a recommended price is what it is."""

    spec: MarketSpec
    change: bool

    def __call__(self, t: int, n: int, change: float) -> str:
        """The sentence for product n, whose price changes by this share."""
        if self.spec.guardrails.held[n]:
            because = (self.spec.prices.frozen_because or {}).get(self.spec.products.names[n])
            if because:
                return f"Stays as planned: {because}."
            silent = "the sales do not tell how customers respond to other prices"
            unknown = self.spec.evidence.unidentified
            ruled = f"{silent}, or by your rule" if unknown is None else "by your rule"
            return f"Stays: {silent if unknown and self.spec.products.names[n] in unknown else ruled}."
        if not self.change:
            return "Stays: no change of the current prices is recommended."
        if abs(change) < UNCHANGED:
            return "Stays: the recommended price is the current one."
        (fewer, more), plan, money = self.answers[:, n], self.plan, self.spec.market.objective
        if change > 0 and plan.deal[t, n]:
            whole = plan.price[t, n] * (1 + change) >= DEAL * self.spec.products.regular_price[n]
            return f"Raised {change:.1%}: the deal planned for this {self.spec.market.period} is {'dropped' if whole else 'smaller'}."
        margin = 1 - self.costs[n] / self.net_regular[n]
        if change > 0:
            most = _COMPARED_STEP / (_COMPARED_STEP + margin)
            why = f"of which {most:.0%} may be lost before {money} falls" if -fewer < most else _ELSEWHERE
            return f"Raised {change:.1%}: a price {_COMPARED_STEP:.0%} above the regular one is expected to lose {-fewer:.0%} of the units, {why}."
        least = _COMPARED_STEP / (margin - _COMPARED_STEP) if margin > _COMPARED_STEP else np.inf
        why = f"of which {least:.0%} are needed before {money} rises" if more > least else _ELSEWHERE
        return f"Lowered {-change:.1%}: a price {_COMPARED_STEP:.0%} below the regular one is expected to sell {more:.0%} more units, {why}."

    @cached_property
    def plan(self) -> Plan:
        """What the shop plans anyway."""
        return own_plan(self.spec)

    @cached_property
    def costs(self) -> Floats:
        """(N,) unit costs that count in the objective."""
        goal = goal_market(self.spec)
        return goal.products.unit_cost * (goal.market.objective == "profit")

    @cached_property
    def net_regular(self) -> Floats:
        """(N,) regular prices without VAT."""
        return self.spec.products.net(self.spec.products.regular_price)

    @cached_property
    def answers(self) -> Floats:
        """(2, N) relative change of a product's units at a price above and at one below its regular one, the others at
        theirs, in the first period.
        """
        regular = self.spec.products.regular_price
        usual = expected_units(self.spec, 0, regular)[0].sum(axis=0)
        tried = [regular + step * np.diag(regular) for step in (_COMPARED_STEP, -_COMPARED_STEP)]
        changed = [expected_units(self.spec, 0, prices).sum(axis=1).diagonal() for prices in tried]
        return np.divide(changed, usual, out=np.ones((2, len(usual))), where=usual > 0) - 1


# Stresses take many markets and show losses of whole percents; deeper trees are hard to read.
_STRESS_EPISODES = 200
_RULES_DEPTH = 3
# Products up to which prices are searched again without each rule, over so many draws: in more it takes minutes.
_MOST_SEARCHED = 200
_COST_DRAWS = 50


def beyond_the_comparison(
    policy: Policy, comparison: Comparison, seed: int, rows: list[PriceRow], folder: Path, *, costs: bool = True
) -> dict[str, Any]:
    """What a report says of a policy besides its earnings, as `ReportData` takes it: stress tests, rules and what they cost,
    the rows of the price list, its key-value items and basket index, and prices by protected group where the market has
    groups.

    Args:
        folder: Of the market, as for `price_image.kept_items`.
        costs: Whether to search what each price rule costs, which takes as long as all else together.
    """
    from msgspec.structs import asdict

    from ..agents.posterior.prices import has_closed_form
    from ..evaluation import group_figures, stress_table, surrogate_tree
    from ..evaluation.rule_costs import rule_costs

    spec = comparison.spec
    stress = stress_table(spec, [policy, "best-fixed"], episodes=min(comparison.count, _STRESS_EPISODES), seed=seed)
    rules = surrogate_tree(policy, spec, max_depth=_RULES_DEPTH, seed=seed)
    found = comparison.uncertainty
    current = product_figures(spec.scored, found.candidates[0].policy, seed=seed) if rows and found else None
    searched = costs and spec.num_draws and spec.sizes["N"] <= _MOST_SEARCHED and has_closed_form(spec)
    own = {"stress": stress, "price_list": [asdict(row) for row in rows], "current": current}
    own |= {"rule_costs": rule_costs(spec, draws=min(_COST_DRAWS, spec.num_draws), seed=seed) if searched else None}
    own |= asdict(image_of_list(folder, [(spec, rows)]))
    own["groups"] = None if spec.fairness is None else group_figures(spec, policy, seed=seed)
    return own | {"tree": rules.text, "tree_fidelity": rules.fidelity}


def price_list(comparison: Comparison, seed: int) -> list[PriceRow]:
    """The rows of the recommended prices; none in a market without dates or posterior."""
    if comparison.uncertainty is None or comparison.spec.calendar is None:
        return []
    return proposed_rows(comparison.uncertainty, seed=seed)


def list_line(facts: dict[str, Any], out: Path) -> str:
    """What a price list holds, in one line."""
    moved = "{raised:,} prices raised, {lowered:,} lowered" if facts["raised"] or facts["lowered"] else _NONE_MOVED
    span = "{products:,} products, {weeks} {unit} from {first} to {last}"
    marked = "{outside_charged:,} prices outside what was mostly charged"
    money = "revenue {revenue:,.0f}, units {units:,.0f}, profit {profit:,.0f}"
    return f"{{rows:,}} rows in {{out}}: {span}; {moved}; {marked}; expected: {money}".format_map(facts | {"out": out})


def summary(rows: list[PriceRow], unit: str) -> dict[str, Any]:
    """How many rows, products and weeks a price list has, and which way its prices go.

    Args:
        unit: What its periods are called, weeks or days.
    """
    weeks = sorted({row.week for row in rows})
    expected = {name: sum(getattr(row, f"expected_{name}") or 0.0 for row in rows) for name in EXPECTED}
    return {
        "rows": len(rows),
        "products": len({row.product for row in rows}),
        "weeks": len(weeks),
        "unit": unit,
        "first": str(weeks[0]),
        "last": str(weeks[-1]),
        **expected,
        "raised": sum(row.new_price > row.current_price for row in rows),
        "lowered": sum(row.new_price < row.current_price for row in rows),
        "outside_charged": sum(bool(row.outside_charged) for row in rows),
    }
