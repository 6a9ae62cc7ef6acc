"""The prices that are considered for a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...agents.posterior import current_prices
from ...pricing import BlendedPrice, Policy
from ...scenarios import MarketSpec
from ..policies import BEST_FIXED, named_policy

REGULAR = "regular"
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
    def name(self) -> str:
        """Name of the policy."""
        return self.policy.name


def candidates(
    spec: MarketSpec, learned: Sequence[Policy] = (), *, fixed: Policy | None = None, seed: int = 0
) -> list[Candidate]:
    """The current and the regular prices, the learned and the best fixed ones, and blends of these with the current.

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
    found = [Candidate(current, "your current prices")]
    if current.name != REGULAR:
        found.append(Candidate(named_policy(REGULAR, spec), "your regular prices, without reductions"))
    several = len(learned) > 1
    named = [(policy, f"the learned prices ({policy.name})" if several else "the learned prices") for policy in learned]
    named.append((named_policy(BEST_FIXED, spec, seed=seed) if fixed is None else fixed, "the best fixed prices"))
    for policy, words in named:
        found.append(Candidate(policy, words))
        for share in SHARES:
            blended = f"{words}, moved {share:.0%} of the way back to your current prices"
            found.append(Candidate(BlendedPrice(policy, current, share), blended))
    return found
