"""What posterior draws say of the policies of a comparison, and which prices they recommend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...agents.posterior.deals import DEAL, DEALS, own_plan
from ...pricing import Policy
from ...scenarios import MarketSpec
from ...scenarios.errors import listed
from ...scenarios.periods import planned_prices
from ..policies import BEST_FIXED
from .break_even import BreakEven, break_even
from .candidates import REGULAR, Candidate, candidates
from .doubts import doubts
from .draws import EPISODES, DrawComparison, compare_draws
from .gain import Gain
from .past import plan_beside_past
from .recommendation import MEAN, RULE, Recommendation, costs_assumed, recommend
from .support import charged_range, joint_outside

_NOISE, _MOST_EPISODES, _SAME = 0.25, 32, 0.005


@dataclass(frozen=True)
class Assessment:
    """Policies and candidates over posterior draws, and the recommendation.

    Every gain is over the draws on which candidates are reported, not those on which
    they are chosen.

    Attributes:
        compared: All policies and candidates over the draws.
        candidates: The prices that were considered, the current ones first.
        recommendation: Which prices are recommended.
        break_even: Where the recommended prices' gain is gone; None where no change is recommended.
        metric: What the verdict states first: the objective, or revenue where profit rests on
            assumed unit costs.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> assess(spec, [], learned=[]).metric
        'revenue'
    """

    compared: DrawComparison
    candidates: list[Candidate]
    recommendation: Recommendation
    break_even: BreakEven | None
    metric: str

    @property
    def recommended(self) -> Candidate:
        """The recommended prices; the current ones where no change is recommended."""
        return next(one for one in self.candidates if one.name == self.recommendation.policy)

    @property
    def policy(self) -> Policy:
        """The policy of the recommended prices."""
        return self.recommended.policy

    def gain(self, policy: str, reference: str | None = None, objective: str | None = None) -> Gain:
        """The gain of a policy or candidate over another, by default over the current prices and in `metric`.

        Its variance holds the errors of the level of sales that the proof and the last account showed, as far as they
        go beyond what the account expected: these may fall on the prices that differ, and on their share alone.
        """
        reference = reference or self.recommendation.current
        gain = self.compared.gain(policy, reference, objective=objective or self.metric, part="report")
        paths, history = self.compared.prices, self.compared.spec.history
        if history is None:
            return gain
        missed = max((history.account_error or 0.0) ** 2 - history.account_spread**2, 0.0)
        differ = float((np.abs(paths[policy] / paths[reference] - 1) > _SAME).mean())
        return gain.widened(differ * ((history.proof_bias or 0.0) ** 2 + missed) ** 0.5)

    @property
    def relative_gain(self) -> tuple[float, float, float] | None:
        """The relative gain of the recommended prices and its 90% interval; None without a change or a base."""
        relative = self.gain(self.recommendation.policy).relative if self.recommendation.change else None
        return None if relative is None else (relative["mean"], *relative["interval90"])

    def outside(self, policy: str) -> float | None:
        """Share of product-periods that a policy prices outside what the shop mostly charged; None where
        that is not known.
        """
        return self.compared.outside[policy]

    def joint(self, policy: str) -> float | None:
        """Share of category-periods whose mean prices are lower or higher together than they mostly were."""
        outside = joint_outside(self.compared.spec, self.compared.prices[policy])
        return None if outside is None else float(outside.mean())

    def of(self, policy: str) -> dict[str, Any]:
        """What `evaluate --json` adds to the row of a policy; gains are in the market's objective."""
        objective = self.compared.spec.market.objective
        references = {"vs_own": self.recommendation.current, "vs_regular": REGULAR, "vs_best_fixed": BEST_FIXED}
        gains = {key: self.gain(policy, other, objective).to_dict() for key, other in references.items()}
        return gains | {"outside_share": self.outside(policy)}

    def prices(self) -> list[dict[str, Any]]:
        """One row per product: its current and recommended mean prices by period, each marked
        where hardly ever charged.
        """
        spec, paths, charged = self.compared.spec, self.compared.prices, charged_range(self.compared.spec)
        current, recommended = (paths[name] for name in (self.recommendation.current, self.recommendation.policy))
        if (frozen := spec.guardrails.frozen) is not None:
            # As in the price list; the simulation holds a product at one price, so that it makes no difference.
            current, recommended = (np.where(frozen, planned_prices(spec), path) for path in (current, recommended))
        outside = None if charged is None else charged.outside(recommended)
        return [
            {
                "product": product,
                "current": current[:, n].tolist(),
                "recommended": recommended[:, n].tolist(),
                "charged": None if charged is None else [float(charged.low[n]), float(charged.high[n])],
                "outside": None if outside is None else outside[:, n].tolist(),
            }
            for n, product in enumerate(spec.products.names)
        ]

    @property
    def doubt(self) -> str:
        """What makes the recommendation doubtful and what would settle it, in a sentence; empty where nothing does."""
        spec, chosen = self.compared.spec, self.recommendation
        found = doubts(spec, self.gain(chosen.policy).share if chosen.change else None, regular=chosen.policy != DEALS)
        never = "" if spec.history is None else spec.history.doubt
        if not found:
            return never
        what, settled = (", and ".join(dict.fromkeys(part)) for part in zip(*found, strict=True))
        return f"Not yet reliable, as {what}; to settle it, {settled}. {never}".strip()

    def chance(self, gain: Gain) -> str:
        """The chance of a loss as a clause; nothing where the market is in doubt, or is one of several zones."""
        history = self.compared.spec.history
        if self.doubt or (history is not None and history.zones > 1):
            return ""
        return f"; {gain.chance_of_loss} of earning less"

    def __str__(self) -> str:
        return " ".join(filter(None, (self.doubt, self._verdict(), *self.consequences())))

    def consequences(self) -> list[str]:
        """Sentences on revenue, units and profit side by side, on dropped deals, and on prices that rules changed."""
        spec, chosen = self.compared.spec, self.recommendation
        if not chosen.change:
            return []
        each = [f"{name} {self._figures(self.gain(chosen.policy, objective=name))[0]}" for name in ("revenue", "units")]
        assumed = " at the assumed unit costs" * costs_assumed(spec)
        profit = self._figures(self.gain(chosen.policy, objective="profit"))[0]
        return [f"Side by side: {', '.join(each)}, profit {profit}{assumed}.", *self._dropped(), *self._ruled()]

    def _dropped(self) -> list[str]:
        """How many planned deals the recommended prices drop, with their displays and mailers."""
        spec, price = self.compared.spec, self.compared.prices[self.recommendation.policy]
        plan = own_plan(spec)
        kept = price < DEAL * price.max(axis=0)
        count, gone = int(plan.deal.sum()), plan.deal & ~kept
        if not gone.any():
            return []
        shown = " with their displays and mailers" * bool((plan.feature * gone).any())
        return [f"Of {count} planned deals by product and {spec.market.period}, {int(gone.sum())} are dropped{shown}."]

    def _ruled(self) -> list[str]:
        """Which regular prices the price rules do not allow."""
        spec, regular = self.compared.spec, self.compared.spec.products.regular_price
        if self.recommendation.policy != REGULAR:
            return []
        price = self.compared.prices[REGULAR].mean(axis=0)
        moved = np.flatnonzero(np.abs(price / regular - 1) > _SAME)
        named = [f"{spec.products.names[n]} {regular[n]:.2f} to {price[n]:.2f}" for n in moved]
        return [f"The price rules do not allow every regular price: {listed(named)}."] if named else []

    def _verdict(self) -> str:
        chosen, objective = self.recommendation, self.compared.spec.market.objective
        if not chosen.change:
            return f"No change recommended ({chosen.reason})."
        gain = self.gain(chosen.policy)
        mean, interval = self._figures(gain)
        said = (
            f"Recommended: {chosen.words}, {mean} {self.metric} against {self.candidates[0].words} "
            f"({interval}{self.chance(gain)})."
        )
        if objective == self.metric:
            return said
        mean, interval = self._figures(self.gain(chosen.policy, objective=objective))
        return f"{said} The objective is {objective}: {mean} ({interval}) if the assumed unit costs hold."

    def _figures(self, gain: Gain) -> tuple[str, str]:
        """A gain and its interval in words: in percent where it has a base, else in money."""
        scale, unit, found = 1.0, f" {self.compared.spec.market.currency}", gain.to_dict()
        if gain.relative is not None:
            scale, unit, found = 100.0, "%", gain.relative
        mean, low, high = (f"{scale * value:+,.1f}{unit}" for value in (found["mean"], *found["interval90"]))
        return mean, f"90% interval {low} to {high}"

    def to_dict(self) -> dict[str, Any]:
        """The part `uncertainty` of `evaluate --json`."""
        chosen, compared = self.recommendation, self.compared
        prices, share = self.recommended.prices
        return {
            "draws": len(compared.draws),
            "episodes_per_draw": compared.count,
            "own": chosen.current,
            "recommended": chosen.policy if chosen.change else None,
            "words": chosen.words,
            "holding": {"prices": prices, "toward_current": share},
            "reason": chosen.reason,
            "risk": chosen.objective,
            "rule": dict(vars(RULE)),
            "floor": chosen.floor,
            "costs_assumed": costs_assumed(compared.spec),
            "follows_demand": None if compared.spec.history is None else compared.spec.history.follows_demand,
            "doubt": self.doubt or None,
            "plan_beside_past": plan_beside_past(compared.spec),
            "metric": self.metric,
            "gain": {
                objective: {
                    key: self.gain(chosen.policy, other, objective).to_dict()
                    for key, other in (("vs_own", chosen.current), ("vs_regular", REGULAR))
                }
                for objective in ("revenue", "profit", "units")
            },
            "outside_share": self.outside(chosen.policy),
            "joint_outside_share": self.joint(chosen.policy),
            "prices": self.prices(),
            "candidates": [standing.to_dict() for standing in chosen.standings],
            "break_even": None if self.break_even is None else self.break_even.to_dict(),
        }


