"""Compiled price rules (guardrails): from proposed prices and discounts to allowed ones.

The trail says which rules changed a price. Each loop calls, for one product of one market, the same
formula that `pricing` applies to whole arrays. Arrays lie (…, N, E). Past prices are (H * N, E):
row i * N + n is the price of product n in the i-th period before the current price was set.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing.backend import clip
from ...pricing.complete import check_complete
from ...pricing.price_rules.grids import ENDINGS, LADDER, NO_GRID, TICK
from ...pricing.price_rules.guardrails import Guardrails
from ...pricing.price_rules.projection import MISSED, affordable, narrowed, nearest, settle
from ...pricing.price_rules.rule_formulas import (
    BITS,
    BOUNDS,
    CODES,
    DIRECTIONS,
    DISCOUNT_RULES,
    LARGEST,
    LINKING,
    PRIORITIES,
    capped_discount,
    change_range,
    closer_discount,
    direction_range,
    discount_steps,
    rival_range,
)
from ...scenarios import MarketSpec
from ..jit.compiling import compiled, merged

_NONE = np.int32(0)
_ONE = np.int32(1)
_ZERO = np.float32(0)
_DISCOUNTS = tuple(np.int32(BITS[rule]) for rule in DISCOUNT_RULES)
_NUMBER = np.int32(BITS["not_a_number"])
_GRID = np.int32(BITS["price_ladder"])
_RANGES = ("frozen", "max_changes", "direction", "max_change", "max_step", "rival_price")
"""The rules of which `asked_range` knows what they ask of a product in a market, beside `BOUNDS`."""
_FROZEN, _USED_UP, _DIRECTION, _CHANGE, _STEP, _RIVAL = (int(CODES[rule]) for rule in _RANGES)
_BOUND = int(CODES[BOUNDS[0]])
# The rules between products stand together.
_LINKS = int(CODES[LINKING[0]])
_INDEX = int(CODES["price_index"])
check_complete(
    "envs.kernels.price_rules",
    "what it asks for",
    PRIORITIES.keys() - {*BOUNDS, *LINKING, "price_index"},
    _RANGES,
)


_PRICE_RULES = """
low high grid steps tick leading order bound_low bound_high change planned near_plan planned_deal frozen frozen_rows most_changes window direction
rival_product rival_at_least rival_at_most members member_start link_start small large share rule weights limit
paid_low cap spread contrasts group_spread
"""


class PriceRules(namedtuple("PriceRules", _PRICE_RULES)):
    """Price rules as arrays.

    Attributes:
        low: (N,) lower bound of each product by the rules in `leading`, currency per unit.
        high: (N,) upper bound.
        grid: Kind of the price grid.
        steps: (L,) Prices or endings of the grid.
        tick: Currency per unit.
        leading: Codes of the rules that come before all others, which are bounds.
        order: (R,) codes of the others, the strongest first.
        bound_low: (4, N) lowest price by each of `BOUNDS`.
        bound_high: (4, N) highest price.
        change: (N,) largest relative change.
        planned: (T, N) prices as far as which a price may change in any case, or (0, N) if none are planned.
        near_plan: (2, 2, T, N) lowest and highest prices near the plan, without a deal and with one, or T = 0.
        planned_deal: (T, N) whether a deal is planned, or (0, N).
        frozen: (N,) whether the price may not change, or (0,) if all may.
        frozen_rows: (T, N) prices of those, or (0, N) where they keep the price in force.
        most_changes: Largest number of changes within the window; 0 for no limit.
        window: Periods.
        direction: Sign of the direction in which prices may move; 0 for any.
        rival_product: (R,) product that each rival offer competes with.
        rival_at_least: (N,) least share of the lowest rival price, or (0,) if no rule refers to it.
        rival_at_most: (N,) largest share of it, or (0,).
        members: Products that rules tie to one another, group by group.
        member_start: (G + 1,) where each group begins in `members`.
        link_start: (G + 1,) where each group begins in the next four.
        small: (L,) products of the price links, numbered within their group: each costs at most its share of the larger
            one's price.
        large: (L,) the larger ones.
        share: (L,) the shares.
        rule: (L,) codes of their rules.
        weights: (J, N) weights of the baskets.
        limit: (J,) largest index of each.
        paid_low: (N,) lower bound of the price after a discount.
        cap: (N,) largest discount, a share.
        spread: Largest difference between the discounts of two segments.
        contrasts: (P, K) what a segment's discount adds to the difference of two protected groups' averages, or (0, K).
        group_spread: Largest such difference.
    """

    @classmethod
    def none(cls, spec: MarketSpec) -> PriceRules:
        """Rules that leave every list price as it is, beside the scenario's rules for discounts."""
        zeros = np.zeros(spec.sizes["N"])
        own = ("max_discount", "max_segment_spread", "max_group_spread", "group_contrasts")
        discounts: dict[str, Any] = {name: getattr(spec.guardrails, name) for name in own}
        free = cls.of(spec, Guardrails(floor=zeros, ceiling=zeros + np.inf, unit_cost=zeros, **discounts))
        return free._replace(cap=spec.guardrails.discount_cap)

    @classmethod
    def of(cls, spec: MarketSpec, rules: Guardrails | None = None) -> PriceRules:
        """The price rules of a scenario, or others in their place."""
        rules = spec.guardrails if rules is None else rules
        sizes = rules.floor.shape
        bounds = [rules.bounds[rule] for rule in BOUNDS]
        groups = [group for group, _ in rules.groups]
        links = [links for _, links in rules.groups]

        def together(parts: list[NDArray[Any]], kind: type) -> NDArray[Any]:
            return np.concatenate([np.empty(0), *parts]).astype(kind)

        def starts(parts: list[Any]) -> NDArray[np.int64]:
            return np.cumsum([0, *map(len, parts)])

        return cls(
            low=rules.first_low,
            high=rules.first_high,
            grid=rules.grid.kind,
            # Copies: arrays of a scenario are read-only, a type of its own to the compiler, which would compile all anew.
            steps=np.array(rules.grid.steps),
            tick=rules.grid.tick,
            leading=np.array([CODES[rule] - _BOUND for rule in rules.leading], np.int64),
            order=np.array([CODES[rule] for rule in rules.order], np.int64),
            bound_low=np.array([low for low, _ in bounds]),
            bound_high=np.array([high for _, high in bounds]),
            change=np.broadcast_to(np.float32(np.inf if rules.max_change is None else rules.max_change), sizes).copy(),
            planned=rules.planned_rows,
            near_plan=rules.near_plan,
            planned_deal=rules.planned_deal if rules.near_plan.size else np.empty((0, sizes[0]), np.bool_),
            frozen=np.empty(0, np.bool_) if rules.frozen is None else rules.frozen,
            frozen_rows=rules.frozen_rows,
            most_changes=rules.max_changes or 0,
            window=rules.change_window_periods or 1,
            direction=DIRECTIONS[rules.direction],
            rival_product=spec.competitor_product.astype(np.int64),
            rival_at_least=rules.rival_shares[0],
            rival_at_most=rules.rival_shares[1],
            members=together(groups, np.int64),
            member_start=starts(groups),
            link_start=starts(links),
            small=together([part.small for part in links], np.int64),
            large=together([part.large for part in links], np.int64),
            share=together([part.share for part in links], np.float64),
            rule=together([part.rule for part in links], np.int64),
            weights=np.array(rules.baskets[0]),
            limit=np.array(rules.baskets[1]),
            paid_low=rules.paid_low,
            cap=rules.discount_cap,
            spread=np.float32(rules.max_segment_spread),
            contrasts=rules.contrasts,
            group_spread=np.float32(rules.max_group_spread),
        )


