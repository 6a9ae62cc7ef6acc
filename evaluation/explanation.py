"""Explanations of a price: what it earns beside its alternatives, which inputs moved it, and rules that imitate a policy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bernoulli, nbinom, norm, poisson
from sklearn.tree import DecisionTreeRegressor, export_text

from ..envs import Market, Outcome, catalogue_of, expected_units, rollout, seed_for
from ..envs.kernels.state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME
from ..pricing import (
    Action,
    MarketView,
    Policy,
    PolicyAtState,
    PriceContributions,
    RecurrentPolicy,
    TrailStep,
    feature_names,
    is_deterministic,
    price_contributions,
    product_features,
)
from ..pricing.wording import feature_words, rule_words, units_words
from ..scenarios import MarketSpec, load_scenario

_NAMED = 3
# A gain below this share of the money at stake is rounding.
_ROUNDING = 1e-6
Array = NDArray[np.float64]

_POINTS = 41
_LEVELS = (80, 95)
_NORMAL95 = float(norm.ppf(0.975))
# The most rows, one per product and period, that a tree is fitted on and tested on.
_ROWS = 200_000
_MOST_MARKETS, _LEAST_MARKETS = 200, 8
# Variance, in squared multiples of the regular price, that is rounding in single precision.
_CONSTANT = 1e-12
# A rule that lowers the variance by less tells prices apart that read the same.
_SAME = 1e-7


# The explanation of one price: contributions of inputs and price rules, demand, and the best alternatives.


@dataclass(frozen=True)
class Alternative:
    """Another price.

    Attributes:
        price: Currency per unit.
        objective: Money with this price, currency.
        gain: How much more that is than with the price charged.
    """

    price: float
    objective: float
    gain: float


@dataclass(frozen=True)
class PriceExplanation:
    """Why one product has its price in one period. Money in the scenario's currency.

    Attributes:
        scenario: Name of the scenario.
        policy: Name of the policy.
        product: Name of the product.
        period: The period, from 0.
        date: Its first day; None where the market has no calendar.
        currency: Name of the currency.
        period_name: What a period is, such as a week.
        objective: What the scenario rewards, revenue or profit.
        contributions: What each group of inputs adds to the proposed price.
        rules: What the price rules add to it, currency per unit.
        trail: What each price rule changed, in order.
        curve: Demand and money of this period at other prices.
        now: The price that earns most in this period, everything else fixed.
        looks_back: Whether the policy has a recurrent state, which is then held fixed.

    Example:
        >>> from repricer.evaluation import explain, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> explain(spec, named_policy("fixed:9", spec)).sentences[0]
        'unit costs 9 currency in period 0, against the 9 that fixed:9 proposes in an ordinary market.'
    """

    scenario: str
    policy: str
    product: str
    period: int
    date: str | None
    currency: str
    period_name: str
    objective: str
    contributions: PriceContributions
    rules: float
    trail: list[TrailStep]
    curve: DemandCurve
    now: Alternative
    looks_back: bool = False

    @property
    def price(self) -> float:
        """The price charged, currency per unit."""
        return self.contributions.proposed + self.rules

    @property
    def when(self) -> str:
        """The period in words: its first day, or its number."""
        return f"the {self.period_name} from {self.date}" if self.date else f"{self.period_name} {self.period}"

    @property
    def sentences(self) -> list[str]:
        """The explanation in plain words."""
        return [self._what(), *self._rules(), self._sells(), self._alternative()]

    def _what(self) -> str:
        moved = sorted(self.contributions.inputs.items(), key=lambda item: -abs(item[1]))
        named = [f"{name} {amount:+.3g}" for name, amount in moved[:_NAMED] if abs(amount) > _ROUNDING * self.price]
        why = f": {', '.join(named)}" if named else ""
        usual = f"against the {self.contributions.baseline:.4g} that {self.policy} proposes in an ordinary market"
        held = " The policy's recurrent state is held fixed." if self.looks_back else ""
        return f"{self.product} costs {self.price:.4g} {self.currency} in {self.when}, {usual}{why}.{held}"

    def _rules(self) -> list[str]:
        return [
            f"The price rule '{rule_words(step.rule)}' moved it from {step.before:.6g} to {step.after:.6g}: {step.why}."
            for step in self.trail
            if not isinstance(step.before, list)
        ]

    def _sells(self) -> str:
        at, curve = self.curve.charged, self.curve
        low, high = curve.interval[80][:, at]
        spread = f"{low:,.0f} to {high:,.0f} units in four periods of five"
        wanted = f"demand {{}} {units_words(curve.units[at])} units on average, and {spread}."
        if not curve.for_sale:
            return f"It is sold out; at this price {wanted.format('would be')}"
        return f"At this price {wanted.format('is')}"

    def _alternative(self) -> str:
        if self.now.gain <= _ROUNDING * abs(self.now.objective):
            return f"No other price would earn more {self.objective} in this {self.period_name} alone."
        gain = f"{units_words(self.now.gain)} more {self.objective}"
        return f"In this {self.period_name} alone, {self.now.price:.4g} would earn {gain}."

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        names = ("scenario", "policy", "product", "period", "date", "currency", "objective", "price", "looks_back")
        steps = [{name: getattr(step, name) for name in ("rule", "before", "after", "why")} for step in self.trail]
        return {name: getattr(self, name) for name in names} | {
            "attribution": vars(self.contributions) | {"rules": self.rules},
            "trail": steps,
            "curve": self.curve.to_dict(),
            "now": vars(self.now),
            "sentences": self.sentences,
        }


def explain(
    scenario: MarketSpec | str,
    policy: Policy,
    *,
    product: str | None = None,
    view: MarketView | None = None,
    period: int = 0,
    market: int = 0,
    seed: int = 0,
    elasticity_error: float | None = None,
) -> PriceExplanation:
    """Explain one price of a policy whose prices depend on the view, or on the view and
    a recurrent state.

    Args:
        scenario: A market, or the name or path of one.
        policy: The policy.
        product: Name of the product; the first by default.
        view: What the policy sees, one market; by default the view in `period` of test episode
            `market`, which the policy has priced so far.
        period: The period, from 0.
        market: Number of the test episode.
        seed: Selects the test seeds.
        elasticity_error: Standard error of the product's elasticity from the fit report, which
            widens the curve's intervals.

    Raises:
        ValueError: For an unknown product or period, for policies that draw or learn, and for a
            view in mid-episode where the policy has a recurrent state.

    Example:
        >>> from repricer.evaluation import explain, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> explain(spec, named_policy("optimum", spec), period=12).contributions.inputs["calendar"]
        -0.75
    """
    spec = load_scenario(scenario)
    _check(spec, policy, product, period, view)
    if view is None:
        view = view_at(spec, policy, period=period, market=market, seed=seed)
    if isinstance(policy, RecurrentPolicy):
        policy = policy.at_state(view)
    n = 0 if product is None else spec.products.names.index(product)
    action = policy.act(view)
    contributions = price_contributions(policy, view, n)
    allowed = float(spec.guardrails.apply(action, view).price[0, n])
    curve = demand_curve(spec, view, action, n, elasticity_error=elasticity_error)
    best = int(curve.objective.argmax())
    most = float(curve.objective[best])
    return PriceExplanation(
        scenario=spec.name,
        policy=policy.name,
        product=spec.products.names[n],
        period=int(view.period[0]),
        date=None if spec.calendar is None else spec.calendar.label(view.period[0]),
        currency=spec.market.currency,
        period_name=spec.market.period,
        objective=spec.market.objective,
        contributions=contributions,
        rules=allowed - contributions.proposed,
        trail=spec.guardrails.apply(action, view).trails[n],
        curve=curve,
        now=Alternative(float(curve.price[best]), most, most - float(curve.objective[curve.charged])),
        looks_back=isinstance(policy, PolicyAtState),
    )


def view_at(spec: MarketSpec, policy: Policy, *, period: int, market: int = 0, seed: int = 0) -> MarketView:
    """What a policy sees in a period of a test episode that it has priced so far."""
    batch = Market(spec, seed=seed_for("test", seed), numbers=np.array([market]))
    for _ in range(period):
        batch.step(policy.act(batch.view))
    return batch.view


def _check(spec: MarketSpec, policy: Policy, product: str | None, period: int, view: MarketView | None) -> None:
    looks_back = isinstance(policy, RecurrentPolicy)
    if not (looks_back or is_deterministic(policy)):
        raise ValueError(
            f"a price can be explained where it depends on the view alone; got {policy.name}, which draws or learns; "
            "fit a surrogate tree to it"
        )
    if looks_back and view is not None and view.period[0] != 0:
        raise ValueError(
            "the view of a policy with a recurrent state must be of the first period; got one of period "
            f"{view.period[0]} for {policy.name}; name a period and a market instead, which are simulated up to there"
        )
    if product is not None and product not in spec.products.names:
        known = ", ".join(spec.products.names)
        raise ValueError(f"product must be one of {known}; got '{product}'; choose one")
    last = spec.market.horizon_periods - 1
    if not 0 <= period <= last:
        raise ValueError(f"period must lie in 0 to {last}; got {period}; choose one of the episode")


# Demand and money of one period as a function of one product's price, from the market's own choice model.


@dataclass(frozen=True)
class DemandCurve:
    """One product in one period at G list prices, everything else as the policy has it.

    Attributes:
        price: (G,) allowed list prices, rising, currency per unit.
        units: (G,) expected demand, units, as if the product's own stock were ample.
        interval: By level (80, 95), the (2, G) lower and upper limits of demand, units.
        objective: (G,) expected money of the whole market in this period, sales limited
            by stock, currency.
        charged: Index of the price charged.
        for_sale: Whether the product can be sold.
    """

    price: Array
    units: Array
    interval: dict[int, Array]
    objective: Array
    charged: int
    for_sale: bool

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        bounds = {f"units{level}": both.T.tolist() for level, both in self.interval.items()}
        rows = {name: getattr(self, name).tolist() for name in ("price", "units", "objective")}
        return rows | bounds | {"charged": self.charged, "for_sale": self.for_sale}


def demand_curve(
    spec: MarketSpec, view: MarketView, action: Action, product: int, *, elasticity_error: float | None = None
) -> DemandCurve:
    """The curve of a product in the first market of a view, the other products at the prices
    of the action.

    Unobserved effects are at their mean: no shock and no waiting customers; a hidden regime is
    averaged over. The intervals are those of Poisson or negative binomial demand, as fitted.

    Args:
        product: Number of the product.
        elasticity_error: Standard error of the own-price elasticity. The intervals then include the
            ends of the elasticity's 95% interval, with demand at the regular price fixed.
    """
    charged = float(spec.guardrails.apply(action, view).price[0, product])
    low, high = float(spec.guardrails.low[product]), float(spec.guardrails.high[product])
    asked = _grid(spec, product, low, high)
    coarse = _evaluate(spec, view, action, product, asked)
    best = int(coarse.objective.argmax())
    around = coarse.price[[max(best - 1, 0), min(best + 1, coarse.price.size - 1)]]
    at = _evaluate(spec, view, action, product, np.concatenate([asked, _grid(spec, product, *around), [charged]]))
    error = 0.0 if elasticity_error is None else elasticity_error
    nearest = int(np.abs(at.price - charged).argmin())
    there = bool(for_sale(spec, view)[0, product])
    return DemandCurve(at.price, at.units, _intervals(spec, product, at, error), at.objective, nearest, there)


@dataclass(frozen=True)
class _Points:
    """Allowed prices (G,) with their units and money, as in `DemandCurve`."""

    price: Array
    units: Array
    objective: Array


def for_sale(spec: MarketSpec, view: MarketView) -> NDArray[np.bool_]:
    """(E, N) whether a product can be bought in the period; where it cannot, its price has no meaning."""
    stock = spec.stock
    at_once = (stock.replenishment != "none") & (stock.lead_time_periods == 0)
    return (view.on_hand > 0) | at_once | (stock.shortage == "backlog")


def _grid(spec: MarketSpec, product: int, low: float, high: float) -> Array:
    """Some of the allowed prices from low to high, both ends among them."""
    allowed = spec.guardrails.allowed_prices(product, low, high)
    if allowed is None:
        return np.geomspace(low, high, _POINTS)
    return allowed[np.unique(np.linspace(0, allowed.size - 1, min(allowed.size, _POINTS)).round().astype(int))]


def _evaluate(spec: MarketSpec, view: MarketView, action: Action, product: int, asked: Array) -> _Points:
    """The allowed prices nearest to those `asked`, each once, with their units and money."""
    chances = spec.regime_probabilities(int(view.period[0]) + 1)[-1]
    if view.regime is not None:
        chances = np.eye(chances.size)[view.regime[0]]
    regimes = np.flatnonzero(chances)
    rows = repeated(action, asked.size)
    rows.price[:, product] = asked
    units, money = np.zeros(asked.size), np.zeros(asked.size)
    price = asked
    for regime in regimes:
        market = _market_at(spec, view, int(regime), asked.size)
        seen = market.view
        outcome = market.step(rows)
        price = outcome.list_price[:, product].astype(np.float64)
        units += chances[regime] * _wanted(spec, seen, rows, outcome, (int(regime), product))
        money += chances[regime] * market.money(outcome, expected=True).sum(axis=1, dtype=np.float64)
    price, first = np.unique(price, return_index=True)
    return _Points(price, units[first], money[first])


def repeated(action: Action, count: int) -> Action:
    """The first market's action, repeated for `count` markets."""
    names = ("price", "discount", "recommendation", "promotion", "order", "express")
    parts = {name: getattr(action, name) for name in names}
    given = {name: np.repeat(part[:1], count, axis=0) for name, part in parts.items() if part is not None}
    return replace(action, **given, propensity=None)


