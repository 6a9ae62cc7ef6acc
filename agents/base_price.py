"""Where learning starts: the prices that a learned price multiplies, orders, and the recommender's choices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from ..envs import MarketVecEnv
from ..pricing import Action, FixedPrice, MarketView, Policy, PricePath, competitor
from ..scenarios import MarketSpec, goal_market
from .classical import best_fixed
from .cloning import clone
from .posterior import cautious_prices, worst_share
from .posterior.best_plan import PLAN, best_plan
from .settings import STEADY, Settings

# Rows of features to imitate an opening from, from up to so many times the episodes of a teacher.
_IMITATED_ROWS = 65_536
_TEACHER_EPISODES = 4
# Of a teacher's passes, where nothing that was learned earns as much as the opening.
_LONGER = 3


def base_of(
    spec: MarketSpec, name: str, seed: int = 0, risk: str = "mean"
) -> tuple[NDArray[np.float32], Policy | None]:
    """The base prices that the setting `base_price` names.

    Args:
        name: best-fixed, regular, plan (see `posterior.best_plan`), or, in a market with rivals, a rule that
            reacts to them, such as undercut:STEP.
        seed: Seed of the search for the best fixed prices.
        risk: The setting `risk`, by which fixed prices are the best.

    Returns:
        (N,) base prices in currency per unit, and the policy that sets them period by period. The
        policy is None for constant base prices; for a plan, the prices are its means, for a rule the regular ones.

    Raises:
        ValueError: Any other name.

    Example:
        >>> from repricer import load_scenario
        >>> base_of(load_scenario("stationary-logit"), "best-fixed")
        (array([11.], dtype=float32), None)
    """
    regular = spec.products.regular_price.astype(np.float32)
    if name == "best-fixed":
        fixed = np.asarray(best_fixed(spec, seed=seed).price, dtype=np.float32)
        return cautious_prices(goal_market(spec.searched), fixed, worst_share(risk)), None
    if name == "regular":
        return regular, None
    if name == PLAN:
        # Where promotions are a decision, they are the network's.
        plan = replace(best_plan(spec, risk), promotion=None)
        return plan.path.mean(axis=0), plan
    if spec.competitors is None:
        allowed = f"{', '.join(STEADY)}, {PLAN} or a rule beside rivals"
        raise ValueError(f"base_price must be {allowed}; got {name!r}; choose one")
    return regular, competitor(name)


@dataclass(frozen=True)
class Recommended:
    """A policy's prices and orders, and the recommender's choices as scores that a learner can imitate.

    Attributes:
        prices: Sets the prices, and orders where it places some.
        scores: (N, K) 1 for the recommender's first choice for a segment, falling with the rank
            among its candidates; -1 for products that are none.
        name: That of the prices.
    """

    prices: Policy
    scores: NDArray[np.float32]
    name: str

    def act(self, view: MarketView) -> Action:
        """The prices and orders, and the same scores in every period."""
        action = self.prices.act(view)
        shown = np.broadcast_to(self.scores, (len(action.price), *self.scores.shape))
        return Action(action.price, recommendation=shown, deal=action.deal, order=action.order, express=action.express)


def recommended(spec: MarketSpec, prices: Policy) -> Policy:
    """The policy with the recommender's choices beside its prices; the policy alone where the market decides on no
    recommendations or the policy already makes them.

    A raw score of zero shows nothing in particular, so that a network that starts there would first
    have to learn what the recommender knows.

    Example:
        >>> from repricer import load_scenario
        >>> from repricer.pricing import FixedPrice
        >>> recommended(load_scenario("stationary-logit"), FixedPrice(11.0)).name  # it shows nothing
        'fixed'
    """
    slot = spec.recommendation
    if slot is None or _recommends(prices):
        return prices
    candidates = np.asarray(slot.candidates) > 0
    # (K, N) as the candidates: a segment's products by falling affinity, and the rank of each product in that order.
    best_first = np.argsort(np.where(candidates, -np.asarray(slot.affinity), np.inf), axis=1, kind="stable")
    rank = np.argsort(best_first)
    share_ranked_before = rank / np.maximum(candidates.sum(axis=1, keepdims=True), 1)
    scores = np.where(candidates, 1 - share_ranked_before, -1.0)
    return Recommended(prices, scores.T.astype(np.float32), prices.name)


def _recommends(policy: Policy | None) -> bool:
    """Whether it is a plan that says what to show."""
    return isinstance(policy, PricePath) and policy.recommendation is not None


def longer(settings: Settings) -> Settings:
    """The settings with as many passes over what is imitated as bring a network close to it."""
    return replace(settings, clone_epochs=_LONGER * settings.clone_epochs)


def imitate_opening(
    model: BaseAlgorithm,
    venv: MarketVecEnv,
    spec: MarketSpec,
    settings: Settings,
    seed: int,
    fixed: FixedPrice,
    *,
    closely: bool = False,
) -> bool:
    """Imitate what a raw action of zero does not say: orders and the recommender's choices, at the base prices.

    Args:
        model: The model, see `cloning.clone`.
        fixed: The best fixed prices, which order up to a level where orders are decided.
        closely: Whether to imitate as closely as a network can, not only to start near.

    Returns:
        Whether there is such an opening.
    """
    view = venv.learner_view
    if not ((view.layout.recommend and not _recommends(view.base)) or view.layout.order):
        return False
    best = settings.base_price == "best-fixed"
    # With a risk, the base prices are other ones than those best on average.
    steady = replace(fixed, price=view.base_price) if best else FixedPrice(view.base_price)
    opening = recommended(spec, view.base or steady)
    passes = longer(settings)
    if not closely:
        # As much as a few products need, and no more than many take: they give more rows an episode.
        an_episode = spec.market.horizon_periods * view.rows_per_market
        usual = settings.clone_episodes
        episodes = max(usual, min(usual * _TEACHER_EPISODES, -(-_IMITATED_ROWS // an_episode)))
        share = np.clip(_IMITATED_ROWS / (episodes * an_episode), 0.25, 1.0)
        epochs = max(1, int(settings.clone_epochs * share))
        passes = replace(settings, clone_episodes=episodes, clone_epochs=epochs)
    clone(model, venv, opening, passes, seed)
    return True
