"""Rule policies: prices that need no learning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .catalogue import Catalogue
from .observed import MarketView
from .protocol import Action, Policy, check_order, is_deterministic

_LEAST_PRICE = np.float32(1e-6)
Array = NDArray[np.float64]


def _spread(price: ArrayLike, view: MarketView) -> NDArray[np.float32]:
    """The prices of one market, scalar or (N,), for every market of the view: (E, N)."""
    shape = (view.num_markets, view.catalogue.num_products)
    return np.broadcast_to(np.asarray(price, dtype=np.float32), shape)


def orders_up_to(
    base_stock: NDArray[np.float32] | None, express_stock: NDArray[np.float32] | None, view: MarketView
) -> dict[str, Any]:
    """Orders that raise the stock to given levels, as arguments of an `Action`.

    With two suppliers this is the dual-index policy: Veeraraghavan and Scheller-Wolf (2008), Now or
    Later, Operations Research 56(4).

    Args:
        base_stock: (N,) units on hand plus on order after all orders; None for no orders.
        express_stock: (N,) units on hand, plus those on order that come no later than the express order, after that
            order; None for no such orders.
        view: E markets.

    Returns:
        `order` and `express`, (E, N) units each, without those that are not placed.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks").view
        >>> orders_up_to(view.on_hand[0] + 2, None, view)["order"].tolist()
        [[2.0, 2.0, 2.0]]
    """
    orders = {}
    position = view.on_hand + view.on_order
    if express_stock is not None:
        most = view.catalogue.max_express_units
        # What the faster supplier cannot deliver is left to the other one.
        missing = np.clip(express_stock - _before_express(view), 0, np.inf if most is None else most)
        orders["express"] = missing.astype(np.float32)
        position = position + orders["express"]
    if base_stock is not None:
        orders["order"] = np.maximum(base_stock - position, 0).astype(np.float32)
    return orders


def _before_express(view: MarketView) -> NDArray[np.float32]:
    """(E, N) units on hand, plus those on order that arrive no later than an express order placed now."""
    lead = view.catalogue.express_periods
    if lead is None:
        return view.on_hand
    # (E, N, D) units on order by the period they are due in, the next one first.
    seen = np.empty((*view.on_order.shape, 0), np.float32) if view.due is None else view.due
    # What is not seen one by one is due in the period after.
    due = np.concatenate([seen, (view.on_order - seen.sum(axis=-1))[..., None]], axis=-1)
    in_time = np.arange(due.shape[-1]) < lead[:, None]
    return view.on_hand + (due * in_time).sum(axis=-1)


@dataclass(frozen=True)
class FixedPrice:
    """The same prices in every period.

    Args:
        price: scalar or (N,), currency per unit.
        name: how tables and logs call the policy.
        base_stock: (N,) units on hand plus on order after ordering; None for no orders.
        express_stock: (N,) as of `orders_up_to`; None for no express orders.

    Example:
        >>> import repricer
        >>> FixedPrice(9.0).act(repricer.Market("three-stocks").view).price.tolist()
        [[9.0, 9.0, 9.0]]
    """

    price: NDArray[np.float32] | float
    name: str = "fixed"
    base_stock: NDArray[np.float32] | None = None
    express_stock: NDArray[np.float32] | None = None

    def act(self, view: MarketView) -> Action:
        """Propose the fixed prices."""
        return Action(_spread(self.price, view), **orders_up_to(self.base_stock, self.express_stock, view))


@dataclass(frozen=True)
class CostPlus:
    """Unit cost plus a mark-up.

    Args:
        rate: mark-up as a fraction of the unit cost: 0.5 prices a unit that costs 2 at 3.

    Example:
        >>> CostPlus(0.5).name
        'cost-plus:0.5'
    """

    rate: float

    @property
    def name(self) -> str:
        """`cost-plus:RATE`."""
        return f"cost-plus:{self.rate:g}"

    def act(self, view: MarketView) -> Action:
        """Propose the unit cost times 1 + rate, and the VAT on it."""
        return Action(_spread(view.catalogue.shelf_cost * (1.0 + self.rate), view))


@dataclass(frozen=True)
class PricePath:
    """Prices that follow only the calendar: a shop's history, or the best time-only path.

    Args:
        path: (T, N) currency per unit, or (T, Z, N) by observed regime; periods beyond T keep
            the last row.
        promotion: (T, N) shares of stores with the product on promotion, promoted above one half;
            None for no promotions.
        deal: (T, N) whether a price is announced as a temporary reduction; None where the shop's plan says.
        name: how tables and logs call the policy.
        base_stock, express_stock: as of `FixedPrice`.
        as_charged: as of `Action`, and `as_promoted` with it.
        recommendation: (T, N, K) scores of showing a product to a segment, as of `Action`; None leaves the choice to the
            recommender.

    Example:
        >>> import repricer
        >>> path = np.array([[3.0], [2.0]], np.float32)
        >>> PricePath(path).act(repricer.Market("stationary-logit").view).price.tolist()
        [[3.0]]
    """

    path: NDArray[np.float32]
    promotion: NDArray[np.float32] | None = None
    name: str = "path"
    base_stock: NDArray[np.float32] | None = None
    express_stock: NDArray[np.float32] | None = None
    as_charged: bool = False
    deal: NDArray[np.bool_] | None = None
    recommendation: NDArray[np.float32] | None = None

    def act(self, view: MarketView) -> Action:
        """Propose the row of each market's period."""
        path = np.asarray(self.path, dtype=np.float32)
        row = np.minimum(view.period, len(path) - 1)
        promotion = None if self.promotion is None else self.promotion[row] - np.float32(0.5)
        price = path[row] if path.ndim == 2 else path[row, 0 if view.regime is None else view.regime]
        orders = orders_up_to(self.base_stock, self.express_stock, view)
        shown = {
            "recommendation": None if self.recommendation is None else self.recommendation[row],
            "promotion": promotion,
            "deal": None if self.deal is None else self.deal[row],
        }
        return Action(price, **shown, **orders, as_charged=self.as_charged, as_promoted=self.as_charged)