def _market_at(spec: MarketSpec, view: MarketView, regime: int, count: int) -> Market:
    """`count` markets in the state of the first market of a view."""
    market = Market(spec, num_markets=count)
    state = market.state
    clock, lanes, context = state.clock.copy(), state.lanes.copy(), state.context.copy()
    clock[PERIOD], clock[REGIME] = view.period[0], regime
    held = {LIST_PRICE: "list_price", REFERENCE_PRICE: "reference_price", ON_HAND: "on_hand", LAST_UNITS: "last_units"}
    for row, name in held.items():
        lanes[row] = getattr(view, name)[0][:, None]
    if len(lanes) > PIPELINE:
        # Its arrival time does not matter: nothing on order can be sold in this period.
        lanes[PIPELINE] = view.on_order[0][:, None]
    context[state.layout.shock] = 0
    if spec.loyalty is not None and view.loyalty is not None:
        context[state.layout.loyalty] = view.loyalty[0][:, None]
    if spec.competitors is not None and view.competitor_price is not None:
        context[state.layout.rival_price] = view.competitor_price[0, spec.competitor_product][:, None]
    market.restore(replace(state, clock=clock, lanes=lanes, context=context))
    return market


def _wanted(spec: MarketSpec, seen: MarketView, rows: Action, outcome: Outcome, which: tuple[int, int]) -> Array:
    """(G,) mean demand at the prices of an outcome. which: regime and product."""
    regime, product = which
    received = outcome.received * (spec.stock.lead_time_periods == 0)
    if spec.express is not None:
        received = received + outcome.express * (spec.express.lead_time_periods == 0)
    there = (seen.on_hand + received > 0) | (spec.stock.shortage == "backlog")
    there[:, product] = True
    given = {
        "reference": seen.reference_price,
        "discount": spec.guardrails.apply(rows, seen).discount if spec.prices.max_discount > 0 else None,
        "shown": outcome.shown if spec.recommendation is not None else None,
        "promoted": outcome.promoted if spec.promotion is not None else None,
        "regime": regime,
        "in_stock": there,
    }
    halves, share = [outcome.rival_price], 1.0
    if spec.competitors is not None and spec.competitors.answers_within_period:
        assert seen.competitor_price is not None, "a market with competitors shows their prices"
        halves.insert(0, seen.competitor_price[:, spec.competitor_product])
        share = 1.0 if spec.arrivals.process == "single" else 0.5
    period, price = int(seen.period[0]), outcome.list_price
    units = share * np.sum([expected_units(spec, period, price, rival_price=half, **given) for half in halves], axis=0)
    if seen.loyalty is not None:
        units = units * seen.loyalty[:, :, None]
    return units[:, :, product].sum(axis=1)


