"""Prices that keep as many rules as they can, the stronger ones first: bounds, one rule after the other, and products
that are linked with one another.

Each rule asks that a price lie in a range, that a product cost at most a share of another, or that a basket cost no more
than a limit. The rules come in order; each is kept if the rules before it leave a price that keeps it, and else missed by
the least amount that they leave. Ranges and links are monotone constraints in two variables, so that the allowed prices are
a lattice (closed under the smaller and the larger of two price vectors; Hochbaum and Naor, SIAM J. Comput. 23, 1994):
tightening lower and upper bounds along the links until nothing changes gives the least and the greatest price vector, and
shows whether there is one. A basket's limit is kept by some prices if the least ones keep it.

Plain functions of numbers and of whatever can be indexed: Python lists in the price service, arrays in compiled loops.
"""

from __future__ import annotations

import math

import numpy as np

from .grids import CLOSE, ENDINGS, NO_GRID, TICK

MISSED = 1e-6
"""A price that misses a rule by this share, which is rounding, keeps it."""
_NEAREST_HALVINGS = 40
_NEAREST_SHARES = 12
HIGHEST = 1e12
"""No price is higher: whatever is, is no bound."""


def above(price, grid):
    """The lowest price of the grid (kind, steps, tick) at or above a price; infinite where there is none."""
    return _rounded(price, grid, True)


def below(price, grid):
    """The highest price of the grid at or below a price; minus infinity where there is none."""
    return _rounded(price, grid, False)


def _rounded(price, grid, up):
    kind, steps, tick = grid
    if kind == NO_GRID:
        return price
    if price > HIGHEST:
        return math.inf if up else price
    price *= 1 - CLOSE if up else 1 + CLOSE
    if kind == TICK:
        return single((math.ceil(price / tick) if up else math.floor(price / tick)) * tick)
    whole = math.floor(price) if kind == ENDINGS else 0
    place = _count(steps, price - whole, not up) - (0 if up else 1)
    if 0 <= place < len(steps):
        return single(whole + steps[place])
    if kind == ENDINGS:
        return single(whole + 1 + steps[0] if up else whole - 1 + steps[-1])
    return math.inf if up else -math.inf


def single(price):
    """A price with the digits that single precision holds, in double precision."""
    return np.float64(np.float32(price))


def _count(steps, price, equal):
    """How many steps lie below a price, or at it where equal ones count."""
    first = 0
    last = len(steps)
    while first < last:
        middle = (first + last) // 2
        if steps[middle] < price or (equal and steps[middle] == price):
            first = middle + 1
        else:
            last = middle
    return first


def narrowed(low, high, least, most, grid):
    """The part of the bounds [low, high], prices of the grid, in a range, else the price of theirs nearest to it."""
    lower = low if least <= low else above(least, grid)
    upper = high if most >= high else below(most, grid)
    if lower <= upper:
        return lower, upper
    under = high if least >= high else below(least, grid)
    over = low if most <= low else above(most, grid)
    nearest = under if under >= low and (over > high or least - under <= over - most) else over
    return nearest, nearest


def nearest(price, low, high, grid):
    """The price of the grid within [low, high] that is nearest to a price; a tie goes to the lower one."""
    price = min(max(price, low), high)
    under = max(below(price, grid), low)
    over = min(above(price, grid), high)
    return under if price - under <= over - price else over


