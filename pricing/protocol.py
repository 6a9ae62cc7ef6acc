"""The policy protocol, which baselines, learned policies, served bundles, fallbacks and competitors follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .observed import MarketView


@dataclass(frozen=True)
class Action:
    """What a policy proposes for E markets of N products and K segments, before the guardrails.

    Args:
        price: (E, N) list prices, currency per unit.
        discount: (E, N, K) personal discounts, fractions of the list price; None for no discounts.
        recommendation: (E, N, K) scores of showing the product in the segment's slot: among the
            candidates the highest positive score is shown. None for the recommender's own first
            choice.
        promotion: (E, N) scores of promoting the product: the highest positive scores are promoted,
            up to the scenario's number. None for no promotions.
        order: (E, N) units to order; None for no orders.
        express: (E, N) units to order from the supplier that delivers sooner; None for no such orders.
        propensity: (E, N) probability with which the policy chose this price (a density per
            currency, where prices are continuous); None where it is not known.
        as_charged: whether the shop charges these list prices whatever the guardrails say, as those
            of its own plan: no guardrail changes them.
        as_promoted: whether it promotes these products however many they are.
        deal: (E, N) whether the price is announced as a temporary reduction; None where the shop's plan says.

    Example:
        >>> import repricer
        >>> market = repricer.Market("three-stocks", num_markets=2)
        >>> outcome = market.step(Action(price=market.view.list_price * np.float32(0.9)))
        >>> outcome.units.shape
        (2, 3)
    """

    price: NDArray[np.float32]
    discount: NDArray[np.float32] | None = None
    recommendation: NDArray[np.float32] | None = None
    promotion: NDArray[np.float32] | None = None
    order: NDArray[np.float32] | None = None
    express: NDArray[np.float32] | None = None
    propensity: NDArray[np.float32] | None = None
    as_charged: bool = False
    as_promoted: bool = False
    deal: NDArray[np.bool_] | None = None


@runtime_checkable
class Policy(Protocol):
    """Anything that sets prices.

    `act` depends on the view alone, so that the same view gives the same action. A policy that
    draws its prices, or learns as it goes, has an attribute `deterministic` that is False; it can
    be simulated, but has no exact value.

    Example:
        >>> class HalfPrice:
        ...     name = "half-price"
        ...     def act(self, view):
        ...         return Action(view.list_price * np.float32(0.5))
        >>> isinstance(HalfPrice(), Policy)
        True
    """

    @property
    def name(self) -> str:
        """How tables and logs call the policy."""
        ...

    def act(self, view: MarketView) -> Action:
        """Propose prices, and whatever else the scenario lets a policy decide, for every market in the view."""
        ...


def is_deterministic(policy: Policy) -> bool:
    """Whether the same view always gives the same action; True unless the policy says otherwise.

    Example:
        >>> from repricer.pricing import FixedPrice, RandomPrice
        >>> is_deterministic(FixedPrice(3.0)), is_deterministic(RandomPrice(1.0, 2.0))
        (True, False)
    """
    return getattr(policy, "deterministic", True)


def checked_policy(policy: Any, what: str = "policy") -> Policy:
    """The policy, if it is one.

    Args:
        policy: What a caller gave.
        what: What an error calls it.

    Raises:
        ValueError: It has no name or no `act`.

    Example:
        >>> from repricer.pricing import FixedPrice
        >>> checked_policy(FixedPrice(3.0)).name
        'fixed'
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"{what} must have name and act(view); got {type(policy).__name__}; use repricer.policy_from")
    return policy


def check_order(name: str, period: int, awaited: int) -> None:
    """Raise ValueError where a policy that remembers an episode is asked for a period out of order.

    Args:
        period: that it is asked for; 0 starts an episode.
        awaited: the period after the last one that it saw.
    """
    if period not in (0, awaited):
        raise ValueError(f"policy {name} follows one batch; got period {period}, not {awaited}; give each its own")
