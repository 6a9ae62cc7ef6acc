"""Compiled price rules (guardrails): from proposed prices and discounts to allowed ones.

The trail says which rules changed a price. Each loop calls, for one product of one market, the same
formula that `pricing` applies to whole arrays. Arrays lie (…, N, E). Past prices are (H * N, E):
row i * N + n is the price of product n in the i-th period before the current price was set.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ...pricing.backend import clip
from ...pricing.price_rules.grids import ENDINGS, LADDER, NO_GRID, TICK
from ...pricing.price_rules.guardrails import Guardrails
from ...pricing.price_rules.rule_formulas import (
    BITS,
    DIRECTIONS,
    DISCOUNT_RULES,
    STEP_RULES,
    capped_discount,
    capped_price,
    closer_discount,
    discount_steps,
    held_price,
    lowered_cap,
    near_rival,
    price_steps,
    raised_price,
    turns_back,
)
from ...scenarios import MarketSpec
from ..jit.compiling import compiled, merged

_INFINITE, _UNPLANNED, _NONE, _ZERO = np.float32(np.inf), np.float32(np.nan), np.int32(0), np.float32(0)
_STEPS = tuple(np.int32(BITS[rule]) for rule in STEP_RULES)
_DISCOUNTS = tuple(np.int32(BITS[rule]) for rule in DISCOUNT_RULES)
_FROZEN, _USED_UP, _LINE, _RIVAL, _DIRECTION = (
    BITS[rule] for rule in ("frozen", "max_changes", "line_order", "rival_price", "direction")
)


_PRICE_RULES = """
low high steps planned frozen most_changes window direction small large share chained linked link_low link_high
rival_product rival_at_least rival_at_most paid_low cap spread contrasts group_spread
"""


class PriceRules(namedtuple("PriceRules", _PRICE_RULES)):
    """Price rules as arrays.

    Attributes:
        low: (N,) lower bound of each product on its own, currency per unit.
        high: (N,) upper bound of each product on its own.
        steps: Further arguments of `price_steps`.
        planned: (T, N) prices as far as which a price may change in any case, or (0, N) if none are planned.
        frozen: (N,) whether the price may not change, or (0,) if all may.
        most_changes: Largest number of changes within the window; 0 for no limit.
        window: Periods.
        direction: Sign of the direction in which prices may move; 0 for any.
        small: (L,) products of the price links: each costs at most its share of the larger one's price.
        large: (L,) the larger ones.
        share: (L,) the shares.
        chained: Whether one pass puts the links in order.
        linked: The products that have links.
        link_low: (N,) lower bound that the links leave.
        link_high: (N,) upper bound that the links leave.
        rival_product: (R,) product that each rival offer competes with.
        rival_at_least: (N,) least share of the lowest rival price, or (0,) if no rule refers to it.
        rival_at_most: (N,) largest share of it, or (0,).
        paid_low: (N,) lower bound of the price after a discount.
        cap: Largest discount, a share.
        spread: Largest difference between the discounts of two segments.
        contrasts: (P, K) what a segment's discount adds to the difference of two protected groups' averages, or (0, K).
        group_spread: Largest such difference.
    """

    @classmethod
    def none(cls, spec: MarketSpec) -> PriceRules:
        """Rules that leave every list price as it is, beside the scenario's rules for discounts."""
        zeros, rules = np.zeros(spec.sizes["N"]), spec.guardrails
        free = Guardrails(
            floor=zeros,
            ceiling=zeros + np.inf,
            unit_cost=zeros,
            max_discount=rules.max_discount,
            max_segment_spread=rules.max_segment_spread,
            max_group_spread=rules.max_group_spread,
            group_contrasts=rules.group_contrasts,
        )
        return cls.of(spec, free)

    @classmethod
    def of(cls, spec: MarketSpec, rules: Guardrails | None = None) -> PriceRules:
        """The price rules of a scenario, or others in their place."""
        rules = spec.guardrails if rules is None else rules
        # The steps of a ladder are read-only, a type of its own to the compiler.
        steps = rules.constants._replace(steps=np.array(rules.constants.steps))
        return cls(
            low=rules.own_low,
            high=rules.own_high,
            steps=tuple(steps),
            planned=rules.planned_rows,
            frozen=np.empty(0, np.bool_) if rules.frozen is None else rules.frozen,
            most_changes=rules.max_changes or 0,
            window=rules.change_window_periods or 1,
            direction=DIRECTIONS[rules.direction],
            small=rules.links.small,
            large=rules.links.large,
            share=rules.links.share.astype(np.float32),
            chained=rules.links.chained,
            linked=rules.links.members,
            link_low=rules.low,
            link_high=rules.high,
            rival_product=spec.competitor_product.astype(np.int64),
            rival_at_least=rules.rival_shares[0],
            rival_at_most=rules.rival_shares[1],
            paid_low=rules.paid_low,
            cap=np.float32(rules.max_discount),
            spread=np.float32(rules.max_segment_spread),
            contrasts=rules.contrasts,
            group_spread=np.float32(rules.max_group_spread),
        )


