"""Whether recommended prices stand at the end of what is allowed, and what further steps would have to show."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...agents.posterior.best_plan import plan_at, plan_multiplier
from ...agents.posterior.deals import Plan, PlanValue, own_plan, plan_of
from ...pricing.planned_deals import DEAL
from ...scenarios import MarketSpec
from ...scenarios.periods import simulated_prices
from ...scenarios.planned_deals import stated_deals
from .draws import Floats, Interval, draw_numbers, further, model_error, quantiles

# Prices this close are the same; a price that moved less did not change.
_AT = 0.002
_CHANGED = 0.005


class AtBounds(NamedTuple):
    """How many recommended prices stand at the end of what is allowed.

    Attributes:
        total: Prices of the list.
        at_step: Those at the largest step from the plan that the price rules allow; None where they limit no step.
        elsewhere: Those at another bound, as a floor, a ceiling or a margin.
        share: Share of the expected gain that prices at another bound bring; None where nothing is gained.
    """

    total: int
    at_step: int | None
    elsewhere: int
    share: float | None

    def words(self) -> str:
        """In a sentence.

        Example:
            >>> AtBounds(336, 95, 12, 0.08).words()
            '12 of 336 prices stand at a bound other than the step and bring 8% of the gain; 95 stand at the step.'
            >>> AtBounds(336, 95, 0, 0.0).words()
            'No price stands at a bound other than the step; 95 of 336 stand at the step.'
            >>> AtBounds(336, None, 12, 0.08).words()
            '12 of 336 prices stand at a bound and bring 8% of the gain.'
        """
        brings = "" if self.share is None else f" and bring {self.share:.0%} of the gain"
        if self.at_step is None:
            return f"{self.elsewhere} of {self.total} prices stand at a bound{brings}."
        if not self.elsewhere:
            return f"No price stands at a bound other than the step; {self.at_step} of {self.total} stand at the step."
        first = f"{self.elsewhere} of {self.total} prices stand at a bound other than the step{brings}"
        return f"{first}; {self.at_step} stand at the step."


def at_bounds(spec: MarketSpec, price: Floats) -> AtBounds:
    """Which prices of a list stand at a bound.

    Args:
        spec: A fitted market.
        price: (T, N) the list's prices, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> at_bounds(spec, np.full((30, 1), spec.guardrails.high[0])).elsewhere
        30
    """
    rules = spec.guardrails
    plan = own_plan(spec)
    moved = (np.abs(price / plan.price - 1) > _CHANGED) & ~rules.held
    at_step = np.zeros(price.shape, np.bool_)
    limited = rules.near_plan.size > 0
    if limited:
        deal = np.array([rules.deals_of(t, row) for t, row in enumerate(price)])
        at_step = _at_an_end(price, *rules.step_range(np.arange(len(price)), deal)) & moved
    elsewhere = _at_an_end(price, rules.own_low, rules.own_high) & moved & ~at_step
    count = int(at_step.sum()) if limited else None
    return AtBounds(price.size, count, int(elsewhere.sum()), _share(spec, plan, price, elsewhere))


def _at_an_end(price: Floats, low: NDArray[np.floating], high: NDArray[np.floating]) -> NDArray[np.bool_]:
    return (price <= low * (1 + _AT)) | (price >= high * (1 - _AT))


def _share(spec: MarketSpec, plan: Plan, price: Floats, marked: NDArray[np.bool_]) -> float | None:
    """Share of the gain in the mean market that goes where the marked prices stay as planned."""
    value = PlanValue(spec)
    paths = [simulated_prices(spec, path) for path in (plan.price, price, np.where(marked, plan.price, price))]
    own, listed, without = (float(value.money(_stated(spec, plan, path)).sum()) for path in paths)
    return None if listed <= own else min(max((listed - without) / (listed - own), 0.0), 1.0)


def _stated(spec: MarketSpec, plan: Plan, price: Floats) -> Plan:
    deal = stated_deals(spec, price)
    return plan._replace(price=price, deal=plan.deal if deal is None else deal)


class PlannedDealsLeft(NamedTuple):
    """What becomes of the plan's deals, by product and period.

    Attributes:
        planned: How many there are.
        moved: How many another period has instead; counted where prices stay near the plan, as a deal keeps its depth there.
        dropped: How many go.
        with_displays: Whether displays or mailers were planned for any that left its period.
    """

    planned: int
    moved: int
    dropped: int
    with_displays: bool


def planned_deals_left(spec: MarketSpec, price: Floats) -> PlannedDealsLeft:
    """What becomes of the plan's deals in a list.

    Args:
        spec: A fitted market.
        price: (T, N) the list's prices, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> planned_deals_left(load_scenario("stationary-logit"), np.full((30, 1), 9.0)).dropped
        0
    """
    rules = spec.guardrails
    plan = own_plan(spec)
    is_near = rules.near_plan.size > 0
    kept = price < DEAL * price.max(axis=0)
    if is_near:
        kept = np.array([rules.deals_of(t, row) for t, row in enumerate(price)])
    gone = plan.deal & ~kept
    added = kept & ~plan.deal
    moved = int(np.minimum(gone.sum(axis=0), added.sum(axis=0)).sum()) if is_near else 0
    with_displays = bool((plan.feature * gone).any())
    return PlannedDealsLeft(int(plan.deal.sum()), moved, int(gone.sum()) - moved, with_displays)


class FurtherGain(NamedTuple):
    """What prices would be expected to gain over the current ones if they went on beyond this step.

    Attributes:
        mean: As a share of what the current prices earn.
        interval90: 5% and 95% quantile over the posterior draws.
    """

    mean: float
    interval90: Interval

    def words(self) -> str:
        """In a sentence.

        Example:
            >>> FurtherGain(0.061, (-0.02, 0.12)).words()[:75]
            'Going on in such steps over several cycles, within what you ever charged, w'
        """
        low, high = self.interval90
        return (
            "Going on in such steps over several cycles, within what you ever charged, would be expected to earn "
            f"{self.mean:+.1%} against your current prices (90% interval {low:+.1%} to {high:+.1%}): a test would have to show it."
        )


@functools.lru_cache(maxsize=4)
def going_on(spec: MarketSpec) -> FurtherGain | None:
    """The gain of the best plan without a limit on steps, at the cost of the profit floor within it; None in a market without one, or whose plan earns nothing.

    Args:
        spec: A fitted market.

    Example:
        >>> from repricer import load_scenario
        >>> going_on(load_scenario("stationary-logit")) is None
        True
    """
    if not spec.guardrails.near_plan.size:
        return None
    free = spec.with_changes(prices={"max_step": None})
    path = plan_at(free, plan_multiplier(spec))
    value = PlanValue(free.scored, draws=draw_numbers(free.scored))
    own, beyond = (value.money_by_draw(each).sum(axis=-1) for each in (value.planned, plan_of(free, path)))
    if not (own > 0).all():
        return None
    gain = further(beyond / own - 1, model_error(spec))
    return FurtherGain(float(beyond.sum() / own.sum() - 1), quantiles(gain))
