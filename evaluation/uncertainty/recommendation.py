"""The prices that are considered for a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...agents.posterior import current_prices
from ...agents.posterior.best_plan import PLAN, best_plan
from ...agents.posterior.deals import BOTH, BY_CATEGORY, DEALS, STEPS, plan_policies
from ...pricing import BlendedPrice, Policy
from ...scenarios import MarketSpec
from ..policies import BEST_FIXED, REGULAR, named_policy
from .draws import DrawComparison, Gain, compare_draws, cvar

CURRENT = "historical"
_POLICY_WORDS = {
    "learned": "the learned prices",
    BEST_FIXED: "the best fixed prices",
    REGULAR: "your regular prices, without reductions",
    "current": "your current prices",
    BY_CATEGORY: "your current prices with the regular prices of each category moved by a small step, deals as planned",
    DEALS: "your current regular prices with deals rearranged",
    BOTH: "your current prices with the regular prices of each category moved by a small step, deals rearranged",
    PLAN: "the best plan, of one regular price a product and your deals kept, moved, dropped or changed",
}
for _step in STEPS:
    _way = f"{abs(_step):.0%} {'higher' if _step > 0 else 'lower'}"
    _POLICY_WORDS[f"regular{_step:+.0%}"] = f"your current prices with regular prices {_way}, deals as planned"
SHARES = (0.25, 0.5, 0.75)
"""Weights of the current prices in the blends."""
MEAN = "mean"


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
        """Whose prices these are (`learned`, `best-fixed`, `regular`, `current`, `plan` or a name of `plan_policies`), and the
        share by which they are moved towards the current ones.
        """
        own = self.policy
        share = 0.0
        if isinstance(own, BlendedPrice):
            own, share = own.policy, own.share
        return "current" if own.name == CURRENT else own.name if own.name in _POLICY_WORDS else "learned", share

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
    found = [Candidate(current, _POLICY_WORDS["current"])]
    # Near the plan, deals stay.
    if current.name != REGULAR and not spec.guardrails.near_plan.size:
        found.append(Candidate(named_policy(REGULAR, spec), _POLICY_WORDS[REGULAR]))
    several = len(learned) > 1
    named = [(policy, _POLICY_WORDS["learned"] + f" ({policy.name})" * several) for policy in learned]
    named.append((named_policy(BEST_FIXED, spec, seed=seed) if fixed is None else fixed, _POLICY_WORDS[BEST_FIXED]))
    for policy, words in named:
        found.append(Candidate(policy, words))
        found += [Candidate(BlendedPrice(policy, current, share), words + _moved(share)) for share in SHARES]
    if spec.plan is not None:
        plans = {**plan_policies(spec), PLAN: best_plan(spec)}
        found += [Candidate(policy, _POLICY_WORDS[name]) for name, policy in plans.items()]
    return found


def words_of(prices: str, share: float) -> str:
    """What a manager calls prices, as `Candidate.prices` states them.

    Example:
        >>> words_of("learned", 0.5)
        'the learned prices, moved 50% of the way back to your current prices'
    """
    return _POLICY_WORDS[prices] + (_moved(share) if share else "")


def _moved(share: float) -> str:
    return f", moved {share:.0%} of the way back to your current prices"


# The prices that the tool recommends, and the rule behind it.


@dataclass(frozen=True)
class Rule:
    """What a candidate must show against the current prices to be recommended.

    Attributes:
        least_gain: Smallest expected gain, as a share of what the current prices earn: smaller ones
            are not worth a change, and may as well be losses.
        max_loss_probability: Largest probability that its expected gain is negative.
        least_quantile: Smallest 5% quantile of its expected gain, as a share of what the current
            prices earn.
        cost_quantile: Quantile of the assumed unit costs at which the profit floor is checked.

    Example:
        >>> Rule().max_loss_probability
        0.2
    """

    least_gain: float = 0.005
    max_loss_probability: float = 0.20
    least_quantile: float = -0.01
    cost_quantile: float = 0.95


RULE = Rule()


@dataclass(frozen=True)
class Standing:
    """How a candidate stands against the current prices.

    Attributes:
        policy: Name of its policy.
        words: What a manager calls its prices.
        gain: Its gain on the draws on which candidates are chosen.
        value: What candidates are ranked by: mean of the expected gain, or its CVaR.
        floor_gain: Mean gain in profit at the dearest assumed unit costs, currency per episode;
            None where no floor applies, or a better candidate keeps it.
        refused: Why it is not recommended; empty if it may be.

    Example:
        >>> import numpy as np
        >>> gain = Gain.of(*(np.full((2, 2), money) for money in (11.0, 10.0, 11.0, 10.0)))
        >>> Standing("learned", "the learned prices", gain, 1.0, None, "").refused
        ''
    """

    policy: str
    words: str
    gain: Gain
    value: float
    floor_gain: float | None
    refused: str

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        gain = self.gain
        why = {"floor_gain": self.floor_gain, "refused": self.refused or None}
        figures = {"mean": gain.mean, "quantile05": gain.quantile(0.05), "loss_probability": gain.loss_probability}
        return {"policy": self.policy} | figures | why


@dataclass(frozen=True)
class Recommendation:
    """The recommended prices, or that no change is recommended.

    Attributes:
        current: Name of the current prices.
        policy: Name of the recommended policy; that of the current prices where no change is
            recommended.
        words: What a manager calls its prices.
        reason: Why, in one sentence.
        objective: What candidates are ranked by: `mean`, or `cvar:SHARE`.
        standings: The candidates, best first.
        floor: The floor that candidates must keep, in words; None without one.

    Example:
        >>> found = Recommendation("regular", "regular", "your current prices", "nothing is better", "mean", [], None)
        >>> found.change
        False
    """

    current: str
    policy: str
    words: str
    reason: str
    objective: str
    standings: list[Standing]
    floor: str | None

    @property
    def change(self) -> bool:
        """Whether other prices than the current ones are recommended."""
        return self.policy != self.current

    @property
    def first_choice(self) -> Standing | None:
        """The candidate that the draws of the choice alone would recommend, whatever the others say; None for no change."""
        passed = [standing for standing in self.standings if not _refusal(standing.gain)]
        return max(passed, key=lambda standing: standing.value, default=None)


def recommend(
    spec: MarketSpec, candidates: Sequence[Candidate], objective: str = MEAN, *, compared: DrawComparison
) -> Recommendation:
    """Choose among candidates, the first of which are the current prices.

    A candidate may be recommended if its expected gain over the current prices is large enough, its
    probability of a loss and its 5% quantile pass the rule, and it keeps the profit floor where one
    applies; none may where the proof of the market is too far off. Of these, the best by posterior
    mean, or by CVaR, is recommended. The best is chosen on the first of the market's halves, by which
    the candidates were found, or on half of the draws, so that the other half gives an honest account
    of the choice (Smith and Winkler 2006, the optimizer's curse); the rule must hold on both, that of the
    printed interval among them.

    The floor applies where the objective is revenue and unit costs are assumed: expected profit at
    the dearest assumed costs must not fall below that of the current prices.

    Args:
        spec: A market with a posterior.
        candidates: As `candidates` gives them.
        objective: `mean`, or `cvar:0.1` for the mean of the worst tenth of the draws.
        compared: The candidates over draws, as `compare_draws` found them.

    Raises:
        ValueError: For an unknown objective.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.evaluation.uncertainty import candidates
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> found = candidates(spec)
        >>> recommend(spec, found, compared=compare_draws(spec, [one.policy for one in found])).current
        'regular'
    """
    tail = tail_of(objective)
    current, *others = candidates
    standings = [_standing(compared, other, current.name, tail) for other in others]
    assumed = costs_assumed(spec)
    floor = spec.market.objective == "revenue" and (assumed or bool(spec.products.shadow_cost.any()))
    if floor:
        standings = _above_floor(compared, candidates, standings)
    if spec.evidence.doubt:
        why = "the proof of the market is too far off"
        standings = [replace(standing, refused=standing.refused or why) for standing in standings]
    learned = {other.name for other in others if other.prices[0] == "learned"}
    # Of equal gains, as where nothing was learned, the simpler prices.
    standings.sort(key=lambda standing: (*_order(standing), standing.policy in learned))
    where = f" at the dearest assumed unit costs ({RULE.cost_quantile:.0%} quantile)" * assumed
    stated = f"Expected profit{where} does not fall below that of the current prices."
    passed = [standing for standing in standings if not standing.refused]
    policy, words = (passed[0].policy, passed[0].words) if passed else (current.name, current.words)
    reason = f"{standings[0].words}: {standings[0].refused}" if standings else "there are no other candidates"
    if passed:
        by = "mean" if tail is None else f"mean of the worst {tail:.0%} of the draws"
        many = f"{len(passed)} of {len(others)} candidates"
        reason = f"the highest {by} of the gain among the {many} that were not refused"
    return Recommendation(current.name, policy, words, reason, objective, standings, stated if floor else None)


def costs_assumed(spec: MarketSpec) -> bool:
    """Whether unit costs are assumed: they differ between the posterior draws, as known
    ones do not.

    Example:
        >>> from repricer import load_scenario
        >>> costs_assumed(load_scenario("stationary-logit"))
        False
    """
    return spec.posterior is not None and bool((spec.posterior.unit_cost != 1).any())


def tail_of(objective: str) -> float | None:
    """The share of the draws that counts in an objective `mean` or `cvar:SHARE`; None for all."""
    if objective == MEAN:
        return None
    kind, _, argument = objective.partition(":")
    try:
        tail = float(argument)
    except ValueError:
        tail = -1.0
    if kind != "cvar" or not 0 < tail <= 1:
        raise ValueError(f"risk objective must be mean or cvar:SHARE with a share in (0, 1]; got '{objective}'; fix it")
    return tail


def _standing(compared: DrawComparison, candidate: Candidate, current: str, tail: float | None) -> Standing:
    gain = compared.gain(candidate.name, current, part="choose")
    value = gain.mean if tail is None else cvar(gain.draws, tail)
    refused = _refusal(gain)
    if not refused and (why := _refusal(compared.gain(candidate.name, current, part="report"))):
        halves = compared.spec.halves
        refused = why if halves is None else f"by the {halves.of} that it was not found on, {why}"
    return Standing(candidate.name, candidate.words, gain, value, None, refused)


def _refusal(gain: Gain) -> str:
    """Why a gain does not pass the rule; empty where it does."""
    lost = gain.loss_probability
    less = "less than the current prices"
    checks = (
        (gain.mean < 0, f"expected to earn {less}"),
        (gain.mean == 0, "earns as much as the current prices"),
        (gain.share < RULE.least_gain, f"gains less than {RULE.least_gain:.1%} of what the current prices earn"),
        (
            lost > RULE.max_loss_probability,
            f"{lost:.0%} chance of earning {less}, more than the {RULE.max_loss_probability:.0%} allowed",
        ),
        (
            gain.quantile(0.05) < RULE.least_quantile,
            f"more than a 5% chance of earning at least {-RULE.least_quantile:.0%} {less}",
        ),
    )
    return next((why for applies, why in checks if applies), "")


def _order(standing: Standing) -> tuple[bool, float]:
    """Those that may be recommended first, the best of them in front."""
    return bool(standing.refused), -standing.value


def _above_floor(
    compared: DrawComparison, candidates: Sequence[Candidate], standings: list[Standing]
) -> list[Standing]:
    """The standings, the best of them refused until one keeps the profit floor; those after it are not checked."""
    current, *others = candidates
    policies = {other.name: other for other in others}
    checked = []
    kept = False
    for standing in sorted(standings, key=_order):
        if not standing.refused and not kept:
            gain = _floor_gain(compared, policies[standing.policy], current)
            kept = gain >= 0
            below = "expected profit at the dearest assumed unit costs falls below that of the current prices"
            standing = replace(standing, floor_gain=gain, refused="" if kept else below)
        checked.append(standing)
    return checked


def _floor_gain(compared: DrawComparison, candidate: Candidate, current: Candidate) -> float:
    """Mean gain in profit of a candidate, with every product at the dearest of its assumed unit costs."""
    spec = compared.spec
    assert spec.posterior is not None, "assumed costs are part of a posterior"
    dearest = np.quantile(spec.posterior.unit_cost, RULE.cost_quantile, axis=0)
    halves = None if spec.halves is None else replace(spec.halves, unit_cost=dearest)
    market = replace(spec, posterior=replace(spec.posterior, unit_cost=dearest), halves=halves)
    size = {"draws": len(compared.draws), "episodes": compared.count, "seed": compared.seed}
    dear = compare_draws(market, [candidate.policy, current.policy], assumed=spec, **size)
    return dear.gain(candidate.name, current.name, objective="profit", part="choose").mean