@compiled
def guard_prices(proposed, announced, current, past, rival, period, rules, price, trail):
    """Fill allowed prices and the rules that changed them.

    Args:
        proposed: (N, E) currency per unit.
        announced: (N, E) above zero where a deal is announced; (0, E) where the plan says.
        current: (N, E) current prices.
        past: (H * N, E) past prices.
        rival: (R, E) rival prices as last seen.
        period: (E,) number of the period.
        rules: `PriceRules`.
        price: (N, E), filled.
        trail: (N, E) uint32, filled; bit i is set where the i-th rule changed the price.
    """
    products, markets = price.shape
    near = lowest_rivals(rival, rules, markets) if rules.rival_at_most.size else np.empty((0, 0), price.dtype)
    grouped = rules.members.size > 0
    # With rules between products, the bounds of all of them are needed at once, else of one product at a time.
    lows = np.empty((products if grouped else 1, markets))
    highs = np.empty((products if grouped else 1, markets))
    rows = (proposed, announced, current, past, near, period, rules, lows, highs, price, trail)
    # Constants, not a variable: each loop is compiled for its grid.
    if rules.grid == LADDER:
        _guard_rows(LADDER, *rows)
    elif rules.grid == TICK:
        _guard_rows(TICK, *rows)
    elif rules.grid == ENDINGS:
        _guard_rows(ENDINGS, *rows)
    else:
        _guard_rows(NO_GRID, *rows)
    if grouped:
        settle_groups(proposed, announced, current, past, near, period, rules, lows, highs, price, trail)
    if rules.frozen_rows.shape[0]:
        keep_planned(period, rules, price, trail)