@compiled
def guard_prices(proposed, current, past, rival, period, rules, price, trail):
    """Fill allowed prices and the rules that changed them.

    Args:
        proposed: (N, E) currency per unit.
        current: (N, E) current prices.
        past: (H * N, E) past prices.
        rival: (R, E) rival prices as last seen.
        period: (E,) number of the period.
        rules: `PriceRules`.
        price: (N, E), filled.
        trail: (N, E) uint16, filled; bit i is set where the i-th rule changed the price.
    """
    near = near_rivals(proposed, rival, rules) if rules.rival_at_most.size else proposed
    holding = rules.frozen.size > 0 or rules.most_changes > 0 or rules.direction != 0
    stays, held = near, np.zeros(price.shape if holding or rules.small.size else (0, 0), np.bool_)
    if holding:
        stays = np.empty_like(price)
        hold(near, current, past, period, rules, stays, held)
    _guard_apart(stays, current, period, rules, price, trail)
    if holding:
        note_held(near, stays, current, rules, held, trail)
    if rules.small.size:
        keep_links(rules, held, price, trail)
    for n in range(price.shape[0] if rules.rival_at_most.size else 0):
        for e in range(price.shape[1]):
            if near[n, e] != proposed[n, e] and proposed[n, e] == proposed[n, e]:
                trail[n, e] |= _RIVAL


@compiled
def near_rivals(proposed, rival, rules):
    """(N, E) the proposed prices, within their shares of the lowest rival price."""
    near = np.full_like(proposed, np.inf)
    for r in range(rival.shape[0]):
        n = rules.rival_product[r]
        for e in range(near.shape[1]):
            near[n, e] = min(near[n, e], rival[r, e])
    for n in range(near.shape[0]):
        shares = (rules.rival_at_least[n], rules.rival_at_most[n])
        for e in range(near.shape[1]):
            near[n, e] = near_rival(proposed[n, e], near[n, e], shares[0], shares[1], rules.steps)
    return near


@compiled
def _guard_apart(proposed, current, period, rules, price, trail):
    """As `guard_prices`, each product on its own."""
    grid, steps, tick, fall, rise, margin_low, advertised_low = rules.steps
    low, high = rules.low, rules.high
    for n in range(price.shape[0]):
        constants = (steps, tick, fall[n], rise[n], margin_low[n], advertised_low[n])
        row = (constants, low[n], high[n], proposed[n], current[n], price[n], trail[n])
        plan(rules.planned, period, n, price[n])
        # Constants, not a variable: the loop without a grid then has no branch and uses SIMD.
        if grid == LADDER:
            _guard_row(LADDER, *row)
        elif grid == TICK:
            _guard_row(TICK, *row)
        elif grid == ENDINGS:
            _guard_row(ENDINGS, *row)
        else:
            _guard_row(NO_GRID, *row)


@compiled
def plan(planned, period, n, price):
    """Fill the prices that are planned for a product, (E,), NaN for none."""
    for e in range(price.size):
        price[e] = planned[min(period[e], planned.shape[0] - 1), n] if planned.shape[0] else _UNPLANNED


@merged
def _guard_row(grid, constants, low, high, proposed, current, price, trail):
    """One product's prices, (E,); `price` holds the planned ones on entry."""
    for e in range(price.size):
        after = price_steps(proposed[e], current[e], price[e], low, high, (grid, *constants))
        proper, moved, snapped, margin, advertised, floored, final = after
        bits = _STEPS[0] if proper != proposed[e] else _NONE
        bits |= _STEPS[1] if moved != proper else _NONE
        bits |= _STEPS[2] if snapped != moved else _NONE
        bits |= _STEPS[3] if margin != snapped else _NONE
        bits |= _STEPS[4] if advertised != margin else _NONE
        bits |= _STEPS[5] if floored != advertised else _NONE
        bits |= _STEPS[6] if final != floored else _NONE
        price[e] = final
        trail[e] = bits


@compiled
def hold(proposed, current, past, period, rules, stays, held):
    """Fill which prices are held, (N, E), and the proposed prices after that, (N, E)."""
    products, markets = proposed.shape
    grid, steps, tick, fall, rise, margin_low, advertised_low = rules.steps
    for n in range(products):
        frozen, plans = rules.frozen.size > 0 and rules.frozen[n], stays[n]
        constants = (grid, steps, tick, fall[n], rise[n], margin_low[n], advertised_low[n])
        plan(rules.planned, period, n, plans)
        for e in range(markets):
            planned = plans[e]
            used_up = rules.most_changes > 0 and changes(current, past, rules.window, n, e) >= rules.most_changes
            stays[n, e] = proposed[n, e]
            if frozen or turns_back(proposed[n, e], current[n, e], rules.direction):
                stays[n, e] = current[n, e]
            elif used_up:
                stays[n, e] = held_price(proposed[n, e], current[n, e], planned, rules.low[n], rules.high[n], constants)
            # What follows the plan moves, and gives way to what does not.
            held[n, e] = frozen or (used_up and stays[n, e] == current[n, e])


