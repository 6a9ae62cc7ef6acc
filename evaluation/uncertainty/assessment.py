"""What posterior draws say of the policies of a comparison, and which prices they recommend."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...agents.posterior.deals import DEALS, PlanValue
from ...pricing import Policy
from ...scenarios import MarketSpec
from ...scenarios.fields import listed
from ...scenarios.periods import planned_prices
from ...scenarios.sections import Array, Products
from ...scenarios.shop_sections import EvidenceSection
from ..figures import currency_of
from ..policies import BEST_FIXED, REGULAR
from .draws import EPISODES, Z90, DrawComparison, Gain, charged_range, compare_draws, joint_outside
from .halves_gain import HalvesGain
from .recommendation import MEAN, RULE, Candidate, Recommendation, candidates, costs_assumed, recommend
from .steps import AtBounds, at_bounds, planned_deals_left
from .zones import SIGNIFICANCE, ZoneGain

_NOISE = 0.25
_MOST_EPISODES = 32
_MOVED = 0.005
_LARGE_GAIN = 0.2
_FEW_MOVES = 20
_PRIOR = 0.5
_VARY = "change regular prices in some stores for eight weeks"
_TRIAL = "try the list in a few stores against others that keep their prices"
# How far the plan may lie from what the past and its trend give: of units and money, of the mean price, of the share on
# deal; twice as far where less than a year and a plan's length are known, as the trend is not.
_MOST_APART = {"units": 0.15, "revenue": 0.15, "profit": 0.1, "average_price": 0.05, "on_deal": 0.1}
_APART_WORDS = {
    "units": "units of {:,.0f} where {:,.0f} would follow",
    "revenue": "revenue of {:,.0f} where {:,.0f} would follow",
    "profit": "profit of {:,.0f} where {:,.0f} would follow",
    "average_price": "an average price of {:.2f} where {:.2f} would follow",
    "on_deal": "{:.0%} of product-weeks on deal where {:.0%} would follow",
}
Rows = list[dict[str, Any]]
# A placebo's elasticity that is too small to matter, and how much worse than the yardstick forecasts may be.
_PLACEBO = 0.1
_WORSE = 1.05


@dataclass(frozen=True)
class Assessment:
    """Policies and candidates over posterior draws, and the recommendation.

    Every gain is over the draws on which candidates are reported, not those on which
    they are found and chosen.

    Attributes:
        compared: All policies and candidates over the draws.
        candidates: The prices that were considered, the current ones first.
        recommendation: Which prices are recommended.
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
        """The gain of a policy or candidate over another, by default over the current prices and in `metric`."""
        reference = reference or self.recommendation.current
        return self.compared.gain(policy, reference, objective=objective or self.metric, part="report")

    @property
    def how_scored(self) -> str:
        """On which sales candidates were found and chosen, and on which they are reported, in a sentence."""
        halves = self.compared.spec.halves
        if halves is None:
            return "Candidates were chosen on one half of these markets; all figures here are from the other half."
        of = halves.of
        return f"Candidates were found and chosen by the sales of half of the {of}; all figures here are from those of the other {of}."

    @property
    def halves(self) -> HalvesGain:
        """The gain of the recommended prices by the sales that they were found on, and by the others."""
        halves = self.compared.spec.halves
        policy = self.recommendation.policy
        own = self.compared.gain(policy, self.recommendation.current, objective=self.metric, part="choose")
        return HalvesGain("draws" if halves is None else halves.of, own, self.gain(policy))

    @property
    def relative_gain(self) -> tuple[float, float, float] | None:
        """The relative gain of the recommended prices and its 90% interval; None without a change or a base."""
        relative = self.gain(self.recommendation.policy).relative if self.recommendation.change else None
        return None if relative is None else (relative["mean"], *relative["interval90"])

    @property
    def zone_gain(self) -> ZoneGain | None:
        """The relative gain of the recommended prices as that of one zone of a chain; None without a base."""
        gain = self.gain(self.recommendation.policy)
        return None if gain.relative_draws is None else ZoneGain(gain.base, tuple(gain.relative_draws.tolist()))

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
        spec = self.compared.spec
        paths = self.compared.prices
        charged = charged_range(self.compared.spec)
        current, recommended = (paths[name] for name in (self.recommendation.current, self.recommendation.policy))
        if (frozen := spec.guardrails.frozen) is not None:
            # As in the price list; the simulation holds a product at one price, so that it makes no difference.
            current, recommended = (np.where(frozen, planned_prices(spec), path) for path in (current, recommended))
        outside = None if charged is None else charged.outside(recommended)
        return [
            {"product": product, "current": current[:, n].tolist(), "recommended": recommended[:, n].tolist()}
            | {"charged": None if charged is None else [float(charged.low[n]), float(charged.high[n])]}
            | {"outside": None if outside is None else outside[:, n].tolist()}
            for n, product in enumerate(spec.products.names)
        ]

    @property
    def doubt(self) -> str:
        """What makes the recommendation doubtful and what would settle it, in a sentence; empty where nothing does."""
        spec = self.compared.spec
        chosen = self.recommendation
        found = doubts(spec, self.gain(chosen.policy).share if chosen.change else None, regular=chosen.policy != DEALS)
        never = spec.evidence.doubt
        if not found:
            return never
        what, settled = (", and ".join(dict.fromkeys(part)) for part in zip(*found, strict=True))
        return f"Not yet reliable, as {what}; to settle it, {settled}. {never}".strip()

    def chance(self, gain: Gain) -> str:
        """The chance of a loss as a clause; nothing where the market is in doubt, or is one of several zones."""
        if self.doubt or self.compared.spec.evidence.zones > 1:
            return ""
        return f"; {gain.chance_of_loss} of earning less"

    def __str__(self) -> str:
        return self.headline.replace("−", "-")  # a terminal may lack the sign

    @property
    def headline(self) -> str:
        """Which prices are recommended and what they are expected to earn, or why no change is recommended."""
        spec = self.compared.spec
        chosen = self.recommendation
        if not chosen.change:
            sentences = [self.doubt, "No change recommended: keep your current prices.", self._why_not()]
            return " ".join(filter(None, sentences))
        currency = currency_of(spec)
        objective = spec.market.objective
        bounds = self.at_bounds
        gain, own = (self.gain(chosen.policy, objective=name) for name in (self.metric, objective))
        sentences = [
            bounds.words() if bounds is not None and bounds.elsewhere else "",
            self.doubt,
            f"Recommended: {chosen.words}. Expected to earn {gain.more(currency)} {self.metric} than your current prices in "
            f"{weeks_words(spec, dates=True)} (90% interval {gain.interval(currency)}{self.chance(gain)}).",
        ]
        if spec.halves is not None:
            sentences.append(self.halves.words(currency))
        if objective != self.metric:
            sentences.append(
                f"The objective is {objective}: if the assumed unit costs hold, it is {own.more(currency, 'higher')} "
                f"(90% interval {own.interval(currency)})."
            )
        parts = {name: self.gain(chosen.policy, objective=name) for name in ("revenue", "units", "profit")}
        each = (f"{name} {'+' * (part.mean > 0)}{part.amount(currency)}" for name, part in parts.items())
        assumed = " at the assumed unit costs" * costs_assumed(spec)
        sentences.append(f"Side by side: {', '.join(each)}{assumed}.")
        if bounds is not None and not bounds.elsewhere and bounds.at_step is not None:
            sentences.append(bounds.words())
        return " ".join(filter(None, (*sentences, *self._dropped(), *self._ruled())))

    @property
    def at_bounds(self) -> AtBounds | None:
        """Which recommended prices stand at a bound; None where the market is not fitted, or nothing changes."""
        spec = self.compared.spec
        if spec.plan is None or not self.recommendation.change:
            return None
        return at_bounds(spec, self.compared.prices[self.recommendation.policy])

    def _why_not(self) -> str:
        promising = [standing for standing in self.recommendation.standings if standing.gain.mean > 0]
        if not promising:
            return "None of the candidates is expected to earn more."
        return f"The best candidate, {promising[0].words}, was not chosen: {promising[0].refused}."

    def _dropped(self) -> list[str]:
        """How many planned deals the recommended prices move, and how many they drop; displays and mailers stay in their weeks."""
        spec = self.compared.spec
        deals = planned_deals_left(spec, self.compared.prices[self.recommendation.policy])
        shown = ", without the displays and mailers that were planned for them" * deals.with_displays
        parts = [f"{deals.moved} move to another {spec.market.period}"] * (deals.moved > 0)
        parts += [f"{deals.dropped} are dropped"] * (deals.dropped > 0)
        planned = f"Of {deals.planned} planned deals by product and {spec.market.period}"
        return [f"{planned}, {' and '.join(parts)}{shown}."] if parts else []

    def _ruled(self) -> list[str]:
        """Which regular prices the price rules do not allow."""
        spec = self.compared.spec
        regular = self.compared.spec.products.regular_price
        if self.recommendation.policy != REGULAR:
            return []
        price = self.compared.prices[REGULAR].mean(axis=0)
        moved = np.flatnonzero(np.abs(price / regular - 1) > _MOVED)
        named = [f"{spec.products.names[n]} {regular[n]:.2f} to {price[n]:.2f}" for n in moved]
        return [f"The price rules do not allow every regular price: {listed(named)}."] if named else []

    def to_dict(self) -> dict[str, Any]:
        """The part `uncertainty` of `evaluate --json`."""
        chosen = self.recommendation
        compared = self.compared
        prices, share = self.recommended.prices
        against = {"vs_own": chosen.current, "vs_regular": REGULAR}

        def gains(objective: str) -> dict[str, Any]:
            return {key: self.gain(chosen.policy, other, objective).to_dict() for key, other in against.items()}

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
            "follows_demand": compared.spec.evidence.follows_demand,
            "doubt": self.doubt or None,
            "plan_beside_past": plan_beside_past(compared.spec),
            "metric": self.metric,
            "halves": self.halves.to_dict() if chosen.change else None,
            "gain": {objective: gains(objective) for objective in ("revenue", "profit", "units")},
            "outside_share": self.outside(chosen.policy),
            "joint_outside_share": self.joint(chosen.policy),
            "at_bounds": self.at_bounds and self.at_bounds._asdict(),
            "prices": self.prices(),
            "candidates": [standing.to_dict() for standing in chosen.standings],
        }