def _intervals(spec: MarketSpec, product: int, at: _Points, elasticity_error: float) -> dict[int, Array]:
    """By level, lower and upper limits of demand (2, G)."""
    away = np.abs(np.log(at.price / spec.products.regular_price[product]))
    factor = np.exp(_NORMAL95 * elasticity_error * away)
    ends = ((-1, at.units / factor), (1, at.units * factor))
    return {
        level: np.stack([_quantile(spec, product, mean, (1 + side * level / 100) / 2) for side, mean in ends])
        for level in _LEVELS
    }


def _quantile(spec: MarketSpec, product: int, mean: Array, share: float) -> Array:
    """(G,) quantile of demand at this probability."""
    if spec.arrivals.process == "single":
        return np.asarray(bernoulli.ppf(share, np.clip(mean, 0, 1)), dtype=np.float64)
    spread = float(spec.arrivals.overdispersion[product])
    if spread == 0:
        return np.asarray(poisson.ppf(share, mean), dtype=np.float64)
    return np.asarray(nbinom.ppf(share, 1 / spread, 1 / (1 + spread * mean)), dtype=np.float64)


# A small decision tree that imitates a policy, and how closely it does so.


@dataclass(frozen=True)
class SurrogateTree:
    """A decision tree for the prices of a policy, as multiples of the products' regular prices.

    Attributes:
        policy: Name of the policy.
        tree: The fitted regressor.
        names: Names of its features, in order.
        fidelity: R² on episodes that it was not fitted on; 1 where it reproduces the policy.
        rows: Number of prices that it was fitted on.

    Example:
        >>> from repricer.evaluation import named_policy, surrogate_tree
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> surrogate_tree(named_policy("fixed:9", spec), spec).names[:2]
        ['time_left', 'log_periods_left']
    """

    policy: str
    tree: DecisionTreeRegressor
    names: list[str]
    fidelity: float
    rows: int

    @property
    def text(self) -> str:
        """The tree as text, one rule per line."""
        text = export_text(self.tree, feature_names=list(map(feature_words, self.names)), decimals=3)
        return re.sub(r"value: \[(.+?)\]", lambda leaf: f"{float(leaf[1]):.1%} of the regular price", text)

    def to_dict(self) -> dict[str, Any]:
        """As `explain --tree --json` prints it."""
        weight = dict(zip(self.names, self.tree.feature_importances_.tolist(), strict=True))
        return {
            "policy": self.policy,
            "fidelity": self.fidelity,
            "rows": self.rows,
            "depth": int(self.tree.get_depth()),
            "leaves": int(self.tree.get_n_leaves()),
            "importance": {
                name: share for name, share in sorted(weight.items(), key=lambda item: -item[1]) if share > 0
            },
            "tree": self.text,
        }


