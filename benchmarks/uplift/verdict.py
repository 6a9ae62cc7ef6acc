"""What the tool recommends, and the gain that it predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...agents import train
from ...envs import rollout, seed_for
from ...evaluation import named_policy
from ...pricing import Policy
from ...scenarios import MarketSpec
from .parameters import Array
from .settings import Settings

REGULAR, CURRENT = "regular", "historical"
_EPISODES_PER_DRAW = 8


@dataclass(frozen=True)
class Recommendation:
    """A recommended policy and the gain over regular prices that is predicted for it.

    Attributes:
        policy: Its name.
        prices: (T, N) mean prices by week in the fitted market; None for the shop's current prices.
        predicted: Mean gain as a share of the objective at regular prices.
        low: Lower end of the 90% interval of the gain.
        high: Upper end.
    """

    policy: str
    prices: Array | None
    predicted: float
    low: float
    high: float

    @property
    def refused(self) -> bool:
        """Whether no change of the current prices is recommended."""
        return self.prices is None


def recommend(spec: MarketSpec, settings: Settings, seed: int) -> Recommendation:
    """Train a policy in the fitted market and evaluate it over the posterior draws.

    Args:
        spec: The fitted market.
        settings: Training steps and test episodes.
        seed: Seed of training and evaluation.
    """
    run = train(spec, steps=settings.steps, seed=seed)
    return _learned(spec, run.policy, settings, seed)


def _learned(spec: MarketSpec, policy: Policy, settings: Settings, seed: int) -> Recommendation:
    """The learned policy, with its gain over the draws of the posterior."""
    regular, test = named_policy(REGULAR, spec, seed=seed), seed_for("test", seed)
    mean = rollout(spec, policy, episodes=settings.episodes, seed=test)
    if spec.num_draws:
        markets, episodes = [spec.draw(m) for m in range(spec.num_draws)], _EPISODES_PER_DRAW
    else:
        markets, episodes = [spec], settings.episodes
    earned = np.array(
        [
            [
                rollout(market, one, episodes=episodes, seed=test, expected=True, believed=spec).objective.mean()
                for one in (policy, regular)
            ]
            for market in markets
        ]
    )
    gains = earned[:, 0] / earned[:, 1] - 1
    low, high = np.quantile(gains, (0.05, 0.95))
    predicted = earned[:, 0].mean() / earned[:, 1].mean() - 1
    return Recommendation(policy.name, mean.price_path, float(predicted), float(low), float(high))