def weeks_words(spec: MarketSpec, *, dates: bool = False) -> str:
    """The periods that a market simulates, `these 12 weeks`, or with their dates where it has a calendar."""
    count = spec.market.horizon_periods
    unit = spec.market.period + "s" * (spec.market.horizon_periods > 1)
    if spec.calendar and dates:
        many = "" if count == 1 else f"{count} "
        return f"the {many}{unit} from {spec.calendar.first_day} to {spec.calendar.last_day}"
    return f"this {unit}" if count == 1 else f"these {count} {unit}"


def _enough_episodes(compared: DrawComparison, candidates: Sequence[str]) -> int:
    """Episodes per draw that keep noise below `_NOISE` of the parameter uncertainty, within `_MOST_EPISODES`."""
    current, *others = candidates
    gains = [gain for gain in (compared.gain(other, current) for other in others) if gain.noise > 0]
    needed = [gain.noise / (_NOISE * max(gain.parameter_variance, gain.noise * _NOISE)) for gain in gains]
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
    given: dict[str, Any] = {"policies": list(everyone.values()), "draws": draws, "seed": seed}
    compared = compare_draws(spec, episodes=episodes, **given)
    enough = _enough_episodes(compared, [candidate.name for candidate in considered])
    if enough > episodes:
        compared = compare_draws(spec, episodes=enough, **given)
    chosen = recommend(spec, considered, risk, compared=compared)
    metric = "revenue" if costs_assumed(spec) else spec.market.objective
    return Assessment(compared, considered, chosen, metric)


