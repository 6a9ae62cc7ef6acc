"""Logged data: what happened under a policy, as a learner sees it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs import LearnerView, Market, seed_for
from ..envs.adapters.sb3_env import Shaping
from ..envs.kernels.state import Floats
from ..pricing import Action, ActionLayout, ActionParts, Policy, action_from_parts, parts_from_action
from ..pricing.action_layout import BESIDE_RULE
from ..pricing.network_policy import scores_beside


@dataclass(frozen=True)
class LoggedData:
    """Complete episodes of T periods in R rows, in the layout of a `LearnerView`.

    A row has P products and A columns of raw actions.

    Attributes:
        observations: (T + 1, R, F) features before each period and after the last one.
        actions: (T, R, A) raw actions in [-1, 1] that decode to what was done, with the price
            charged.
        advice: (T, R, A) what the policy itself proposed; differs from `actions` by guardrails and
            noise.
        decided: (A,) the columns that the policy decides.
        units: (T, R, P) units sold.
        money: (T, R) rewards.
        ends: Whether the last period is a real end, not a truncation.

    Example:
        >>> from repricer import Market
        >>> from repricer.pricing import FixedPrice
        >>> log = record_policy(LearnerView(Market("stationary-logit", num_markets=2)), FixedPrice(9.0))
        >>> {name: array.shape for name, array in log.flat().items()}["rewards"]
        (60,)
    """

    observations: Floats
    actions: Floats
    advice: Floats
    decided: NDArray[np.bool_]
    units: Floats
    money: Floats
    ends: bool

    @property
    def features(self) -> Floats:
        """(T, R, F) features before each period."""
        return self.observations[:-1]

    @property
    def next_features(self) -> Floats:
        """(T, R, F) features after each period."""
        return self.observations[1:]

    @property
    def done(self) -> NDArray[np.bool_]:
        """(T, R) whether the episode is over after the period."""
        last = np.zeros(self.money.shape, dtype=bool)
        last[-1] = True
        return last

    def episodes(self) -> list[dict[str, Any]]:
        """The rows as episodes with the names of Minari's `EpisodeBuffer`; the last observation included."""
        last = self.done[:, 0]
        flags = {"terminations": last & self.ends, "truncations": last & (not self.ends)}
        return [
            {
                "observations": self.observations[:, row],
                "actions": self.actions[:, row],
                "rewards": self.money[:, row],
                **{name: flag.copy() for name, flag in flags.items()},
            }
            for row in range(self.money.shape[1])
        ]

    def flat(self) -> dict[str, NDArray]:
        """All steps, episode by episode, with the names of d3rlpy's `MDPDataset`."""
        names = {"terminations": "terminals", "truncations": "timeouts"}
        each = self.episodes()
        columns = ("observations", "actions", "rewards", *names)
        steps = len(self.money)
        return {names.get(c, c): np.concatenate([episode[c][:steps] for episode in each]) for c in columns}

    def shaped(self, shaping: Shaping) -> LoggedData:
        """The log with money relative to a potential.

        Args:
            shaping: The potential.
        """
        states = np.stack([shaping.potential(rows) for rows in self.observations])
        return replace(self, money=shaping(self.money, states[:-1], states[1:], self.done & self.ends))

    def returns(self, discount: float) -> Floats:
        """(T, R) discounted return from each period on.

        After a truncation, the mean reward of a period is assumed to continue for ever; without a
        discount, nothing.

        Args:
            discount: Discount factor per period.
        """
        goes_on = not self.ends and discount < 1
        after = np.full(self.money.shape[1], self.money.mean() / (1 - discount) if goes_on else 0.0, dtype=np.float64)
        found = np.empty_like(self.money)
        for t in range(len(found) - 1, -1, -1):
            after = found[t] = self.money[t] + discount * after
        return found


def training_view(learner_view: LearnerView, markets: int, seed: int) -> LearnerView:
    """The same learner view on other markets of the scenario, on the training seeds."""
    own = learner_view.market
    seed = seed_for("training", seed)
    return learner_view.on(Market(own.scenario, num_markets=markets, seed=seed, assumed=own.assumed))


