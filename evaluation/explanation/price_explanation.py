"""Why a price is what it is: what moved it, what the price rules did, what it sells, and what another would earn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...envs import Market, seed_for
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
from ...scenarios import MarketSpec, load_scenario
from ..optimum import exact_value, solve
from .demand_curve import DemandCurve, demand_curve, repeated

_NAMED = 3
# A gain below this share of the money at stake is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Alternative:
    """Another price, currency per unit; the money that it brings, and how much more that is than with the price charged."""

    price: float
    objective: float
    gain: float


@dataclass(frozen=True)
class PriceExplanation:
    """One price of one product in one period. Money in the scenario's currency.

    contributions: what moved the proposed price. rules: what the guardrails add to it. trail: what the guardrails changed of it, in order. curve: what this
    period would sell and earn at other prices. now: the price that earns most in this period, all else as it is. ahead: the
    prices that earn most by the end of the episode, and the money from now on if all products take them, against the
    prices charged now and the best ones later; None where no solver reaches. looks_back: whether the policy notes what it
    saw; the notes of the periods before are then held as they are.
    """

    scenario: str
    policy: str
    product: str
    period: int
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
    def sentences(self) -> list[str]:
        """The same in plain words."""
        return [self._what(), *self._rules(), self._sells(), self._alternative(), *self._future()]

    def _what(self) -> str:
        moved = sorted(self.contributions.inputs.items(), key=lambda item: -abs(item[1]))
        named = [f"{name} {amount:+.3g}" for name, amount in moved[:_NAMED] if abs(amount) > _ROUNDING * self.price]
        why = f": {', '.join(named)}" if named else ""
        usual = f"against the {self.contributions.baseline:.4g} that {self.policy} proposes in an ordinary market"
        held = " What it noted in the periods before is held as it is." if self.looks_back else ""
        when = f"in {self.period_name} {self.period}"
        return f"{self.product} costs {self.price:.4g} {self.currency} {when}, {usual}{why}.{held}"

    def _rules(self) -> list[str]:
        return [
            f"The price rule {step.rule} moved it from {step.before:.6g} to {step.after:.6g}: {step.why}."
            for step in self.trail
            if not isinstance(step.before, list)
        ]

    def _sells(self) -> str:
        at, curve = self.curve.charged, self.curve
        low, high = curve.interval[80][:, at]
        wanted = f"{curve.units[at]:.4g} units {{}} on average, and {low:.0f} to {high:.0f} in four periods of five."
        if not curve.for_sale:
            return f"It is sold out; at this price {wanted.format('would be wanted')}"
        return f"At this price {wanted.format('are wanted')}"

    def _alternative(self) -> str:
        if self.now.gain <= _ROUNDING * abs(self.now.objective):
            return f"No other price would earn more {self.objective} in this {self.period_name} alone."
        return f"In this {self.period_name} alone {self.now.price:.4g} would earn {self.now.gain:.3g} more {self.objective}."

    def _future(self) -> list[str]:
        if self.ahead is None:
            return []
        if self.ahead.gain <= _ROUNDING * abs(self.ahead.objective):
            return [f"Over the periods left no other price earns more {self.objective}."]
        best = f"Over the periods left {self.ahead.price:.4g} is best"
        return [f"{best}, and earns {self.ahead.gain:.3g} more {self.objective} than the price charged."]

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        names = ("scenario", "policy", "product", "period", "currency", "objective", "price", "looks_back")
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
    """Explain one price of any policy whose price hangs on the view, and on what it noted before.

    product: its name, the first where left out. view: what the policy sees, one market; where left out, what it comes to see
    in this period (from 0) of this judging market. elasticity_error: standard error of the product's elasticity, as the fit
    report has it, which widens the curve's interval. Raises ValueError for an unknown product or period, for policies that
    draw or learn, and for a view in mid-episode where the policy looks back.
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
    return PriceExplanation(
        scenario=spec.name,
        policy=policy.name,
        product=spec.products.names[n],
        period=int(view.period[0]),
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
    """What a policy sees in a period of a judging market that it has priced so far."""
    batch = Market(spec, seed=seed_for("test", seed), numbers=np.array([market]))
    for _ in range(period):
        batch.step(policy.act(batch.view))
    return batch.view


def _check(spec: MarketSpec, policy: Policy, product: str | None, period: int, view: MarketView | None) -> None:
    looks_back = isinstance(policy, RecurrentPolicy)
    if not (looks_back or is_deterministic(policy)):
        raise ValueError(
            f"a price is explained where it hangs on the view; got {policy.name}, which draws or learns; "
            "fit a surrogate tree to it"
        )
    if looks_back and view is not None and view.period[0] != 0:
        raise ValueError(
            f"the state of a policy that looks back must open an episode; got one of period {view.period[0]} for {policy.name}; "
            "name a period and a market instead, which are played up to there"
        )
    if product is not None and product not in spec.products.names:
        known = ", ".join(spec.products.names)
        raise ValueError(f"product must be one of {known}; got '{product}'; choose one")
    last = spec.market.horizon_periods - 1
    if not 0 <= period <= last:
        raise ValueError(f"period must lie in 0 to {last}; got {period}; choose one of the episode")


@dataclass(frozen=True)
class _NowThen:
    """An action in one period, and a policy in those after it."""

    name: str
    period: int
    now: Action
    then: Policy

    def act(self, view: MarketView) -> Action:
        """The action, for every market, or what the policy proposes."""
        if view.period[0] != self.period:
            return self.then.act(view)
        return repeated(self.now, view.num_markets)


def _now(curve: DemandCurve) -> Alternative:
    """The best price of the curve."""
    best = int(curve.objective.argmax())
    most = float(curve.objective[best])
    return Alternative(float(curve.price[best]), most, most - float(curve.objective[curve.charged]))


def _ahead(spec: MarketSpec, view: MarketView, action: Action, product: int) -> Alternative | None:
    """The optimum's prices in the first market of a view; None where no solver reaches."""
    optimum, period = solve(spec), int(view.period[0])
    last = spec.market.ending == "truncated" and period == spec.market.horizon_periods - 1
    # Beyond the last period of an endless market the same period comes again.
    if optimum is None or last:
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