def _enough_episodes(compared: DrawComparison, candidates: Sequence[str]) -> int:
    """Episodes per draw that keep noise below `_NOISE` of the parameter uncertainty, within `_MOST_EPISODES`."""
    current, *others = candidates
    gains = [compared.gain(other, current) for other in others]
    needed = [
        gain.noise / (_NOISE * max(gain.parameter_variance, gain.noise * _NOISE)) for gain in gains if gain.noise > 0
    ]
    return min(_MOST_EPISODES, int(np.ceil(compared.count * max(needed, default=0.0))))


def assess(
    spec: MarketSpec,
    policies: Sequence[Policy],
    *,
    learned: Sequence[Policy],
    draws: int | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
    risk: str = MEAN,
) -> Assessment:
    """Compare policies over posterior draws, and recommend prices.

    Args:
        spec: A market with a posterior.
        policies: The policies to report on; the best fixed prices are added where they are missing.
        learned: Those of them that may be recommended, alone or blended with the current prices,
            beside the best fixed ones.
        draws: As for `compare_draws`.
        episodes: As for `compare_draws`; more where that leaves the expected gains too noisy.
        seed: As for `compare_draws`.
        risk: `mean`, or `cvar:SHARE`, as for `recommend`.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> assess(spec, [], learned=[]).recommendation.current
        'regular'
    """
    fixed = next((policy for policy in policies if policy.name == BEST_FIXED), None)
    considered = candidates(spec, learned, fixed=fixed, seed=seed)
    everyone: dict[str, Policy | str] = {policy.name: policy for policy in policies}
    everyone |= {candidate.name: candidate.policy for candidate in considered}
    everyone.setdefault(REGULAR, REGULAR)
    compared = compare_draws(spec, list(everyone.values()), draws=draws, episodes=episodes, seed=seed)
    enough = _enough_episodes(compared, [candidate.name for candidate in considered])
    if enough > episodes:
        compared = compare_draws(spec, list(everyone.values()), draws=draws, episodes=enough, seed=seed)
    chosen = recommend(spec, considered, risk, compared=compared)
    metric = "revenue" if costs_assumed(spec) else spec.market.objective
    found = None
    if chosen.change:
        by_name = {candidate.name: candidate.policy for candidate in considered}
        pair = (by_name[chosen.policy], by_name[chosen.current])
        found = break_even(spec, *pair, objective=spec.market.objective, seed=seed)
    return Assessment(compared, considered, chosen, found, metric)