@compiled
def keep_planned(period, rules, price, trail):
    """Put frozen products that follow the plan at its prices, in place, which no other rule moves."""
    for n in range(price.shape[0]):
        if not rules.frozen[n]:
            continue
        for e in range(price.shape[1]):
            stays = rules.frozen_rows[min(period[e], rules.frozen_rows.shape[0] - 1), n]
            if price[n, e] != stays:
                trail[n, e] |= _ONE << np.int32(_FROZEN)
                price[n, e] = stays


@compiled
def lowest_rivals(rival, rules, markets):
    """(N, E) the lowest rival price of each product, infinite for none."""
    near = np.full((rules.low.size, markets), np.float32(np.inf))
    for r in range(rival.shape[0]):
        n = rules.rival_product[r]
        for e in range(markets):
            near[n, e] = min(near[n, e], rival[r, e])
    return near


@compiled
def asked_range(code, grid, announced, current, past, near, period, rules, n, e, price, low, high):
    """The low and high ends of what a rule asks of product n in market e."""
    in_force = current[n, e]
    if rules.frozen_rows.shape[0] and rules.frozen[n]:
        # What follows the plan is asked for nothing else.
        stays = np.float64(rules.frozen_rows[min(period[e], rules.frozen_rows.shape[0] - 1), n])
        return (stays, stays) if code == _FROZEN else (0.0, np.inf)
    if code == _CHANGE:
        least, most = change_range(in_force, planned_price(rules, period, n, e), rules.change[n])
        return np.float64(least), np.float64(most)
    if code == _RIVAL:
        least, most = rival_range(near[n, e], rules.rival_at_least[n], rules.rival_at_most[n])
        return np.float64(least), np.float64(most)
    if code == _STEP:
        t = min(period[e], rules.near_plan.shape[2] - 1)
        on_deal = announced[n, e] > _ZERO if announced.shape[0] else rules.planned_deal[t, n]
        kind = 1 if on_deal else 0
        return rules.near_plan[kind, 0, t, n], rules.near_plan[kind, 1, t, n]
    if code == _DIRECTION:
        least, most = direction_range(in_force, rules.direction)
        return np.float64(least), np.float64(most)
    stays = np.float64(in_force)
    if code == _FROZEN and rules.frozen[n]:
        return stays, stays
    if code == _USED_UP and changes(current, past, rules.window, n, e) >= rules.most_changes:
        planned = np.float64(planned_price(rules, period, n, e))
        if planned > 0:
            follows = nearest(planned, low, high, grid)
            stays = follows if abs(price - follows) < abs(price - stays) else stays
        return stays, stays
    if _BOUND <= code < _BOUND + len(BOUNDS):
        return rules.bound_low[code - _BOUND, n], rules.bound_high[code - _BOUND, n]
    return 0.0, np.inf