# What makes a recommendation doubtful, and what would settle it, in a pricing manager's words.


def missed(evidence: EvidenceSection) -> bool:
    """Whether the last account lay outside its 90% interval.

    Example:
        >>> missed(EvidenceSection(account_error=0.46, account_spread=0.14))
        True
    """
    return evidence.account_error is not None and abs(evidence.account_error) > Z90 * evidence.account_spread


def doubts(spec: MarketSpec, gain: float | None, *, regular: bool = True) -> list[tuple[str, str]]:
    """What makes a recommendation doubtful, the plan first, each with what would settle it.

    Args:
        spec: A fitted market.
        gain: The expected relative gain; None where no change is recommended.
        regular: Whether lasting prices change, and not deals alone.

    Example:
        >>> from repricer import load_scenario
        >>> doubts(load_scenario("stationary-logit"), 0.25)[0][0]
        'a gain above 20% is to be tested before it is relied on'
    """
    found = []
    evidence = spec.evidence
    booked = spec.past.profit is not None and not costs_assumed(spec)
    unlike = unlike_past(plan_beside_past(spec), profit=booked)
    if unlike:
        found.append((unlike, "give the deals and prices that you intend as a plan"))
    if missed(evidence):
        off = math.expm1(evidence.account_error or 0.0)
        what = f"the last account missed: revenue was {off:+.0%} from what was predicted, outside its 90% interval"
        found.append((what, "train again, and wait for an account inside its interval"))
    if gain is None:
        return found
    found += _against_the_fit(evidence)
    moves = evidence.regular_moves
    if regular and moves is not None and moves < _FEW_MOVES:
        often = "never moved" if not moves else f"moved only {moves} time{'s' * (moves > 1)}"
        what = f"your regular prices {often} in these sales, so that what a lasting change does is mostly assumed"
        found.append((what, _VARY))
    elif regular and evidence.prior_share > _PRIOR:
        what = "these sales say little about lasting price changes, whose effect is therefore mostly assumed"
        found.append((what, _VARY))
    if gain > _LARGE_GAIN:
        found.append((f"a gain above {_LARGE_GAIN:.0%} is to be tested before it is relied on", _TRIAL))
    return found


