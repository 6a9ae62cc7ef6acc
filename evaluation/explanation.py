"""Explanations of a price: what it earns beside its alternatives, which inputs moved it, and rules that imitate a policy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bernoulli, nbinom, norm, poisson
from sklearn.tree import DecisionTreeRegressor, export_text

from ..envs import Market, Outcome, catalogue_of, rollout, seed_for
from ..envs.kernels.state import ON_HAND, PERIOD, REGIME
from ..envs.observation import set_state
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
from ..scenarios.planned_deals import planned_deals

_CAUSES_NAMED = 3
# A gain below this share of the money at stake is rounding.
_ROUNDED_GAIN = 1e-6
Array = NDArray[np.float64]

_POINTS = 41
_AMPLE = 1e6
_BAND_LEVELS = (80, 95)
_NORMAL95 = float(norm.ppf(0.975))
# The most rows, one per product and period, that a tree is fitted on and tested on.
_TREE_ROWS = 200_000
_MOST_MARKETS = 200
_LEAST_MARKETS = 8
# Variance, in squared multiples of the regular price, that is rounding in single precision.
_CONSTANT = 1e-12
# A rule that lowers the variance by less tells prices apart that read the same.
_LEAST_IMPURITY = 1e-7


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


@dataclass(frozen=True, repr=False)
class PriceExplanation:
    """Why one product has its price in one period. Money in the scenario's currency.

    Attributes:
        spec: The scenario.
        policy: Name of the policy.
        product: Name of the product.
        period: The period, from 0.
        contributions: What each group of inputs adds to the proposed price.
        rules: What the price rules add to it, currency per unit.
        trail: What each price rule changed, in order.
        curve: Demand and money of this period at other prices.
        looks_back: Whether the policy has a recurrent state, which is then held fixed.

    Example:
        >>> from repricer.evaluation import explain, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> explain(spec, named_policy("fixed:9", spec)).sentences[0]
        'unit costs 9 currency in period 0, against the 9 that fixed:9 proposes in an ordinary market.'
    """

    spec: MarketSpec
    policy: str
    product: str
    period: int
    contributions: PriceContributions
    rules: float
    trail: list[TrailStep]
    curve: DemandCurve
    looks_back: bool = False

    @property
    def price(self) -> float:
        """The price charged, currency per unit."""
        return self.contributions.proposed + self.rules

    @property
    def now(self) -> Alternative:
        """The price that earns most in this period, everything else fixed."""
        price = self.curve.price
        money = self.curve.objective
        best = int(money.argmax())
        return Alternative(float(price[best]), float(money[best]), float(money[best] - money[self.curve.charged]))

    @property
    def date(self) -> str | None:
        """The first day of the period; None where the market has no calendar."""
        return None if self.spec.calendar is None else self.spec.calendar.label(self.period)

    @property
    def when(self) -> str:
        """The period in words: its first day, or its number."""
        unit = self.spec.market.period
        return f"the {unit} from {self.date}" if self.date else f"{unit} {self.period}"

    @property
    def sentences(self) -> list[str]:
        """The explanation in plain words."""
        return [self._what(), *self._rules(), self._sells(), self._alternative()]

    def _what(self) -> str:
        moved = sorted(self.contributions.inputs.items(), key=lambda item: -abs(item[1]))
        named = [
            f"{name} {amount:+.3g}"
            for name, amount in moved[:_CAUSES_NAMED]
            if abs(amount) > _ROUNDED_GAIN * self.price
        ]
        why = f": {', '.join(named)}" if named else ""
        usual = f"against the {self.contributions.baseline:.4g} that {self.policy} proposes in an ordinary market"
        held = " The policy's recurrent state is held fixed." if self.looks_back else ""
        return f"{self.product} costs {self.price:.4g} {self.spec.market.currency} in {self.when}, {usual}{why}.{held}"

    def _rules(self) -> list[str]:
        return [
            f"The price rule '{rule_words(step.rule)}' moved it from {step.before:.6g} to {step.after:.6g}: {step.why}."
            for step in self.trail
            if not isinstance(step.before, list)
        ]

    def _sells(self) -> str:
        at = self.curve.charged
        curve = self.curve
        low, high = curve.interval[80][:, at]
        spread = f"{low:,.0f} to {high:,.0f} units in four periods of five"
        wanted = f"demand {{}} {units_words(curve.units[at])} units on average, and {spread}."
        if not curve.for_sale:
            return f"It is sold out; at this price {wanted.format('would be')}"
        return f"At this price {wanted.format('is')}"

    def _alternative(self) -> str:
        now = self.now
        market = self.spec.market
        if now.gain <= _ROUNDED_GAIN * abs(now.objective):
            return f"No other price would earn more {market.objective} in this {market.period} alone."
        gain = f"{units_words(now.gain)} more {market.objective}"
        return f"In this {market.period} alone, {now.price:.4g} would earn {gain}."

    def __repr__(self) -> str:
        return f"PriceExplanation({self.product}, {self.when}, {self.price:.4g} by {self.policy})"

    def to_frame(self) -> pd.DataFrame:
        """What makes up the price, a row each: the baseline, what each input adds, and the price rules; they add up to it."""
        parts = {"baseline": self.contributions.baseline} | self.contributions.inputs | {"price rules": self.rules}
        return pd.DataFrame({"part": list(parts), "amount": list(parts.values())})

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        steps = [{name: getattr(step, name) for name in ("rule", "before", "after", "why")} for step in self.trail]
        market = {"currency": self.spec.market.currency, "objective": self.spec.market.objective}
        own = {name: getattr(self, name) for name in ("policy", "product", "period", "date", "price", "looks_back")}
        parts = {"attribution": vars(self.contributions) | {"rules": self.rules}, "trail": steps}
        parts |= {"curve": self.curve.to_dict(), "now": vars(self.now), "sentences": self.sentences}
        return {"scenario": self.spec.name} | own | market | parts


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
    trail = spec.guardrails.apply(action, view).trails[n]
    looks_back = isinstance(policy, PolicyAtState)
    where = (spec, policy.name, spec.products.names[n], int(view.period[0]))
    return PriceExplanation(*where, contributions, allowed - contributions.proposed, trail, curve, looks_back)


def view_at(spec: MarketSpec, policy: Policy, *, period: int, market: int = 0, seed: int = 0) -> MarketView:
    """What a policy sees in a period of a test episode that it has priced so far."""
    batch = Market(spec, seed=seed_for("test", seed), numbers=np.array([market]))
    for _ in range(period):
        batch.step(policy.act(batch.view))
    return batch.view


def _check(spec: MarketSpec, policy: Policy, product: str | None, period: int, view: MarketView | None) -> None:
    looks_back = isinstance(policy, RecurrentPolicy)
    if not (looks_back or is_deterministic(policy)):
        must = "a price can be explained where it depends on the view alone"
        raise ValueError(f"{must}; got {policy.name}, which draws or learns; fit a surrogate tree to it")
    if looks_back and view is not None and view.period[0] != 0:
        must = "the view of a policy with a recurrent state must be of the first period"
        fix = "name a period and a market instead, which are simulated up to there"
        raise ValueError(f"{must}; got one of period {view.period[0]} for {policy.name}; {fix}")
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
    asked = _grid(spec, product, float(spec.guardrails.low[product]), float(spec.guardrails.high[product]))
    price, _, money = _evaluate(spec, view, action, product, asked)
    best = int(money.argmax())
    closer = _grid(spec, product, price[max(best - 1, 0)], price[min(best + 1, price.size - 1)])
    price, units, money = _evaluate(spec, view, action, product, np.concatenate([asked, closer, [charged]]))
    factor = np.exp(
        _NORMAL95 * (elasticity_error or 0.0) * np.abs(np.log(price / spec.products.regular_price[product]))
    )
    ends = ((-1, _distribution(spec, product, units / factor)), (1, _distribution(spec, product, units * factor)))
    interval = {
        level: np.stack([demand.ppf((1 + side * level / 100) / 2) for side, demand in ends]) for level in _BAND_LEVELS
    }
    nearest = int(np.abs(price - charged).argmin())
    return DemandCurve(price, units, interval, money, nearest, bool(for_sale(spec, view)[0, product]))


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


def _evaluate(
    spec: MarketSpec, view: MarketView, action: Action, product: int, asked: Array
) -> tuple[Array, Array, Array]:
    """The allowed prices nearest to those `asked`, each once, with units and money as in `DemandCurve`."""
    chances = spec.regime_probabilities(int(view.period[0]) + 1)[-1]
    if view.regime is not None:
        chances = np.eye(chances.size)[view.regime[0]]
    count = asked.size
    price = asked
    rows = action_in(action, np.zeros(2 * count, np.intp))
    rows.price[:, product] = np.tile(asked, 2)
    units = np.zeros(count)
    money = np.zeros(count)
    for regime in np.flatnonzero(chances).tolist():
        market = _market_at(spec, view, regime, 2 * count)
        # The second half of the markets has ample stock of the product, whatever is left.
        market.state.lanes[ON_HAND, product, count:] = _AMPLE
        outcome = market.step(rows)
        price = outcome.list_price[:count, product].astype(np.float64)
        units += chances[regime] * outcome.results.wanted[product, count:]
        money += chances[regime] * market.money(outcome, expected=True)[:count].sum(axis=1, dtype=np.float64)
    price, first = np.unique(price, return_index=True)
    return price, units[first], money[first]


def action_in(action: Action, markets: slice | NDArray[np.intp]) -> Action:
    """The action in some of the markets, or in one of them again and again."""
    parts: dict[str, Any] = {name: rows[markets] for name, rows in vars(action).items() if isinstance(rows, np.ndarray)}
    return replace(action, **parts)


def _market_at(spec: MarketSpec, view: MarketView, regime: int, count: int) -> Market:
    """`count` markets in the state of the first market of a view."""
    market = Market(spec, num_markets=count)
    state = market.state
    state.clock[PERIOD] = view.period[0]
    state.clock[REGIME] = regime
    state.context[state.layout.shock] = 0
    set_state(state, spec, view)
    deals = planned_deals(spec)
    if deals is not None:
        level = deals.level_before(int(view.period[0]), view.list_price[0])
        state.context[state.layout.level] = level[:, None]
    market.restore(state)
    return market


def _distribution(spec: MarketSpec, product: int, mean: Array) -> Any:
    """The distribution of demand with each of these means."""
    spread = float(spec.arrivals.overdispersion[product])
    if spec.arrivals.process == "single":
        return bernoulli(np.clip(mean, 0, 1))
    return nbinom(1 / spread, 1 / (1 + spread * mean)) if spread else poisson(mean)


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
        weight = sorted(
            zip(self.tree.feature_importances_.tolist(), self.names, strict=True), key=lambda pair: -pair[0]
        )
        size = {"depth": int(self.tree.get_depth()), "leaves": int(self.tree.get_n_leaves())}
        importance = {name: share for share, name in weight if share > 0}
        own = {"policy": self.policy, "fidelity": self.fidelity, "rows": self.rows}
        return own | size | {"importance": importance, "tree": self.text}


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
    tree = DecisionTreeRegressor(max_depth=max_depth, min_impurity_decrease=_LEAST_IMPURITY, random_state=0).fit(
        features, target
    )
    held_out, actual = _charged(spec, policy, seed_for("test", seed))
    names = feature_names(catalogue_of(spec), fixed=len(spec.products.names) > 1)
    return SurrogateTree(policy.name, tree, names, _r_squared(actual, tree.predict(held_out)), len(target))


def _charged(spec: MarketSpec, policy: Policy, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features (M, F) and price over regular price (M,), of every product in every period in which it can be bought."""
    features: list[NDArray[np.float32]] = []
    prices: list[NDArray[np.float32]] = []
    # The fixed features tell products apart.
    products = len(spec.products.names)

    def note(view: MarketView, outcome: Outcome) -> None:
        there = for_sale(spec, view)
        features.append(product_features(view, fixed=products > 1)[there])
        prices.append((outcome.list_price / view.catalogue.regular_price)[there])

    markets = np.clip(_TREE_ROWS // (spec.market.horizon_periods * products), _LEAST_MARKETS, _MOST_MARKETS)
    rollout(spec, policy, episodes=int(markets), seed=seed, watch=note)
    return np.concatenate(features), np.concatenate(prices).astype(np.float64)


def _r_squared(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """R²; 1 for a constant policy that the tree reproduces."""
    spread = float(((actual - actual.mean()) ** 2).mean())
    error = float(((actual - predicted) ** 2).mean())
    return float(error < _CONSTANT) if spread < _CONSTANT else 1 - error / spread