@compiled
def planned_price(rules, period, n, e):
    """The price that is planned for product n in market e, NaN for none."""
    rows = rules.planned.shape[0]
    return rules.planned[min(period[e], rows - 1), n] if rows else np.float32(np.nan)


@merged
def _guard_rows(kind, proposed, announced, current, past, near, period, rules, lows, highs, prices, trails):
    """All products' prices and bounds, without one another; of bounds in one row, those of the last product stay."""
    # Whatever is taken from a structure is counted: once, not for every product.
    fixed = ((kind, rules.steps, rules.tick), rules.low, rules.high, rules.leading, rules.order)
    seen = (proposed, announced, current, past, near, period, rules)
    for n in range(prices.shape[0]):
        row = min(n, lows.shape[0] - 1)
        _guard_row(kind, fixed, seen, n, lows[row], highs[row], prices[n], trails[n])


@merged
def _guard_row(kind, fixed, seen, n, low, high, price, trail):
    """Product n's prices and bounds, (E,), without the other products."""
    grid, lowest, highest, leading, order = fixed
    proposed, announced, current, past, near, period, rules = seen
    least = np.float32(lowest[n])
    most = np.float32(highest[n])
    outside = _NONE
    for e in range(price.size):
        asked = proposed[n, e]
        proper = (proposed[n, e] > 0) & (proposed[n, e] < LARGEST)
        asked = asked if proper else clip(current[n, e], least, most)
        outside += np.int32((asked < least) | (asked > most))
        price[e] = asked
        trail[e] = _NONE if proper else _NUMBER
    if kind != NO_GRID or order.size:
        low[:] = lowest[n]
        high[:] = highest[n]
    for i in range(leading.size if outside else 0):
        code = leading[i]
        bit = _ONE << np.int32(code + _BOUND)
        ends = (rules.bound_low[code, n], rules.bound_high[code, n])
        for e in range(price.size):
            after = clip(price[e], np.float32(ends[0]), np.float32(ends[1]))
            trail[e] |= bit if after != price[e] else _NONE
            price[e] = after
    for code in order:
        if _LINKS <= code <= _INDEX:
            continue
        bit = _ONE << np.int32(code)
        for e in range(price.size):
            asked = np.float64(price[e])
            asks = asked_range(code, grid, announced, current, past, near, period, rules, n, e, asked, low[e], high[e])
            low[e], high[e] = narrowed(low[e], high[e], asks[0], asks[1], grid)
            after = np.float32(clip(np.float64(price[e]), low[e], high[e]))
            trail[e] |= bit if after != price[e] else _NONE
            price[e] = after
    if kind != NO_GRID:
        for e in range(price.size):
            after = np.float32(nearest(np.float64(price[e]), low[e], high[e], grid))
            trail[e] |= _GRID if after != price[e] else _NONE
            price[e] = after


@compiled
def changes(current, past, window, n, e):
    """Number of price changes in the window before the current period, for product n in market e."""
    count = 0
    later = current[n, e]
    for i in range(window - 1):
        earlier = past[i * current.shape[0] + n, e]
        count += int(earlier != later)
        later = earlier
    return count


