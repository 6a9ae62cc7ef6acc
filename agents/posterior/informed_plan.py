"""What the best plan would earn if the customers were known: the ceiling of what learning about them can add to a plan."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...scenarios import MarketSpec
from ...scenarios.sections import Array
from .best_plan import PlanSearch, best_plan, plan_multiplier
from .deals import draws_of_search, plan_of


class InformedPlan(NamedTuple):
    """Money of an episode in each of M posterior draws, currency, with ample stock and at the cost of the profit floor; where
    customers remember prices, with the quiet periods after it.

    Args:
        plan: (M,) of the best plan over all draws.
        informed: (M,) of the best plan for the draw itself, which that plan is where no other is found to be better.

    Example:
        >>> found = InformedPlan(np.array([10.0, 20.0]), np.array([11.0, 22.0]))
        >>> round(found.gain, 3), found.to_dict()["draws"]
        (0.1, 2)
    """

    plan: Array
    informed: Array

    @property
    def gain(self) -> float:
        """What knowing the customers adds to the plan, as a share of what it earns."""
        return float(self.informed.sum() / self.plan.sum() - 1)

    def to_dict(self) -> dict[str, float | int]:
        """Means over the draws, as `evaluate --informed --json` prints them."""
        means = {"plan": float(self.plan.mean()), "informed": float(self.informed.mean())}
        return {"draws": len(self.plan), "gain": self.gain, **means}


def informed_plan(spec: MarketSpec, risk: str = "mean") -> InformedPlan | None:
    """The money of the best plan, and of the best plan for each draw of the posterior, which is searched from that one on.

    Args:
        spec: A market.
        risk: What the best plan is good by over the draws, see `best_plan`.

    Returns:
        Both by draw; None for a market without a posterior, whose customers are known.

    Example:
        >>> from repricer import load_scenario
        >>> informed_plan(load_scenario("stationary-logit")) is None
        True
    """
    if not spec.num_draws:
        return None
    extra_cost = (plan_multiplier(spec, risk) - 1) * spec.products.shadow_cost
    plan = plan_of(spec, best_plan(spec, risk))
    rows = []
    for draw in draws_of_search(spec):
        search = PlanSearch(spec, draws=[draw])
        known = search.best(extra_cost, near=plan)
        money = search.value.money_by_draw
        earned = [float(money(each, search.after, extra_cost).sum()) for each in (plan, known)]
        rows.append((earned[0], max(earned)))
    return InformedPlan(*np.array(rows).T)
