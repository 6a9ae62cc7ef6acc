"""The explanation of one price: contributions of inputs and price rules, demand, and the best alternatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...envs import Market, seed_for
from ...optimum import exact_value, solve
from ...pricing import (
    Action,
    MarketView,
    Policy,
    PolicyAtState,
    PriceContributions,
    RecurrentPolicy,
    TrailStep,
    is_deterministic,
    price_contributions,
)
from ...pricing.shapley import OTHER_PRODUCTS
from ...pricing.wording import rule_words, units_words
from ...scenarios import MarketSpec, load_scenario
from .demand_curve import DemandCurve, demand_curve, repeated

_NAMED = 3
# A gain below this share of the money at stake is rounding.
_ROUNDING = 1e-6


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
        ahead: The optimum's price, and the money from now on if all products take its prices now;
            its gain is over the prices charged now, with the optimum's prices later. None where no
            solver applies.
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
    ahead: Alternative | None
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
        return [self._what(), *self._rules(), self._sells(), self._alternative(), *self._future()]

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

    def _future(self) -> list[str]:
        if self.ahead is None:
            return []
        if self.ahead.gain <= _ROUNDING * abs(self.ahead.objective):
            return [f"Over the periods left, no other price earns more {self.objective}."]
        best = f"Over the periods left, {self.ahead.price:.4g} is best"
        more = f"{units_words(self.ahead.gain)} more {self.objective}"
        if OTHER_PRODUCTS in self.contributions.inputs:
            return [f"{best}; the best prices of all products earn {more} than those charged."]
        return [f"{best}, and earns {more} than the price charged."]

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        names = ("scenario", "policy", "product", "period", "date", "currency", "objective", "price", "looks_back")
        steps = [{name: getattr(step, name) for name in ("rule", "before", "after", "why")} for step in self.trail]
        return {name: getattr(self, name) for name in names} | {
            "attribution": vars(self.contributions) | {"rules": self.rules},
            "trail": steps,
            "curve": self.curve.to_dict(),
            "now": vars(self.now),
            "ahead": None if self.ahead is None else vars(self.ahead),
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
    return _explained(spec, policy, view, n, elasticity_error)


def _explained(
    spec: MarketSpec, policy: Policy, view: MarketView, n: int, elasticity_error: float | None
) -> PriceExplanation:
    """The explanation of the price of product n, for a policy that depends on the view alone."""
    action = policy.act(view)
    contributions = price_contributions(policy, view, n)
    allowed = float(spec.guardrails.apply(action, view).price[0, n])
    curve = demand_curve(spec, view, action, n, elasticity_error=elasticity_error)
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
        trail=[step for step in spec.guardrails.traces(action, view)[0][n] if step.moved],
        curve=curve,
        now=_now(curve),
        ahead=_ahead(spec, view, action, n),
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


@dataclass(frozen=True)
class _NowThen:
    """An action in one period, and a policy in the periods after it."""

    name: str
    period: int
    now: Action
    then: Policy

    def act(self, view: MarketView) -> Action:
        """The action, for every market, or what the policy proposes in later periods."""
        if view.period[0] != self.period:
            return self.then.act(view)
        return repeated(self.now, view.num_markets)


def _now(curve: DemandCurve) -> Alternative:
    """The best price of the curve."""
    best = int(curve.objective.argmax())
    most = float(curve.objective[best])
    return Alternative(float(curve.price[best]), most, most - float(curve.objective[curve.charged]))


def _ahead(spec: MarketSpec, view: MarketView, action: Action, product: int) -> Alternative | None:
    """The optimum's price in the first market of a view; None where no solver applies, or the optimum learns."""
    optimum, period = solve(spec), int(view.period[0])
    last = spec.market.ending == "truncated" and period == spec.market.horizon_periods - 1
    # After the last period of an infinite-horizon market the same period follows.
    if optimum is None or last or not is_deterministic(optimum.policy):
        return None
    best = optimum.policy.act(view)
    values = [
        exact_value(spec, _NowThen("now, then optimum", period, now, optimum.policy), start=view)
        for now in (best, action)
    ]
    if values[0] is None or values[1] is None:
        return None
    price = float(spec.guardrails.apply(best, view).price[0, product])
    return Alternative(price, values[0], values[0] - values[1])