@compiled
def settle_groups(proposed, announced, current, past, near, period, rules, lows, highs, price, trail):
    """Put other prices, in place, where those of products by themselves break a link or a basket's limit."""
    for e in range(price.shape[1]):
        over = not affordable(price[:, e], rules.weights, rules.limit)
        for g in range(rules.member_start.size - 1):
            members = rules.members[rules.member_start[g] : rules.member_start[g + 1]]
            part = slice(rules.link_start[g], rules.link_start[g + 1])
            links = (rules.small[part], rules.large[part], rules.share[part], rules.rule[part])
            by = strongest_broken(members, links, e, price)
            if over or by < _INDEX:
                seen = (proposed, announced, current, past, near, period, rules)
                settle_group(seen, members, links, e, lows, highs, price, trail, by)


@compiled
def strongest_broken(members, links, e, price):
    """The lowest code of the rules whose links prices break; that of the rule on baskets where they break none.

    A link is kept where the price of its `small` product is at most `share` times the price of its `large` one.
    """
    lowest = _INDEX
    small, large, share, rule = links
    for i in range(small.size):
        a = np.float64(price[members[small[i]], e])
        b = np.float64(price[members[large[i]], e])
        if a - share[i] * b > (0.0 if share[i] == 1 else MISSED * a):
            lowest = min(lowest, rule[i])
    return lowest


@compiled
def settle_group(seen, members, links, e, lows, highs, price, trail, by):
    """The prices of one group in one market, by `projection.settle`."""
    proposed, announced, current, past, near, period, rules = seen
    size = members.size
    grid = (rules.grid, rules.steps, rules.tick)
    least = np.zeros((rules.order.size, size))
    most = np.zeros((rules.order.size, size))
    low = np.empty(size)
    high = np.empty(size)
    first_low = np.empty(size)
    first_high = np.empty(size)
    asked = np.empty(size)
    weights = np.empty((rules.limit.size, size))
    for m in range(size):
        n = members[m]
        low[m] = lows[n, e]
        high[m] = highs[n, e]
        first_low[m] = rules.low[n]
        first_high[m] = rules.high[n]
        asked[m] = proposed[n, e]
        if not (asked[m] > 0 and asked[m] < LARGEST):
            asked[m] = clip(np.float64(current[n, e]), first_low[m], first_high[m])
        weights[:, m] = rules.weights[:, n]
        lower = first_low[m]
        upper = first_high[m]
        running = asked[m]
        for code in rules.leading:
            running = clip(running, rules.bound_low[code, n], rules.bound_high[code, n])
        for r in range(rules.order.size):
            code = rules.order[r]
            if not _LINKS <= code <= _INDEX:
                asks = asked_range(
                    code, grid, announced, current, past, near, period, rules, n, e, running, lower, upper
                )
                least[r, m], most[r, m] = asks
                lower, upper = narrowed(lower, upper, asks[0], asks[1], grid)
                running = clip(running, lower, upper)
    slack = np.zeros(links[0].size)
    first = (first_low, first_high)
    alone = (low, high)
    baskets = (weights, rules.limit)
    codes = (_LINKS, _INDEX)
    settle(rules.order, least, most, first, alone, slack, links, baskets, codes, grid, asked)
    for m in range(size):
        after = np.float32(asked[m])
        if after != price[members[m], e]:
            linked = (links[0] == m).any() or (links[1] == m).any()
            trail[members[m], e] |= _ONE << np.int32(by if linked else _INDEX)
            price[members[m], e] = after


@compiled
def guard_discounts(proposed, price, rules, allowed, trail):
    """Fill allowed discounts, (K, N, E), and add the rules that changed them to the trail, (N, E)."""
    segments, products, markets = proposed.shape
    low = rules.paid_low
    spread = rules.spread
    least = np.empty(markets, proposed.dtype)
    for n in range(products):
        cap = rules.cap[n]
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
    segments = discount.shape[0]
    pairs = rules.contrasts.shape[0]
    cap = rules.group_spread
    for e in range(discount.shape[1]):
        least = discount[0, e]
        apart = _ZERO
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
