"""Compiled expected revenue and profit of a period before the draw, computed on demand.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ...jit.math import compiled, inlined, lean
from ...jit.views import view
from ..inventory import season_ends
from ..sales import charge_rows, earn, keep, spend, take_back
from .sales import expected_sales, few_sales

_ONE = np.float32(1)


@compiled.entry
def expected_money(arrays, period, table):
    """Expected revenue and profit given action and state.

    Args:
        arrays: `MarketArrays`.
        period: (E,) number of the period.
        table: (rows, N, E) table of the period, see `TableLayout`.

    Returns:
        (2, N, E) revenue and profit, currency.
    """
    m, stock_rules = view(arrays).money, view(arrays).stock
    price, stock, units, chances, ordered, promoted = _parts(view(arrays).sections, table)
    out = np.empty((2, *units.shape), np.float32)
    ends = np.empty(period.size if stock_rules.season or stock_rules.last else 0, np.bool_)
    season_ends(stock_rules, period, ends)
    returned = m.return_probability.max() > 0
    scratch = np.empty((4, *units.shape), np.float32)
    covered, closing, spare, kept = scratch[0], scratch[1], scratch[2], scratch[3]
    # Units returned serve the backlog: only the units that customers keep reduce the stock.
    share = _ONE - m.return_probability * np.float32(m.backlog)
    scale_rows(units, share, kept)
    if chances.shape[0]:
        few_sales(chances, share, stock, covered)
    else:
        expected_sales(kept, m.overdispersion, stock, covered)
    bought = units if m.backlog else covered
    subtract(stock, covered, closing)
    subtract(units, bought, spare)
    earn(m.sold_cost, m.lost_sale_cost, bought, spare, price, out[0], out[1])
    if m.backlog:
        # The expected units owed are the expected demand that stock does not cover.
        subtract(kept, covered, spare)
        charge_rows(m.backlog_cost, spare, out[1])
    if returned:
        scale_rows(bought, m.return_probability, spare)
        take_back(m, spare, price, kept if m.backlog else closing, out[0], out[1])
    keep(m, closing, ends, out[0], out[1])
    spend(m, ordered, promoted, out[1])
    return out


@inlined
def _parts(sections, table):
    """What a period's money depends on: the price for the expected units, (N, E), the stock on sale, the mean units,
    the chances of H single customers, (H, N, E), the orders, (S, N, E), and the promoted, (N, E); empty where the
    market has none.
    """
    money, _, _, _, received, ordered, segments, paid, chances, promoted = sections.table
    price = table[segments + 1 if paid > segments else 0]
    shown = table[chances] if promoted > chances else table[0, :0]
    return price, table[money], table[money + 1], table[paid:chances], table[received:ordered], shown


@lean
def subtract(left, right, out):
    """out = left - right."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = left[n, e] - right[n, e]


@lean
def scale_rows(values, factor, out):
    """out = values * factor, with one factor per product."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = values[n, e] * factor[n]
