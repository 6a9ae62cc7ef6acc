"""Compiled choice of the lowest price in a category. Arrays lie (…, N, E)."""

from __future__ import annotations

import math

from ..jit.math import lean


@lean
def choose_cheapest(p, now, out, units):
    """The lowest price in stock wins all customers of a category who accept it; ties share."""
    price, available, paid, promoted, rival_price = now.price, now.available, now.paid, now.promoted, now.rival_price
    multiplier, arrivals, season, path, effect = now.multiplier, out.arrivals, out.season, out.path, out.effect
    mean, rival_units = out.mean, out.rival_units
    segments, markets = p.quality.shape[0], price.shape[1]
    for k in range(segments):
        prices = paid[k] if paid.shape[0] else price
        for c in range(arrivals.shape[0]):
            for e in range(markets):
                lowest, sellers = cheapest_offer(p, c, e, prices, available, rival_price)
                customers = arrivals[c, e] * p.share[c, k] / max(sellers, 1)
                if multiplier.shape[0]:
                    customers *= multiplier[c * segments + k, e]
                for n in range(price.shape[0]):
                    if p.category[n] == c:
                        u = p.quality[k, n] - p.sensitivity[k, n] * path[c, e] * prices[n, e] + effect[n, e]
                        if p.promotion.size:
                            u += p.promotion[k, n] * promoted[n, e]
                        wins = available[n, e] > 0 and prices[n, e] == lowest
                        bought = customers * min(max(u, 0.0), 1.0) if wins else 0.0
                        units[n, e] += bought
                        if mean.shape[0]:
                            mean[k, n, e] = bought
                for r in range(rival_price.shape[0]):
                    if p.rival_category[r] == c and rival_price[r, e] == lowest:
                        u = p.rival_quality[k, r] - p.rival_sensitivity[k, r] * path[c, e] * lowest + season[c, e]
                        rival_units[r, e] += customers * min(max(u, 0.0), 1.0)


@lean
def cheapest_offer(p, c, e, prices, available, rival_price):
    """The lowest price of a category in one market, and the number of offers at that price."""
    lowest, sellers = math.inf, 0
    for n in range(prices.shape[0]):
        if p.category[n] == c and available[n, e] > 0:
            lowest, sellers = _lower(prices[n, e], lowest, sellers)
    for r in range(rival_price.shape[0]):
        if p.rival_category[r] == c:
            lowest, sellers = _lower(rival_price[r, e], lowest, sellers)
    return lowest, sellers


@lean
def _lower(price, lowest, sellers):
    """The lowest price so far and the number of offers at it."""
    if price < lowest:
        return float(price), 1
    return lowest, sellers + (1 if price == lowest else 0)