def surrogate_tree(policy: Policy, scenario: MarketSpec | str, *, max_depth: int = 4, seed: int = 0) -> SurrogateTree:
    """Fit a decision tree to the prices that a policy charges over its own episodes.

    Bastani, Kim and Bastani (2017), Interpretability via Model Extraction, FAT/ML. The tree uses
    the features of a product (`pricing.feature_names`); it is fitted on the tuning seeds and tested
    on the test seeds. Policies that draw, learn or have a recurrent state can be imitated too;
    variation that the features do not determine lowers the fidelity.

    Args:
        policy: The policy.
        scenario: A market, or the name or path of one.
        max_depth: Levels of the tree.
        seed: Selects the tuning and test seeds.

    Raises:
        ValueError: For less than one level.

    Example:
        >>> from repricer.evaluation import named_policy, surrogate_tree
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> surrogate_tree(named_policy("fixed:9", spec), spec).fidelity
        1.0
    """
    spec = load_scenario(scenario)
    if max_depth < 1:
        raise ValueError(f"max_depth must be at least 1; got {max_depth}; ask for one level or more")
    features, target = _charged(spec, policy, seed_for("tuning", seed))
    tree = DecisionTreeRegressor(max_depth=max_depth, min_impurity_decrease=_SAME, random_state=0).fit(features, target)
    held_out, actual = _charged(spec, policy, seed_for("test", seed))
    names = feature_names(catalogue_of(spec), fixed=_several(spec))
    return SurrogateTree(policy.name, tree, names, _r_squared(actual, tree.predict(held_out)), len(target))


def _several(spec: MarketSpec) -> bool:
    """Whether there is more than one product: the fixed features then distinguish them."""
    return len(spec.products.names) > 1


def _charged(spec: MarketSpec, policy: Policy, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features (M, F) and price over regular price (M,), of every product in every period in which it can be bought."""
    features: list[NDArray[np.float32]] = []
    prices: list[NDArray[np.float32]] = []

    def note(view: MarketView, outcome: Outcome) -> None:
        there = for_sale(spec, view)
        features.append(product_features(view, fixed=_several(spec))[there])
        prices.append((outcome.list_price / view.catalogue.regular_price)[there])

    affordable = _ROWS // (spec.market.horizon_periods * len(spec.products.names))
    rollout(spec, policy, episodes=int(np.clip(affordable, _LEAST_MARKETS, _MOST_MARKETS)), seed=seed, watch=note)
    return np.concatenate(features), np.concatenate(prices).astype(np.float64)


def _r_squared(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """R²; 1 for a constant policy that the tree reproduces."""
    spread = float(((actual - actual.mean()) ** 2).mean())
    error = float(((actual - predicted) ** 2).mean())
    return float(error < _CONSTANT) if spread < _CONSTANT else 1 - error / spread
