"""Markdown on a market fitted on the real data: the stock is sold, in seasons that the plan has not seen."""

from __future__ import annotations

import functools
import time

import numpy as np
from repricer.envs import Market, expected_units, seed_for
from repricer.fitting import fit
from repricer.forecasting import PooledRegression
from repricer.planning.markdown import MarkdownPlan, StockRow, plan_markdown
from repricer.pricing import PricePath

from .checks import check
from .demand_market import shop

_PRODUCTS, _SEASONS, _CUT = 30, 10, 0.95


@functools.cache
def planned() -> tuple[MarkdownPlan, float]:
    """Schedules for what would be sold in 12 weeks at 95% of the regular prices, and the seconds that they took."""
    tables, products = shop()
    spec = fit(tables, products.head(_PRODUCTS), name="top-30", forecaster=PooledRegression()).spec
    calendar, price = spec.calendar, _CUT * spec.products.regular_price
    assert calendar is not None
    periods = range(calendar.periods)
    units = np.sum([expected_units(spec, t, price, reference=price).sum(axis=(0, 1)) for t in periods], axis=0)
    stock = [StockRow(name, int(count)) for name, count in zip(spec.products.names, units, strict=True)]
    started = time.perf_counter()
    plan = plan_markdown(spec, stock, calendar.last_day)
    return plan, time.perf_counter() - started


@check("weeks", "markdown of 30 products: simulated seasons that sell 95%, where that can be met", ">=", 0.95)
def sold() -> float:
    plan, _ = planned()
    spec, policy, met = plan.spec, PricePath(plan.price.astype(np.float32), as_charged=True), []
    number = {name: n for n, name in enumerate(spec.products.names)}
    within = [number[item.product] for item in plan.products if item.can_meet]
    for m in range(spec.num_draws):
        market = Market(spec.draw(m), num_markets=_SEASONS, seed=seed_for("validation", m), assumed=spec)
        units = sum(market.step(policy.act(market.view)).units for _ in plan.price)
        met.append((units >= np.ceil(0.95 * spec.stock.initial_units))[:, within].mean())
    return float(np.mean(met))


@check("weeks", "markdown of 30 products: schedules that rise or exceed three changes", "<=", 0)
def broken() -> float:
    plan, _ = planned()
    paths = [np.array([item.price_now, *item.price]) for item in plan.products]
    return float(
        sum((np.diff(path) > 0).any() or np.count_nonzero(np.diff(path)) > plan.terms.changes for path in paths)
    )


@check("weeks", "markdown of 30 products: planned in", "<=", 60, "s")
def seconds() -> float:
    return planned()[1]