@dataclass(frozen=True)
class EmptySlots:
    """Another policy without recommendations: a market is fitted on sales that know of no recommendation slots.

    Args:
        policy: the other policy.

    Example:
        >>> import repricer
        >>> bool(EmptySlots(FixedPrice(4.0)).act(repricer.Market("seen-segments").view).recommendation.any())
        False
    """

    policy: Policy

    @property
    def name(self) -> str:
        """Name of the other policy."""
        return self.policy.name

    def act(self, view: MarketView) -> Action:
        """The other policy's action, with nothing to show."""
        action = self.policy.act(view)
        shape = (*action.price.shape, view.catalogue.num_segments)
        return replace(action, recommendation=np.zeros(shape, np.float32))


class BlendedPrice:
    """Prices between two policies': their geometric mean, product by product.

    Personal discounts are blended in the same way; where one policy gives none, it counts as a
    discount of zero. Recommendations and orders are the first policy's, promotions and announced
    deals those of the policy with the larger weight.

    Args:
        policy: the first policy.
        other: the second policy.
        share: weight of the second policy, in [0, 1].
        name: how tables and logs call the policy; `POLICY+SHARE%:OTHER` by default.

    Raises:
        ValueError: share is out of range.

    Example:
        >>> import repricer
        >>> policy = BlendedPrice(FixedPrice(4.0), FixedPrice(9.0), 0.5)
        >>> policy.act(repricer.Market("stationary-logit").view).price.tolist()
        [[6.0]]
    """

    def __init__(self, policy: Policy, other: Policy, share: float, *, name: str | None = None) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1]; got {share:g}; 0.5 is halfway between the policies")
        self.policy = policy
        self.other = other
        self.share = share
        self.name = name or f"{policy.name}+{share:.0%}:{other.name}"
        self.deterministic = is_deterministic(policy) and is_deterministic(other)

    def act(self, view: MarketView) -> Action:
        """Propose the blend of what both policies propose."""
        one = self.policy.act(view)
        two = self.other.act(view)
        weight = np.float32(self.share)
        log_one, log_two = (np.log(np.maximum(action.price, _LEAST_PRICE)) for action in (one, two))
        heavier = two if self.share > 0.5 else one
        return replace(
            one,
            price=np.exp((1 - weight) * log_one + weight * log_two),
            discount=self._discount(one, two),
            promotion=heavier.promotion,
            deal=heavier.deal,
            propensity=None,
            as_charged=False,
            as_promoted=False,
        )

    def _discount(self, one: Action, two: Action) -> NDArray[np.float32] | None:
        weight = np.float32(self.share)
        shares = ((1 - weight, one), (weight, two))
        parts = [share * action.discount for share, action in shares if action.discount is not None]
        return sum(parts[1:], parts[0]) if parts else None


