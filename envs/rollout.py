"""Run a policy through whole episodes and collect totals and mean paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pricing import MarketView, Policy, checked_policy
from ..scenarios import MarketSpec
from .kernels.state import Outcome
from .seeds import DrawSchedule
from .simulator import Market

Watch = Callable[[MarketView, Outcome], None]
_PRODUCTS_AT_ONCE = 1 << 16
# Posterior draws of one evaluation.
_ROLLOUT_DRAWS = 100


@dataclass(frozen=True)
class Episodes:
    """Totals of E episodes under one policy, and mean paths. T periods, N products, K segments.

    Attributes:
        policy: Name of the policy.
        revenue: (E,) currency per episode, without VAT.
        charged: (E,) the same with the VAT that prices hold.
        profit: (E,) currency per episode.
        objective: (E,) revenue or profit as the scenario has it, discounted where the scenario
            discounts.
        units: (E,) units sold.
        lost: (E,) units demanded beyond stock.
        price_changes: (E,) price changes per product.
        price_variance: (E,) variance of a product's list price over the periods, mean over
            products; squared currency per unit.
        at_bound: (E,) share of product-periods with the price at a bound of the price rules.
        stockout: (E,) share of product-periods with sales lost for lack of stock.
        price_path: (T, N) mean list price over episodes, currency per unit.
        paid_path: (T, N) mean price paid, currency per unit.
        stock_path: (T, N) mean stock at the start of the period, units.
        units_path: (T, N) mean units sold.
        shown: (K, N) share of periods in which the segment's recommendation slot showed the
            product.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.pricing import FixedPrice
        >>> from repricer.scenarios import load_scenario
        >>> run = rollout(load_scenario("stationary-logit"), FixedPrice(10.0), episodes=4, seed=0)
        >>> round(run.average_transaction_price, 2)
        10.0
    """

    policy: str
    revenue: NDArray[np.float64]
    charged: NDArray[np.float64]
    profit: NDArray[np.float64]
    objective: NDArray[np.float64]
    units: NDArray[np.float64]
    lost: NDArray[np.float64]
    price_changes: NDArray[np.float64]
    price_variance: NDArray[np.float64]
    at_bound: NDArray[np.float64]
    stockout: NDArray[np.float64]
    price_path: NDArray[np.float64]
    paid_path: NDArray[np.float64]
    stock_path: NDArray[np.float64]
    units_path: NDArray[np.float64]
    shown: NDArray[np.float64]

    @property
    def average_transaction_price(self) -> float:
        """Revenue over units, with the VAT that customers pay, all episodes together; NaN if nothing was sold."""
        units = self.units.sum()
        return float(self.charged.sum() / units) if units else float("nan")


def rollout(
    spec: MarketSpec,
    policy: Policy,
    *,
    episodes: int,
    seed: int,
    expected: bool = False,
    watch: Watch | None = None,
    assumed: MarketSpec | None = None,
) -> Episodes:
    """Run one episode in each of many markets; a seed gives every policy the same customers.

    Under the stress `posterior`, the episodes are spread over up to 100 draws, the same ones
    for every policy.

    Args:
        spec: The scenario.
        policy: Decides in every market.
        episodes: E, at least 1.
        seed: Seed of the customers, see `seed_for`.
        expected: Let `objective` hold the expected money of each period given the action, which has
            less noise.
        watch: Called with the view before and the outcome after each period, batch by batch.
        assumed: The market that the policy believes in, see `Market`.

    Returns:
        Totals and mean paths.

    Raises:
        ValueError: If episodes is below 1, or `policy` is no policy.

    Example:
        >>> from repricer.envs import rollout, seed_for
        >>> from repricer.pricing import FixedPrice
        >>> from repricer.scenarios import load_scenario
        >>> run = rollout(load_scenario("stationary-logit"), FixedPrice(10.0), episodes=4, seed=seed_for("test"))
        >>> run.units.shape
        (4,)
    """
    checked_policy(policy)
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}; ask for one or more")
    parts = [_run(market, policy, expected, watch) for market in markets_of(spec, episodes, seed, assumed)]
    totals = {name: np.concatenate([part[name] for part in parts]) for name in _TOTALS}
    share = np.array([len(part["revenue"]) for part in parts]) / episodes
    means = {name: np.average([part[name] for part in parts], axis=0, weights=share) for name in _MEANS}
    return Episodes(policy=policy.name, **totals, **means)


_TOTALS = ("revenue", "charged", "profit", "objective", "units", "lost", "price_changes", "price_variance")
_TOTALS += ("at_bound", "stockout")
_MEANS = ("price_path", "paid_path", "stock_path", "units_path", "shown")


def markets_of(spec: MarketSpec, episodes: int, seed: int, assumed: MarketSpec | None) -> Iterator[Market]:
    """The markets of a rollout in batches; under the stress `posterior` a batch is one draw."""
    if spec.posterior is not None and spec.posterior.simulated:
        count = min(spec.num_draws, episodes, _ROLLOUT_DRAWS)
        for i, numbers in enumerate(np.array_split(np.arange(episodes), count)):
            schedule = DrawSchedule(i, count)
            yield Market(spec, num_markets=len(numbers), seed=seed, numbers=numbers, assumed=assumed, draws=schedule)
        return
    # Batches that fit the processor's caches.
    size = max(1, _PRODUCTS_AT_ONCE // len(spec.products.names))
    for first in range(0, episodes, size):
        numbers = np.arange(first, min(first + size, episodes))
        yield Market(spec, num_markets=len(numbers), seed=seed, numbers=numbers, assumed=assumed)


def _run(market: Market, policy: Policy, expected: bool, watch: Watch | None) -> dict[str, NDArray[np.float64]]:
    spec = market.spec
    rules = market.spec.guardrails
    horizon = market.catalogue.horizon
    products = len(rules.low)
    segments = market.catalogue.num_segments
    sums = {name: np.zeros(market.num_markets) for name in _TOTALS}
    paths = {name: np.zeros((horizon, products)) for name in _MEANS[:-1]}
    shown = np.zeros((segments, products))
    spread = np.zeros((2, market.num_markets, products))
    for t in range(horizon):
        view = market.view
        outcome = market.step(policy.act(view))
        if watch is not None:
            watch(view, outcome)
        for name in ("revenue", "profit", "units", "lost"):
            sums[name] += getattr(outcome, name).sum(axis=1, dtype=np.float64)
        sums["charged"] += (outcome.revenue * (1 + spec.products.vat)).sum(axis=1, dtype=np.float64)
        money = market.money(outcome, expected=expected).sum(axis=1, dtype=np.float64)
        sums["objective"] += spec.market.discount_factor**t * money
        price = outcome.list_price
        # The first price of an episode does not count as a change.
        sums["price_changes"] += (price != view.list_price).mean(axis=1) if t else 0.0
        moved = price.astype(np.float64) - rules.low
        spread[0] += moved
        spread[1] += moved * moved
        sums["at_bound"] += ((price <= rules.low) | (price >= rules.high)).mean(axis=1) / horizon
        sums["stockout"] += (outcome.lost > 0).mean(axis=1) / horizon
        rows = (price, outcome.paid, np.where(np.isfinite(view.on_hand), view.on_hand, np.nan), outcome.units)
        for name, row in zip(paths, rows, strict=True):
            paths[name][t] = row.mean(axis=0, dtype=np.float64)
        for k in range(outcome.shown.shape[1]):
            hit = outcome.shown[:, k]
            shown[k] += np.bincount(hit[hit >= 0], minlength=products) / (horizon * market.num_markets)
    # Prices are measured from the lowest allowed price, so that the difference of squares loses no
    # digits.
    sums["price_variance"] = np.maximum(spread[1] / horizon - (spread[0] / horizon) ** 2, 0).mean(axis=1)
    return sums | paths | {"shown": shown}