def _against_the_fit(evidence: EvidenceSection) -> list[tuple[str, str]]:
    """A placebo that shows an effect, and forecasts that are worse than a simple yardstick's."""
    found = []
    effect = evidence.placebo_effect
    if effect is not None and evidence.placebo_p < SIGNIFICANCE and abs(effect) > _PLACEBO:
        what = f"prices that were not yet charged seem to move sales (elasticity {effect:+.2f}, p = {evidence.placebo_p:.2f})"
        found.append((f"{what}, so that prices followed something that these tables do not show", _VARY))
    ours = evidence.proof_wape
    yardstick = evidence.yardstick_wape
    if ours is not None and yardstick is not None and ours > _WORSE * yardstick:
        what = f"forecasts of the held-out weeks were {ours:.0%} off, those of a pooled regression {yardstick:.0%}"
        found.append((what, "fit with `--forecaster log-log-regression`, or look for promotions that are missing"))
    return found


# The plan of a fitted market beside the weeks before it and the same weeks a year ago.


@functools.lru_cache(maxsize=8)
def plan_beside_past(spec: MarketSpec) -> Rows:
    """The plan's figures, those of as many weeks before it and a year ago, and what the latter and the trend give.

    The trend is the change of the last weeks against the same a year before. Profit of the past is at the unit costs that
    were booked then, of the plan at the last regular ones, less what suppliers pay of planned deals.

    Returns:
        Rows with `weeks`, `units`, `revenue`, `profit`, `average_price` and `on_deal`; none where the market does not know
        its past. Where prices hold VAT, the average price holds it, the money does not, and the plan's row says `vat`, the
        highest rate. The last row is what the past gives; its name says how.

    Example:
        >>> from repricer import load_scenario
        >>> plan_beside_past(load_scenario("stationary-logit"))
        []
    """
    plan = spec.plan
    past = spec.past
    calendar = spec.calendar
    if plan is None or past.units is None or past.revenue is None or past.deals is None:
        return []
    value = PlanValue(spec, recommended=False)
    products = spec.products
    unit = calendar.unit if calendar else "weeks"
    units = value.units(value.planned)
    price = value.planned.price
    margin = products.net(price) - products.unit_cost + plan.funding
    planned = _row("the plan", products, units, units * products.net(price), units * margin, value.planned.deal)
    if products.vat.any():
        planned["vat"] = float(products.vat.max())
    names = (f"the last {spec.market.horizon_periods} {unit}", f"the same {unit} a year ago", "a year before the last")
    booked = past.profit
    if booked is None:  # a market of an earlier version
        booked = past.revenue - past.units * products.unit_cost
    spans = zip(names, past.units, past.revenue, booked, past.deals, strict=False)
    rows = [planned, *(_row(name, products, *span) for name, *span in spans)]
    if len(rows) < len(names) + 1:
        return rows
    last, ago, before = rows[1:]
    trend = {name: ago[name] * (last[name] / before[name] if before[name] else 1.0) for name in _MOST_APART}
    trend["on_deal"] = ago["on_deal"]
    if min(last["profit"], before["profit"]) <= 0:
        trend["profit"] = ago["profit"] * trend["revenue"] / max(ago["revenue"], 1e-12)
    return [*rows[:3], {"weeks": f"a year ago with the change since of the last {unit}"} | trend]