@dataclass(frozen=True)
class RandomPrice:
    """Log-uniform random prices; a rerun draws the same ones.

    Args:
        low: lowest price, scalar or (N,), currency per unit.
        high: highest price, the same.
        seed: of the draws.
        name: how tables and logs call the policy.

    Example:
        >>> import repricer
        >>> price = RandomPrice(2.0, 4.0).act(repricer.Market("three-stocks").view).price
        >>> bool(((2 <= price) & (price <= 4)).all())
        True
    """

    deterministic: ClassVar[bool] = False

    low: NDArray[np.float32] | float
    high: NDArray[np.float32] | float
    seed: int = 0
    name: str = "random"

    def act(self, view: MarketView) -> Action:
        """Propose draws keyed by (seed, period), independent between markets, with their density as propensity."""
        generator = np.random.default_rng([self.seed, int(view.period[0])])
        share = generator.random((view.num_markets, view.catalogue.num_products), dtype=np.float32)
        low = np.log(self.low)
        high = np.log(self.high)
        price = np.exp(low + share * (high - low)).astype(np.float32)
        # A single allowed price has probability one.
        spread = np.maximum(high - low, 0)
        density = np.where(spread > 0, 1 / (price * np.where(spread > 0, spread, 1)), 1)
        return Action(price, propensity=density.astype(np.float32))


class EpsilonGreedy:
    """Another policy's price, or with probability epsilon a uniformly drawn step of a ladder,
    product by product.

    The action states the probability of its price. A new object with the same seed makes
    the same draws.

    Args:
        base: the other policy; its price counts as the nearest step.
        ladder: (K, N) currency per unit, rising.
        epsilon: in (0, 1].
        seed: of the draws.

    Raises:
        ValueError: epsilon is out of range.

    Example:
        >>> import repricer
        >>> policy = EpsilonGreedy(FixedPrice(2.0), np.array([[1.0], [2.0], [4.0]]), epsilon=0.3)
        >>> action = policy.act(repricer.Market("stationary-logit").view)
        >>> float(action.propensity[0, 0]) in (np.float32(0.8), np.float32(0.1))
        True
    """

    deterministic: ClassVar[bool] = False

    def __init__(self, base: Policy, ladder: NDArray[np.floating], epsilon: float, *, seed: int = 0) -> None:
        if not 0 < epsilon <= 1:
            raise ValueError(f"epsilon must lie in (0, 1]; got {epsilon:g}; 1 draws every price uniformly")
        self.base = base
        self.ladder = np.asarray(ladder, dtype=np.float32).T
        self.epsilon = epsilon
        self.name = f"epsilon-greedy:{epsilon:g}"
        self._generator = np.random.default_rng(seed)

    def act(self, view: MarketView) -> Action:
        """Propose a draw, with its probability as propensity."""
        usual = np.abs(self.ladder - self.base.act(view).price[..., None]).argmin(axis=2)
        steps = self.ladder.shape[1]
        explores = self._generator.random(usual.shape) < self.epsilon
        chosen = np.where(explores, self._generator.integers(steps, size=usual.shape), usual)
        price, base = (np.take_along_axis(self.ladder[None], at[..., None], axis=2) for at in (chosen, usual))
        # Steps may have the same price, where a narrow range holds few: it is as likely as all of them.
        chance = self.epsilon * (self.ladder == price).mean(axis=2) + (1 - self.epsilon) * (price == base)[..., 0]
        return Action(price[..., 0], propensity=chance.astype(np.float32))


# Prices that are looked up by period, regime and units on hand: what a solver found, as a bundle holds it.


