"""What the tool recommends, and the gain that it predicts."""

from __future__ import annotations

from dataclasses import dataclass

from ...agents import train
from ...envs import rollout, seed_for
from ...evaluation import evaluate
from ...evaluation.uncertainty import Assessment, Gain
from ...scenarios import MarketSpec
from .parameters import Array
from .settings import StudySettings

_REGULAR = "regular"
_PATH_EPISODES = 100


@dataclass(frozen=True)
class PredictedGain:
    """A recommended policy and the gain that is predicted for it, over regular or over current prices.

    Attributes:
        policy: Its name.
        prices: (T, N) mean prices by week in the fitted market; None for the shop's current prices.
        predicted: Mean gain as a share of the objective at the prices that it is over.
        low: Lower end of the 90% interval of the expected gain over the posterior draws.
        high: Upper end.
        loss_probability: Share of the draws in which it earns less than the current prices.
    """

    policy: str
    prices: Array | None
    predicted: float
    low: float
    high: float
    loss_probability: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether no change of the current prices is recommended."""
        return self.prices is None


def recommend(spec: MarketSpec, settings: StudySettings, seed: int) -> PredictedGain:
    """Train a policy in the fitted market, evaluate it over the posterior draws, and take
    what is recommended.

    Args:
        spec: The fitted market.
        settings: Training steps and test episodes.
        seed: Seed of training and evaluation.
    """
    run = train(spec, steps=settings.steps, seed=seed)
    found = evaluate(spec, [run.policy, _REGULAR], episodes=settings.episodes, seed=seed).uncertainty
    assert found is not None, "a fitted market has a posterior"
    return _recommended(spec, found, seed, found.recommendation.current if settings.over_current else _REGULAR)


def _recommended(spec: MarketSpec, found: Assessment, seed: int, reference: str) -> PredictedGain:
    """The recommendation, with its gain over the reference in the market's objective."""
    name, prices = found.recommendation.policy, None
    if found.recommendation.change:
        prices = rollout(spec, found.policy, episodes=_PATH_EPISODES, seed=seed_for("test", seed)).price_path
    gain = found.gain(name, reference, spec.market.objective)
    predicted, (low, high) = _relative(gain)
    loss = found.gain(name, objective=spec.market.objective).loss_probability
    return PredictedGain(name, prices, predicted, low, high, loss)


def _relative(gain: Gain) -> tuple[float, tuple[float, float]]:
    """Mean and 90% interval as shares of what the reference earns."""
    if gain.relative is not None:
        return float(gain.relative["mean"]), tuple(gain.relative["interval90"])
    # The reference may lose money in some draw, where a share says nothing.
    low, high = gain.interval90
    return gain.mean / gain.base, (low / gain.base, high / gain.base)