def unlike_past(rows: Rows, *, profit: bool = True) -> str:
    """In which figures the plan differs from the past by more than the trend explains, in a clause; empty if in none.

    Args:
        rows: As `plan_beside_past` gives them.
        profit: Whether profit counts: it says nothing of its own where costs were assumed.

    Example:
        >>> plan, past = ({"units": n, "revenue": n, "average_price": 1.0, "on_deal": 0.1} for n in (50, 100))
        >>> unlike_past([plan, past], profit=False)
        'the plan expects units of 50 where 100 would follow, revenue of 50 where 100 would follow from the past'
    """
    if len(rows) < 2:
        return ""
    plan = rows[0]
    past = rows[-1]
    far = []
    for name, most in _MOST_APART.items():
        if name == "profit" and not profit:
            continue
        scale = 1.0 if name == "on_deal" else max(abs(past[name]), 1e-12)
        if abs(plan[name] - past[name]) > most * scale * (1 if len(rows) > 3 else 2):
            far.append(_APART_WORDS[name].format(plan[name], past[name]))
    return f"the plan expects {', '.join(far)} from the past" if far else ""


def past_lines(rows: Rows, currency: str) -> list[str]:
    """The plan beside the past as lines of a table.

    Example:
        >>> row = {"weeks": "the plan", "units": 50, "revenue": 90, "profit": 20, "average_price": 1.8, "on_deal": 0.1}
        >>> for line in past_lines([row], "EUR"):
        ...     print(line)
        the plan beside the past, of the products of the market (money in EUR):
                          units        revenue         profit  average price  on deal
          the plan           50             90             20           1.80      10%
    """
    if not rows:
        return []
    money = f"money in {currency}" + ", without the VAT that prices hold" * ("vat" in rows[0])
    lines = [f"the plan beside the past, of the products of the market ({money}):"]
    width = max(len(row["weeks"]) for row in rows)
    lines.append(f"  {'':{width}} {'units':>12} {'revenue':>14} {'profit':>14} {'average price':>14} {'on deal':>8}")
    return lines + [
        f"  {row['weeks']:{width}} {row['units']:>12,.0f} {row['revenue']:>14,.0f} {row['profit']:>14,.0f} "
        f"{row['average_price']:>14,.2f} {row['on_deal']:>8.0%}"
        for row in rows
    ]


def _row(weeks: str, products: Products, units: Array, revenue: Array, profit: Array, deals: Array) -> dict[str, Any]:
    sold = float(np.sum(units))
    taken = float(np.sum(revenue))
    charged = float(np.sum(revenue * (1 + products.vat)))
    return {
        "weeks": weeks,
        "units": sold,
        "revenue": taken,
        "profit": float(np.sum(profit)),
        "average_price": charged / max(sold, 1e-12),
        "on_deal": float(np.mean(deals)),
    }
