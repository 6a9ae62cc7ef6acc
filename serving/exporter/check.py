"""What held prices earn in a market, over posterior draws and customers: measured at the export and at each refresh."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pricing.wording import feature_words

if TYPE_CHECKING:
    from ...pricing import Policy
    from ...scenarios import MarketSpec
    from ..bundle.training_range import TrainingRange

DRAWS, EPISODES = 100, 4
_RANGE_EPISODES = 32
# As far as the service tolerates, see `training_range.DriftAlarm`.
_OUTSIDE_SHARE = 0.05
# Each new week moves the forecasts a little: what lies beyond the range by less than its width, or
# a tenth (features are logarithms and shares), is no reason to train.
_SLACK, _LEAST = 1.0, 0.1


def check(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any] | None:
    """The gains of a policy over the best fixed and the current prices; None for a market
    without a posterior.

    Args:
        seed: Selects the test seeds, and seeds the search for the best fixed prices.
    """
    from ...agents import best_fixed
    from ...agents.posterior import current_prices
    from ...evaluation.uncertainty import compare_draws

    if not spec.num_draws:
        return None
    held = replace(policy, name="held")  # pyright: ignore[reportArgumentType, reportCallIssue]
    others = {"vs_best_fixed": best_fixed(spec, seed=seed), "vs_own": current_prices(spec)}
    draws = min(DRAWS, spec.num_draws)
    compared = compare_draws(spec, [held, *others.values()], draws=draws, episodes=EPISODES, seed=seed)
    gains = {key: compared.gain(held.name, other.name).to_dict() for key, other in others.items()}
    return {"draws": draws, "episodes_per_draw": EPISODES, **gains}


def outside_training(spec: MarketSpec, policy: Policy, seen: TrainingRange, seed: int) -> dict[str, float]:
    """The features that lie far outside the training range in more than 5% of product-periods, with that share."""
    from ...envs import rollout
    from ...pricing import product_features

    shares = []
    rollout(
        spec,
        policy,
        episodes=_RANGE_EPISODES,
        seed=seed,
        watch=lambda view, _: shares.append(
            seen.outside(product_features(view, fixed=False), slack=_SLACK, least=_LEAST).mean(axis=(0, 1))
        ),
    )
    found = dict(zip(seen.names, np.mean(shares, axis=0).tolist(), strict=True))
    return {name: round(share, 4) for name, share in found.items() if share > _OUTSIDE_SHARE}


def reasons_to_train(
    now: dict[str, Any] | None, before: dict[str, Any] | None, outside: dict[str, float], *, learned: bool
) -> list[str]:
    """Why it is time to train again, a sentence each; none where it is not."""
    from ...evaluation.uncertainty import RULE

    said = []
    if now is not None:
        risk = now["vs_own"]["loss_probability"]
        if risk > RULE.max_loss_probability:
            said.append(
                f"the held prices have a {risk:.0%} chance of earning less than the current prices, more than the "
                f"{RULE.max_loss_probability:.0%} allowed"
            )
    if learned and now is not None and before is not None:
        gain, low = (found["vs_best_fixed"]["relative"] for found in (now, before))
        if gain and low and gain["mean"] < low["interval90"][0]:
            said.append(
                f"the learned prices earn {gain['mean']:+.1%} against the best fixed prices of these weeks; it was "
                f"{low['mean']:+.1%} ({low['interval90'][0]:+.1%} to {low['interval90'][1]:+.1%}) at the export"
            )
    if learned and now is not None and now["vs_best_fixed"]["interval90"][1] < 0:
        said.append("the best fixed prices of these weeks earn more than the learned ones")
    if learned and outside:
        shares = ", ".join(f"{feature_words(name)} ({share:.0%})" for name, share in outside.items())
        said.append(f"the network sees values that it never saw in training, in a share of product-periods: {shares}")
    return said