def closed(low, high, slack, links, baskets, grid, start=-1):
    """Tighten bounds, in place, until they keep the links: whether prices are left that also keep the baskets' limits.

    Args:
        low: (m,) lower bounds, prices of the grid.
        high: (m,) upper bounds.
        slack: (L,) by how much each link may be missed, currency per unit; infinite for one that is not in force.
        links: (L,) smaller and larger products, shares and codes of the rules: price[small] <= share * price[large].
        baskets: (J, m) weights, (J,) limits.
        grid: (kind, steps, tick).
        start: the one product whose bounds were tightened since they last kept the links; -1 for any.
    """
    small, large, share, _ = links
    # Links are looked at again once a bound of theirs has moved.
    moved = low.copy()
    for n in range(len(low)):
        moved[n] = 1.0 if start in (-1, n) else 0.0
    changed = True
    while changed:
        changed = False
        for i in range(len(small)):
            a = small[i]
            b = large[i]
            if slack[i] == math.inf or not (moved[a] or moved[b]):
                continue
            exact = share[i] == 1 and slack[i] == 0
            loose = 0.0 if exact else MISSED
            least = (low[a] - slack[i]) / share[i]
            most = high[b] * share[i] + slack[i]
            if least > high[b] * (1 + loose) or most < low[a] * (1 - loose):
                low[b] = max(low[b], least if exact else above(least, grid))
                high[a] = min(high[a], most if exact else below(most, grid))
                return False
            if least > low[b] * (1 + loose):
                low[b] = least if exact else min(above(least, grid), high[b])
                moved[b] = 1.0
                changed = True
            if most < high[a] * (1 - loose):
                high[a] = most if exact else max(below(most, grid), low[a])
                moved[a] = 1.0
                changed = True
    return affordable(low, baskets[0], baskets[1])


def affordable(price, weights, limit):
    """Whether the baskets keep their limits."""
    kept = True
    for j in range(len(limit)):
        kept = kept and _total(price, weights[j]) <= limit[j] * (1 + MISSED)
    return kept


def _total(price, weight):
    total = 0.0
    for n in range(len(weight)):
        total += weight[n] * price[n]
    return total


def _fixed(n, least, most, low, high, slack, links, baskets, grid):
    """Narrow product n to [least, most], in place, if prices are left; whether they are."""
    lower = low.copy()
    upper = high.copy()
    lower[n] = least
    upper[n] = most
    if least > most or not closed(lower, upper, slack, links, baskets, grid, n):
        return False
    low[:] = lower
    high[:] = upper
    return True


def _kept(n, least, most, low, high, slack, links, baskets, grid):
    """Narrow product n to a range, in place, or to the price nearest to it that the rules before leave."""
    lower = low[n] if least <= low[n] else above(least, grid)
    upper = high[n] if most >= high[n] else below(most, grid)
    if (lower <= low[n] and upper >= high[n]) or _fixed(n, lower, upper, low, high, slack, links, baskets, grid):
        return
    under = _highest(n, least, low, high, slack, links, baskets, grid)
    lower = low.copy()
    upper = high.copy()
    lower[n] = low[n] if most <= low[n] else above(most, grid)
    over = math.inf
    if lower[n] <= high[n] and closed(lower, upper, slack, links, baskets, grid, n):
        over = lower[n]
    price = under if over == math.inf or least - under <= over - most else over
    price = min(max(price, low[n]), high[n])
    _fixed(n, price, price, low, high, slack, links, baskets, grid)


def _highest(n, most, low, high, slack, links, baskets, grid):
    """The highest price of product n, at most this one, that is left; minus infinity where there is none."""
    lower = low.copy()
    upper = high.copy()
    upper[n] = high[n] if most >= high[n] else below(most, grid)
    if upper[n] < low[n] or not closed(lower, upper, slack, links, baskets, grid, n):
        return -math.inf
    # Where a basket's limit is in the way, there is less of it the lower the price.
    found = low[n]
    price = upper[n]
    middle = upper[n]
    for _ in range(_NEAREST_HALVINGS + 1):
        if _fixed(n, middle, middle, low.copy(), high.copy(), slack, links, baskets, grid):
            found = middle
        else:
            price = middle
        middle = nearest((found + price) / 2, found, price, grid)
        if middle in (found, price):
            break
    return found


