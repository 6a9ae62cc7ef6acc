"""Prices that a person sets against the price rules: what each costs, and which rules no person may leave.

Firm are a freeze, a floor and a ceiling that the shop set itself, the minimum margin and the minimum advertised price,
unless the shop gave them a rank (`Guardrails.priority`): law, contract and the shop's own word are behind them. All others
give way to a person, who is warned; so do a floor, a ceiling and a freeze that come from the sales alone
(`Guardrails.bounds_from_sales`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue
from ..observed import MarketView
from ..protocol import Action
from ..wording import gave_way_words, money_words, rule_words
from .grids import SAME, seven_digits
from .guardrails import GaveWay, Guardrails, TrailStep
from .rule_formulas import BOUNDS

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


def allowed_path(
    rules: Guardrails, catalogue: Catalogue, wanted: Array, current: Array, before: Array, *, charged: bool = False
) -> tuple[Array, list[list[list[TrailStep]]], list[list[GaveWay]]]:
    """What the price rules make of prices over several periods.

    Args:
        rules: The price rules; their planned prices are replaced by the current ones.
        wanted: (T, N) the prices that are asked for, currency per unit.
        current: (T, N) the prices that are planned anyway, which a product whose price must not
            change keeps.
        before: (P, N) the prices charged before the first period, oldest first, currency per unit.
        charged: Whether each period starts from the prices asked for in the one before, as they are charged whatever
            the rules make of them.

    Returns:
        (T, N) the allowed prices with seven digits, by period and product the changes that the rules made, and by
        period the rules that gave way.

    Example:
        >>> from repricer.envs import catalogue_of
        >>> from repricer import load_scenario
        >>> spec = load_scenario("three-stocks").with_changes(prices={"max_change": 0.1})
        >>> current = np.tile(spec.products.regular_price, (2, 1))
        >>> price, steps, _ = allowed_path(spec.guardrails, catalogue_of(spec), 2 * current, current, current[:1])
        >>> bool(np.allclose(price[1], 1.21 * current[0])), steps[0][0][0].rule
        (True, 'max_change')
    """
    rules = replace(rules, planned_price=current)
    past = [before[0]] * (rules.past_periods + 1 - len(before)) + list(before)
    allowed = np.zeros_like(wanted)
    steps = []
    gave_way = []
    for t, asked in enumerate(wanted):
        in_force = np.where(rules.held, current[t], past[-1])
        deal = rules.deals_of(t, asked)[None] if rules.near_plan.size else None
        action = Action(asked[None].astype(np.float32), deal=deal)
        made = rules.apply(action, _view(rules, catalogue, t, in_force, np.array(past)))
        rounded = [seven_digits(price) for price in made.price[0].tolist()]
        kept = asked == current[t]
        allowed[t] = np.where(kept, asked, rounded)
        steps.append([[] if stays else trail for trail, stays in zip(made.trails, kept, strict=True)])
        missed = replace(made, price=allowed[t][None].astype(np.float32)).gave_way
        gave_way.append([one for one in missed if one.product is None or not kept[one.product]])
        past = [*past[1:], asked if charged else allowed[t]]
    return allowed, steps, gave_way


def gave_way_by_product(rules: Guardrails, gave_way: Iterable[GaveWay]) -> Iterator[tuple[int, int, str, str]]:
    """Market, product, rule and words of each rule that gave way; of a basket, for each product that is in it.

    Example:
        >>> list(gave_way_by_product(Guardrails(1.0, 9.0, 0.5), [GaveWay("rival_price", 0, 0, 0.25)]))
        [(0, 0, 'rival_price', 'rival price gave way by 0.25')]
    """
    for rule, market, product, amount, basket in gave_way:
        if basket is None:
            assert product is not None, "a rule is of a product or of a basket"
            yield market, product, rule, gave_way_words(rule, amount)
            continue
        against = f" against {rules.index_names[basket]}" if rules.index_names else ""
        for n in np.flatnonzero(rules.baskets[0][basket]).tolist():
            yield market, n, rule, gave_way_words(rule + against, amount)


def _view(rules: Guardrails, catalogue: Catalogue, t: int, in_force: Array, past: Array) -> MarketView:
    price = in_force[None].astype(np.float32)
    nothing = np.zeros((1, in_force.size), np.float32)
    window = rules.change_window_periods
    # In single precision, in which the bounds are that some of these prices were brought within.
    changes = None if window is None else (np.diff(past[-window:].astype(np.float32), axis=0) != 0).sum(axis=0)[None]
    return MarketView(catalogue, np.array([t]), price, price, nothing, nothing, nothing, changes=changes)


Units = Callable[[NDArray[np.intp], Array, Floats], Array]
"""Expected units (B, N) of B rows: their periods (B,), prices (B, N) and reference prices (B, N)."""


class Breach(NamedTuple):
    """A price that the price rules would change.

    Args:
        period: Number of the period.
        product: Number of the product.
        price: The price that is asked for, currency per unit.
        allowed: What the rules make of it; of a firm breach, the nearest price that no firm rule refuses.
        rules: Names of the rules.
        firm: Whether one of them may not be left; then these alone are named.

    Example:
        >>> Breach(0, 0, 2.99, 3.19, ("max_change",), False).firm
        False
    """

    period: int
    product: int
    price: float
    allowed: float
    rules: tuple[str, ...]
    firm: bool


def breaches(rules: Guardrails, catalogue: Catalogue, wanted: Array, current: Array, before: Array) -> list[Breach]:
    """The prices of a path that leave the price rules, each judged after the prices asked for in the periods before.

    Whoever states a price knows how far it is from the plan: that alone is worth no word, unless the shop made it firm.

    Args:
        rules: The price rules.
        catalogue: The products.
        wanted: (T, N) the prices that are asked for, currency per unit.
        current: (T, N) the prices that are planned anyway; one that stays so breaks no rule.
        before: (P, N) the prices charged before the first period, oldest first.

    Example:
        >>> from repricer import load_scenario
        >>> from repricer.envs import catalogue_of
        >>> spec = load_scenario("three-stocks").with_changes(prices={"max_change": 0.1})
        >>> current = np.tile(spec.products.regular_price, (2, 1))
        >>> [(one.period, one.rules) for one in breaches(
        ...     spec.guardrails, catalogue_of(spec), 1.2 * current, current, current[:1])][:2]
        [(0, ('max_change',)), (0, ('max_change',))]
    """
    if not rules.is_firm("max_step"):
        rules = replace(rules, max_step=None)
    allowed, steps, _ = allowed_path(rules, catalogue, wanted, current, before, charged=True)
    low, high = firm_bounds(rules)
    on_grid = rules.rounded(low, up=True), np.where(np.isinf(high), high, rules.rounded(high, up=False))
    frozen = np.zeros(low.shape, np.bool_)
    if rules.frozen is not None and _holds(rules, "frozen"):
        frozen = rules.frozen & ~_soft(rules)
    firm = {rule: wanted < bound * (1 - SAME) for rule, bound in _least(rules).items()}
    firm |= {"ceiling": wanted > high * (1 + SAME), "frozen": np.broadcast_to(frozen, wanted.shape)}
    left = np.any(list(firm.values()), axis=0) | (abs(allowed - wanted) > SAME * wanted)
    found = []
    for t, n in np.argwhere((wanted != current) & left).tolist():
        held = tuple(rule for rule, broken in firm.items() if broken[t, n])
        named = held or tuple(dict.fromkeys(step.rule for step in steps[t][n]))
        near = current[t, n] if frozen[n] else np.clip(wanted[t, n], on_grid[0][n], on_grid[1][n])
        near = float(seven_digits(near)) if held else float(allowed[t, n])
        found.append(Breach(t, n, float(wanted[t, n]), near, named, bool(held)))
    return found


def firm_bounds(rules: Guardrails) -> tuple[Array, Array]:
    """(N,) lowest and highest prices that a person may set.

    Bounds that come from the sales alone, or that the shop made soft, may be left. Without a ceiling, the highest price
    is infinite.

    Args:
        rules: The price rules.

    Example:
        >>> rules = Guardrails(floor=[5, 5], ceiling=[9, 9], unit_cost=[3, 3], minimum_margin=0.25, bounds_from_sales=[True, False])
        >>> [bound.tolist() for bound in firm_bounds(rules)]
        [[4.0, 5.0], [inf, 9.0]]
    """
    lowest = np.max(list(_least(rules).values()), axis=0)
    without_ceiling = _soft(rules) | (not _holds(rules, "ceiling"))
    return lowest, np.where(without_ceiling, np.inf, rules.ceiling)


def _holds(rules: Guardrails, rule: str) -> bool:
    """Whether people may not leave a rule: law or hard, or a freeze to which the shop gave no rank."""
    return rule in (*BOUNDS, "frozen") and (rules.is_firm(rule) or (rule == "frozen" and rule not in rules.priority))


def _soft(rules: Guardrails) -> NDArray[np.bool_]:
    """(N,) products whose floor, ceiling and freeze come from the sales alone: a person may leave them."""
    return np.zeros(rules.floor.shape, np.bool_) if rules.bounds_from_sales is None else rules.bounds_from_sales


def _least(rules: Guardrails) -> dict[str, Array]:
    """(N,) lowest prices that a person must keep, by rule."""
    least = rules.least | {"floor": np.where(_soft(rules), 0.0, rules.floor)}
    return {rule: low if _holds(rules, rule) else np.zeros_like(low) for rule, low in least.items()}


def allowed_gains(
    found: Sequence[Breach], wanted: Array, reference: Floats, units: Units, catalogue: Catalogue, unit_cost: Array
) -> list[float]:
    """What the allowed price of each breach is expected to earn more than the price asked for, currency: in its period,
    over all products, with the other prices as asked for.

    Args:
        found: The breaches.
        wanted: (T, N) the prices that are asked for.
        reference: (T, N) the reference prices along them.
        units: Expected units at a price.
        catalogue: The products.
        unit_cost: (N,) currency per unit, in shelf prices, as `Guardrails` has it; zeros where revenue counts.
    """
    if not found:
        return []
    period, product = (np.array([getattr(one, name) for one in found]) for name in ("period", "product"))
    asked = wanted[period]
    kept = wanted[period].copy()
    kept[np.arange(len(found)), product] = [one.allowed for one in found]
    same = catalogue.category == catalogue.category[product][:, None]

    def money(price: Array) -> Array:
        return (catalogue.net(price - unit_cost) * same * units(period, price, reference[period])).sum(axis=1)

    return (money(kept) - money(asked)).tolist()


def alike(found: Sequence[Breach], gains: Sequence[float]) -> Iterator[tuple[tuple[Breach, ...], tuple[float, ...]]]:
    """The breaches of the same rules by the same product together, with their gains; firm ones first.

    Args:
        found: The breaches.
        gains: Of each.
    """

    def kind(pair: tuple[Breach, float]) -> tuple[Any, ...]:
        return not pair[0].firm, pair[0].product, pair[0].rules

    for _, group in groupby(sorted(zip(found, gains, strict=True), key=kind), key=kind):
        same, gain = zip(*group, strict=True)
        yield same, gain


def breach_line(
    found: Sequence[Breach],
    gains: Sequence[float] | None,
    *,
    product: str,
    weeks: Sequence[str],
    money: str,
    currency: str,
) -> str:
    """Breaches of the same rules by one product, in a line.

    Args:
        found: The breaches.
        gains: Of each, as of `allowed_gains`; None where no response is known.
        product: Name of the product.
        weeks: Names of their periods.
        money: Objective, revenue or profit.
        currency: Unit of money.

    Example:
        >>> breach_line([Breach(0, 0, 2.9, 2.99, ("price_ladder",), False)], [1.5], product="tea", weeks=["2018-01-01"],
        ...     money="profit", currency="EUR")
        "2.9 for 'tea' in the week of 2018-01-01 leaves the price rule rounding to the price grid; 2.99 is allowed, and expected to earn 1.50 EUR more profit"
    """
    first = found[0]
    more = f" and {len(found) - 1} more" if found[1:] else ""
    where = f"{product!r} in the week of {weeks[0]}{more}"
    left = ", ".join(map(rule_words, first.rules))
    warning = f"{first.price:g} for {where} leaves the price rule {left}; {first.allowed:g} is allowed"
    if gains is None:
        return f"{warning}; what it would earn is not known"
    gain = sum(gains)
    side = "more" if gain >= 0 else "less"
    return f"{warning}, and expected to earn {money_words(abs(gain), currency)} {side} {money}"