@compiled
def changes(current, past, window, n, e):
    """Number of price changes in the window before the current period, for product n in market e."""
    count, later = 0, current[n, e]
    for i in range(window - 1):
        earlier = past[i * current.shape[0] + n, e]
        count += int(earlier != later)
        later = earlier
    return count


@compiled
def note_held(proposed, stays, current, rules, held, trail):
    """Add the rules that held a price to the trail."""
    for n in range(proposed.shape[0]):
        frozen = rules.frozen.size > 0 and rules.frozen[n]
        for e in range(proposed.shape[1]):
            # A price that is no number and not held stays none.
            if stays[n, e] == stays[n, e] and stays[n, e] != proposed[n, e]:
                turned = not held[n, e] and turns_back(proposed[n, e], current[n, e], rules.direction)
                trail[n, e] |= _FROZEN if frozen else (_DIRECTION if turned else _USED_UP)


@compiled
def keep_links(rules, held, price, trail):
    """Keep product lines and price gaps, in place; the same as `PriceLinks.guarded`."""
    before, cap, markets = price.copy(), np.empty_like(price), price.shape[1]
    for n in rules.linked:
        for e in range(markets):
            price[n, e] = clip(price[n, e], rules.link_low[n], rules.link_high[n])
            cap[n, e] = price[n, e] if held[n, e] else _INFINITE
    while _lower_caps(rules, held, cap) and not rules.chained:
        pass
    for n in rules.linked:
        for e in range(markets):
            price[n, e] = capped_price(price[n, e], cap[n, e], held[n, e], rules.link_low[n])
    while _raise_prices(rules, price) and not rules.chained:
        pass
    for n in rules.linked:
        for e in range(markets):
            if price[n, e] != before[n, e]:
                trail[n, e] |= _LINE


@compiled
def _lower_caps(rules, held, cap):
    """One pass from large to small; whether it changed anything."""
    changed = False
    for i in range(rules.small.size - 1, -1, -1):
        a, b, share = rules.small[i], rules.large[i], rules.share[i]
        for e in range(cap.shape[1]):
            limit = lowered_cap(cap[b, e], share, rules.link_low[a], rules.steps)
            if limit < cap[a, e] and not held[a, e]:
                cap[a, e] = limit
                changed = True
    return changed


@compiled
def _raise_prices(rules, price):
    """One pass from small to large; whether it changed anything."""
    changed = False
    for i in range(rules.small.size):
        a, b, share = rules.small[i], rules.large[i], rules.share[i]
        for e in range(price.shape[1]):
            raised = raised_price(price[b, e], price[a, e], share, rules.link_high[b], rules.steps)
            if raised != price[b, e]:
                price[b, e] = raised
                changed = True
    return changed


@compiled
def guard_discounts(proposed, price, rules, allowed, trail):
    """Fill allowed discounts, (K, N, E), and add the rules that changed them to the trail, (N, E)."""
    segments, products, markets = proposed.shape
    low, cap, spread, least = rules.paid_low, rules.cap, rules.spread, np.empty(markets, proposed.dtype)
    for n in range(products):
        least[:] = cap
        for k in range(segments):
            for e in range(markets):
                least[e] = min(least[e], capped_discount(proposed[k, n, e], cap))
        for k in range(segments):
            for e in range(markets):
                before = proposed[k, n, e]
                capped = capped_discount(before, cap)
                near, final = discount_steps(capped, least[e], price[n, e], low[n], spread)
                bits = _DISCOUNTS[0] if capped != before else _NONE
                bits |= _DISCOUNTS[1] if near != capped else _NONE
                bits |= _DISCOUNTS[2] if final != near else _NONE
                trail[n, e] |= bits
                allowed[k, n, e] = final
        if rules.contrasts.size:
            _draw_together(allowed[:, n], rules, trail[n])


@compiled
def _draw_together(discount, rules, trail):
    """Keep the cap on the difference of protected groups' average discounts, of one product, in place; (K, E)."""
    segments, pairs, cap = discount.shape[0], rules.contrasts.shape[0], rules.group_spread
    for e in range(discount.shape[1]):
        least, apart = discount[0, e], _ZERO
        for k in range(1, segments):
            least = min(least, discount[k, e])
        for p in range(pairs):
            gap = _ZERO
            for k in range(segments):
                gap += rules.contrasts[p, k] * (discount[k, e] - least)
            apart = max(apart, abs(gap))
        for k in range(segments):
            closer = closer_discount(discount[k, e], least, apart, cap)
            if closer != discount[k, e]:
                trail[e] |= _DISCOUNTS[3]
                discount[k, e] = closer


@compiled
def remember(price, past):
    """Shift the past prices by a period and store this price, (N, E), as the latest."""
    products, markets = price.shape
    for row in range(past.shape[0] - 1, -1, -1):
        for e in range(markets):
            past[row, e] = past[row - products, e] if row >= products else price[row, e]
