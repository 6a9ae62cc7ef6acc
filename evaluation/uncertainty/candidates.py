"""The prices that are considered for a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...agents.posterior import current_prices
from ...agents.posterior.deals import BOTH, BY_CATEGORY, DEALS, STEPS, plan_policies
from ...pricing import BlendedPrice, Policy
from ...scenarios import MarketSpec
from ..policies import BEST_FIXED, named_policy

REGULAR, CURRENT = "regular", "historical"
_WORDS = {
    "learned": "the learned prices",
    BEST_FIXED: "the best fixed prices",
    REGULAR: "your regular prices, without reductions",
    "current": "your current prices",
    BY_CATEGORY: "your current prices with the regular prices of each category moved by a small step, deals as planned",
    DEALS: "your current regular prices with deals rearranged",
    BOTH: "your current prices with the regular prices of each category moved by a small step, deals rearranged",
} | {
    f"regular{step:+.0%}": f"your current prices with regular prices {abs(step):.0%} {'higher' if step > 0 else 'lower'}, "
    "deals as planned"
    for step in STEPS
}
SHARES = (0.25, 0.5, 0.75)
"""Weights of the current prices in the blends."""


@dataclass(frozen=True)
class Candidate:
    """Prices that may be recommended.

    Attributes:
        policy: The policy.
        words: What a manager calls its prices, as in "Recommended: WORDS."

    Example:
        >>> from repricer import load_scenario
        >>> from repricer.agents.posterior import current_prices
        >>> Candidate(current_prices(load_scenario("stationary-logit")), "your current prices").policy.name
        'regular'
    """

    policy: Policy
    words: str

    @property
    def prices(self) -> tuple[str, float]:
        """Whose prices these are (`learned`, `best-fixed`, `regular`, `current` or a name of `plan_policies`), and the
        share by which they are moved towards the current ones.
        """
        own, share = self.policy, 0.0
        if isinstance(own, BlendedPrice):
            own, share = own.policy, own.share
        return "current" if own.name == CURRENT else own.name if own.name in _WORDS else "learned", share

    @property
    def name(self) -> str:
        """Name of the policy."""
        return self.policy.name


def candidates(
    spec: MarketSpec, learned: Sequence[Policy] = (), *, fixed: Policy | None = None, seed: int = 0
) -> list[Candidate]:
    """The current and the regular prices, the learned and the best fixed ones, blends of these with the current, and
    small steps and rearranged deals of the shop's own plan.

    Args:
        spec: The market.
        learned: Learned policies, if any.
        fixed: The best fixed prices; searched for by default.
        seed: Seed of that search.

    Returns:
        The candidates, the current prices first.

    Example:
        >>> from repricer import load_scenario
        >>> [candidate.name for candidate in candidates(load_scenario("stationary-logit"))][:3]
        ['regular', 'best-fixed', 'best-fixed+25%:regular']
    """
    current = current_prices(spec)
    found = [Candidate(current, _WORDS["current"])]
    if current.name != REGULAR:
        found.append(Candidate(named_policy(REGULAR, spec), _WORDS[REGULAR]))
    several = len(learned) > 1
    named = [(policy, _WORDS["learned"] + f" ({policy.name})" * several) for policy in learned]
    named.append((named_policy(BEST_FIXED, spec, seed=seed) if fixed is None else fixed, _WORDS[BEST_FIXED]))
    for policy, words in named:
        found.append(Candidate(policy, words))
        found += [Candidate(BlendedPrice(policy, current, share), words + _moved(share)) for share in SHARES]
    if spec.history is not None:
        found += [Candidate(policy, _WORDS[name]) for name, policy in plan_policies(spec).items()]
    return found


def words_of(prices: str, share: float) -> str:
    """What a manager calls prices, as `Candidate.prices` states them.

    Example:
        >>> words_of("learned", 0.5)
        'the learned prices, moved 50% of the way back to your current prices'
    """
    return _WORDS[prices] + (_moved(share) if share else "")


def _moved(share: float) -> str:
    return f", moved {share:.0%} of the way back to your current prices"