@dataclass(frozen=True)
class StockTable:
    """A table of prices for each group of products whose stocks count together.

    Args:
        tables: of each group, (T, Z, S_1 + 1, …, S_G + 1, G) currency per unit, the last axis over its products. Periods
            start again after T, and more units on hand than a table has read its last entry.
        groups: the numbers of the products of each group; every product in one.
        name: how tables and logs call the policy.

    Example:
        >>> import repricer
        >>> table = StockTable((np.array([5.0, 4.0, 3.0]).reshape(1, 1, 3, 1),), ((0,),))
        >>> table.act(repricer.Market("stationary-logit").view).price.tolist()
        [[3.0]]
    """

    tables: tuple[NDArray[np.float32], ...]
    groups: tuple[tuple[int, ...], ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look the prices up."""
        price = np.empty(view.list_price.shape, np.float32)
        regime = 0 if view.regime is None else view.regime
        for table, group in zip(self.tables, self.groups, strict=True):
            most = np.array(table.shape[2:-1]) - 1
            units = np.clip(view.on_hand[:, list(group)], 0, most).astype(np.intp)
            price[:, list(group)] = table[(view.period % len(table), regime, *units.T)]
        return Action(price)


# Thompson sampling of the demand at each price, with or without a stock constraint.


class ThompsonPrice:
    """Learns the demand at each price within an episode, and prices by a linear programme over
    a posterior draw.

    Ferreira, Simchi-Levi and Wang (2018), Online Network Revenue Management Using Thompson
    Sampling, Operations Research 66(6), algorithm 2 (with the remaining stock per remaining
    period), for each product on its own: substitution is not modelled. In each period the demand at
    every price is drawn from its posterior, and prices are mixed so that the drawn demand earns
    most and takes no more than the remaining stock per period. Where every mix takes more, the
    paper sells nothing; here the highest price is charged.

    The policy keeps what each market sold at each price, from the first period of an episode on.
    One object can run one episode after another, but only one batch of markets at a time.

    Args:
        ladder: (K, N) prices to choose from, rising, currency per unit.
        one_customer: True if at most one customer comes per period (beta posterior, from a uniform
            prior); otherwise demand is Poisson (gamma prior of shape 1, with the catalogue's
            forecast at the regular price as its mean).
        mind_stock: False ignores the stock.
        seed: of the posterior draws.
        name: how tables and logs call the policy.

    Example:
        >>> import repricer
        >>> view = repricer.Market("stationary-logit").view
        >>> ladder = np.array([[6.0], [9.0], [12.0]])
        >>> float(ThompsonPrice(ladder, one_customer=True).act(view).price[0, 0]) in (6.0, 9.0, 12.0)
        True
    """

    deterministic: ClassVar[bool] = False

    def __init__(
        self,
        ladder: Array,
        *,
        one_customer: bool = False,
        mind_stock: bool = True,
        seed: int = 0,
        name: str = "thompson",
    ) -> None:
        self.ladder = np.asarray(ladder).T
        self.one_customer = one_customer
        self.mind_stock = mind_stock
        self.name = name
        self._generator = np.random.default_rng(seed)
        self._next_period = 0

    def act(self, view: MarketView) -> Action:
        """Update the posterior with the last period, draw demand, choose.

        Raises:
            ValueError: the periods do not come in order.
        """
        period = int(view.period[0])
        check_order(self.name, period, self._next_period)
        if period == 0:
            shape = (view.num_markets, *self.ladder.shape)
            self._trials = np.zeros(shape)
            self._sold = np.zeros(shape)
        else:
            self._update(view)
        self._next_period = period + 1
        # A period without stock says nothing about demand.
        self._open = view.on_hand > 0
        demand = self._draw(view.catalogue)
        budget = np.full(view.on_hand.shape, np.inf)
        if self.mind_stock:
            budget = np.maximum(view.on_hand, 0) / max(view.catalogue.horizon - period, 1)
        index = self._choose(demand, view.catalogue.shelf_cost.astype(np.float64), budget)
        return Action(np.take_along_axis(self.ladder[None], index[..., None], axis=2)[..., 0].astype(np.float32))

    def _update(self, view: MarketView) -> None:
        index = np.abs(self.ladder - view.list_price[..., None]).argmin(axis=2)[..., None]
        for counts, new in ((self._trials, self._open), (self._sold, np.where(self._open, view.last_units, 0))):
            updated = np.take_along_axis(counts, index, axis=2) + new[..., None]
            np.put_along_axis(counts, index, updated, axis=2)

    def _draw(self, catalogue: Catalogue) -> Array:
        """(E, N, K) units per period at every price, drawn from the posterior."""
        if self.one_customer:
            return self._generator.beta(1 + self._sold, 1 + self._trials - self._sold)
        guess = np.maximum(catalogue.forecast_units.mean(axis=0, dtype=np.float64), 1e-9)[:, None]
        return self._generator.gamma(1 + self._sold) / (1 / guess + self._trials)

    def _choose(self, demand: Array, cost: Array, budget: Array) -> NDArray[np.intp]:
        """(E, N) index of the price: a mix of the two corners between which the linear programme has its optimum."""
        # The corners of the programme: each price, and last no sales at all.
        units = np.concatenate([demand, np.zeros((*budget.shape, 1))], axis=2)
        money = np.concatenate([(self.ladder - cost[:, None]) * demand, np.zeros((*budget.shape, 1))], axis=2)

        def of(table: Array, corner: NDArray[np.intp]) -> Array:
            return np.take_along_axis(table, corner[..., None], axis=2)

        under = over = money.argmax(axis=2)
        # Along the concave hull of money over units, from its peak down to the edge that holds the
        # budget.
        while (short := of(units, under)[..., 0] > budget).any():
            over = np.where(short, under, over)
            saved = of(units, over) - units
            loss = np.where(saved > 0, of(money, over) - money, np.inf) / np.where(saved > 0, saved, 1)
            under = np.where(short, loss.argmin(axis=2), under)
        more = of(units, over)[..., 0]
        less = of(units, under)[..., 0]
        share = np.where(more > less, (budget - less) / np.where(more > less, more - less, 1), 0)
        mixed = np.where(self._generator.random(budget.shape) < share, over, under)
        return np.minimum(mixed, self.ladder.shape[1] - 1)