def _linked(i, low, high, slack, links, baskets, grid):
    """Put a link in force, with the least slack that leaves prices."""
    small, large, share, _ = links
    a = small[i]
    b = large[i]
    # The lowest prices that are left miss it by this much.
    least = 0.0
    most = max(low[a] - share[i] * low[b], 0.0)
    slack[i] = 0.0
    for _ in range(_NEAREST_HALVINGS):
        if closed(low.copy(), high.copy(), slack, links, baskets, grid):
            most = slack[i]
        else:
            least = slack[i]
        if most == 0:
            break
        slack[i] = (least + most) / 2
    slack[i] = most
    if most > 0:
        # Links are kept up to rounding, which must not decide between low and high prices.
        lower = low.copy()
        closed(lower, high.copy(), slack, links, baskets, grid)
        slack[i] += MISSED * lower[a]
    closed(low, high, slack, links, baskets, grid)


def relinked(price, bound, slack, links, grid, up):
    """Raise larger products (up), or lower smaller ones, in place, until the prices keep the links.

    No price passes its bound; bounds are those that `closed` left.
    """
    small, large, share, _ = links
    changed = True
    while changed:
        changed = False
        for i in range(len(small)):
            a = small[i]
            b = large[i]
            exact = share[i] == 1 and slack[i] == 0
            n = b if up else a
            loose = 0.0 if exact else MISSED
            least = (price[a] - slack[i]) / share[i]
            most = price[b] * share[i] + slack[i]
            new = price[n]
            if up and least > new * (1 + loose):
                new = max(new, min(least if exact else above(least, grid), bound[n]))
            elif not up and most < new * (1 - loose):
                new = min(new, max(most if exact else below(most, grid), bound[n]))
            changed = changed or new != price[n]
            price[n] = new


def settle(order, least, most, bounds, first, slack, links, baskets, codes, grid, price):
    """Prices of linked products that keep the rules in their order, in place of prices that break a link or a limit.

    Args:
        order: (R,) codes of the rules, the strongest first.
        least: (R, m) low ends of the ranges that the rules ask for, currency per unit; unused for links and baskets.
        most: (R, m) high ends.
        bounds: (m,) low and high bounds that are part of no such rule, prices of the grid.
        first: (m,) low and high bounds after the ranges of all rules, each product by itself.
        slack: (L,) zeros, overwritten.
        links: See `closed`.
        baskets: (J, m) weights and (J,) limits.
        codes: The first code of the rules on links; the one after the last, which is that of the rule on baskets.
        grid: (kind, steps, tick).
        price: (m,) the prices asked for, replaced.
    """
    low = first[0].copy()
    high = first[1].copy()
    limit = baskets[1].copy()
    # What keeps every range as well as a product by itself can, and all links and limits, cannot be improved on.
    if not closed(low, high, slack, links, baskets, grid):
        low[:] = bounds[0]
        high[:] = bounds[1]
        for i in range(len(slack)):
            slack[i] = math.inf
        for j in range(len(limit)):
            limit[j] = math.inf
        in_force = (baskets[0], limit)
        for r in range(len(order)):
            if order[r] == codes[1]:
                for j in range(len(limit)):
                    limit[j] = max(baskets[1][j], _total(low, baskets[0][j]))
            elif codes[0] <= order[r] < codes[1]:
                for i in range(len(slack)):
                    if links[3][i] == order[r]:
                        _linked(i, low, high, slack, links, in_force, grid)
            else:
                for n in range(len(price)):
                    _kept(n, least[r][n], most[r][n], low, high, slack, links, in_force, grid)
    for n in range(len(price)):
        price[n] = nearest(price[n], low[n], high[n], grid)
    relinked(price, high, slack, links, grid, True)
    within(limit, low, slack, links, baskets, grid, price)


def within(limit, low, slack, links, baskets, grid, price):
    """Lower prices, in place, towards their lower bounds by a common share, until the baskets keep their limits."""
    if affordable(price, baskets[0], limit):
        return
    asked = price.copy()
    share = 0.0
    width = 0.5
    price[:] = low
    for _ in range(_NEAREST_SHARES):
        tried = low.copy()
        for n in range(len(low)):
            if asked[n] > low[n]:
                tried[n] = max(below(low[n] + (share + width) * (asked[n] - low[n]), grid), low[n])
        relinked(tried, low, slack, links, grid, False)
        if affordable(tried, baskets[0], limit):
            share += width
            price[:] = tried
        width /= 2