def record_policy(learner_view: LearnerView, policy: Policy, *, disturbance: float = 0.0, seed: int = 0) -> LoggedData:
    """One episode of every market under a policy.

    With a disturbance, the log contains states that the policy alone would not reach, with its
    advice in them (Laskey et al. 2017, DART: Noise Injection for Robust Imitation Learning).

    Args:
        learner_view: The view to record through; its markets are reset first.
        policy: The policy.
        disturbance: Mean standard deviation of Gaussian noise on the raw columns that the policy
            decides, in every second market; it grows from zero in the first to twice the mean.
        seed: Seed of the noise.

    Example:
        >>> from repricer import Market
        >>> from repricer.pricing import FixedPrice
        >>> log = record_policy(LearnerView(Market("stationary-logit")), FixedPrice(9.0))
        >>> log.units.shape
        (30, 1, 1)
    """
    generator = np.random.default_rng(seed)
    market = learner_view.market
    layout = learner_view.layout
    level = np.linspace(0, 2 * disturbance, market.num_markets, dtype=np.float32)
    level = np.where(np.arange(market.num_markets) % 2 == 1, level, 0)[:, None, None]
    learner_view.reset()
    seen = [learner_view.observe()]
    steps = []
    decided = np.empty(0, dtype=bool)
    for _ in range(market.spec.market.horizon_periods):
        view = market.view
        base = learner_view.base_now
        planned = learner_view.recommended_now
        action = policy.act(view)
        advice = _raw(learner_view, action, base, planned)
        decided = _decided(layout, action)
        if disturbance:
            noise = generator.standard_normal(advice.shape, dtype=np.float32)
            raw = np.clip(advice + level * noise * decided, -1.0, 1.0)
            around = layout.around(base, learner_view.base_price, raw[..., 0] == 0)
            silent = {part.name: None for part in fields(action) if getattr(action, part.name) is None}
            kept = {"deal": action.deal} | silent
            action = action_from_parts(layout.decode(raw), around, view)
            shown = scores_beside(planned, action.recommendation)
            action = replace(action, **{"recommendation": shown} | kept)
        outcome = learner_view.follow(action)
        done = _raw(learner_view, replace(action, price=outcome.list_price), base, planned)
        steps.append((done, advice, outcome, learner_view.rewards(outcome)))
        seen.append(learner_view.observe())
    actions, advice, outcomes, money = zip(*steps, strict=True)
    return LoggedData(
        observations=np.stack(seen),
        actions=np.stack([learner_view.in_rows(part) for part in actions]),
        advice=np.stack([learner_view.in_rows(part) for part in advice]),
        decided=decided if learner_view.product_wise else np.tile(decided, learner_view.base_price.size),
        units=np.stack([learner_view.in_rows(outcome.units) for outcome in outcomes]),
        money=np.stack(money),
        ends=market.ends,
    )


def _raw(learner_view: LearnerView, action: Action, base: Floats, planned: Floats | None) -> Floats:
    """(E, N, A) raw actions of an action around base prices, (N,) or (E, N), and planned recommendation scores."""
    layout = learner_view.layout
    if planned is not None and action.recommendation is not None:
        action = replace(action, recommendation=action.recommendation - planned)
    follows = action.price == base
    base = layout.around(base, learner_view.base_price, follows)
    low = layout.low_multiplier * base
    high = layout.high_multiplier * base
    within = replace(action, price=np.clip(action.price, low, high))
    raw = layout.encode(parts_from_action(within, base, learner_view.market.catalogue))
    if layout.rule_at_zero:
        raw[..., 0] = np.where((raw[..., 0] == 0) & ~follows, BESIDE_RULE, raw[..., 0])
    return raw


def _decided(layout: ActionLayout, action: Action) -> NDArray[np.bool_]:
    """(A,) the columns of a product that the action decides."""
    parts = ActionParts(True, action.discount, action.recommendation, action.promotion, action.order, action.express)
    wide = {"discount": layout.num_segments, "recommendation": layout.num_segments}
    return np.concatenate(
        [np.full(wide.get(name, 1), getattr(parts, name) is not None, dtype=bool) for name in layout.names]
    )
