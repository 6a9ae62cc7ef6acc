"""What a price list opens with, from the assessment behind it: verdict, gain, prices at a bound, the plan beside the past, and
for each product what the list changes and what leaving it costs. Needs the `train` extra.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..agents.posterior.deals import Plan, PlanValue, own_plan
from ..agents.posterior.prices import has_closed_form
from ..evaluation.uncertainty import Assessment, chain_gain, plan_beside_past
from ..evaluation.uncertainty.by_product import simulated_products
from ..evaluation.uncertainty.draws import Gain, draw_numbers, further, model_error, quantiles
from ..pricing import PricePath
from ..pricing.price_rules.rule_formulas import BITS
from ..pricing.wording import rule_words
from ..scenarios import MarketSpec
from ..scenarios.periods import planned_prices, simulated_prices
from ..serving.price_list.rows import PriceRow
from ..serving.price_list.summary import (
    ListSummary,
    PastRow,
    PosteriorEstimate,
    ProductSummary,
    ZoneSummary,
    proposal_of,
)
from .price_list import UNCHANGED, charged_by

# A price this close to the lowest or highest that a rule allows is at it.
_AT_END = 1e-4
# Products up to which the cost of leaving each is computed, over so many draws: in more it takes minutes.
_MOST_LEFT = 200
_LEFT_DRAWS = 50
_PRICES_AT_ONCE = 1 << 20
Floats = NDArray[np.float64]
# The step from the plan counts apart: it is where prices are expected to stand.
_STEP_FROM_PLAN = rule_words("max_step")


class ListPart(NamedTuple):
    """The list of one market.

    Attributes:
        label: What the market is called: its stores, of a catalogue in parts with the part.
        found: The assessment behind its prices.
        rows: Its rows, product by product.
    """

    label: str
    found: Assessment
    rows: Sequence[PriceRow]


def list_summary(parts: Sequence[ListPart], *, seed: int = 0) -> ListSummary:
    """The summary of a list.

    Args:
        parts: The markets of the list, one or more.
        seed: Selects the test seeds of what the list changes.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.evaluation.uncertainty import assess
        >>> from repricer.planning.price_list import proposed_rows
        >>> from repricer.scenarios.sections import Posterior
        >>> dates = {"first_day": "2018-01-01", "period_days": 7}
        >>> spec = load_scenario("stationary-logit").with_changes(market=dates)
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> found = assess(spec, [], learned=[])
        >>> summary = list_summary([ListPart("all stores", found, proposed_rows(found))])
        >>> summary.zones[0].verdict == found.headline, len(summary.products)
        (True, 1)
    """
    market = parts[0].found.compared.spec.market
    rows = [row for part in parts for row in part.rows]
    return ListSummary(
        proposal=proposal_of(rows),
        currency=market.currency,
        objective=market.objective,
        zones=tuple(map(_zone, parts)),
        products=tuple(one for part in parts for one in _products(part, seed)),
        together=_together(parts),
    )


def _together(parts: Sequence[ListPart]) -> PosteriorEstimate | None:
    gain = chain_gain([part.found.zone_gain for part in parts]) if len(parts) > 1 else None
    return None if gain is None else PosteriorEstimate(*gain)


def _zone(part: ListPart) -> ZoneSummary:
    found = part.found
    spec = part.found.compared.spec
    relative = found.relative_gain
    gain = found.gain(found.recommendation.policy)
    changed, bounds = _holding_rules(spec, part.rows)
    at_bounds = found.at_bounds
    return ZoneSummary(
        zone=part.label,
        verdict=found.headline,
        metric=found.metric,
        gain=None if relative is None else PosteriorEstimate(*relative),
        amount=PosteriorEstimate(gain.mean, *gain.interval90) if found.recommendation.change else None,
        changed=changed,
        # As the verdict counts them, where it does.
        at_bound=sum(bool({*rules} - {_STEP_FROM_PLAN}) for rules in bounds)
        if at_bounds is None
        else at_bounds.elsewhere,
        bounds=dict(Counter(rule for rules in bounds for rule in rules).most_common()),
        past=tuple(PastRow(**row) for row in plan_beside_past(spec)),
    )


def _holding_rules(spec: MarketSpec, rows: Sequence[PriceRow]) -> tuple[int, list[list[str]]]:
    """How many prices differ from the current ones, and the rules that hold each of these: a rule that changed what the
    policy proposed, or at whose lowest or highest price it stands.
    """
    known = [rule_words(rule) for rule in BITS]
    number = {product_id: n for n, product_id in enumerate(spec.products.ids or spec.products.names)}
    found = list[list[str]]()
    for row in rows:
        if abs(row.change) < UNCHANGED:
            continue
        n = number[row.product_id]
        at = {
            rule_words(rule)
            for rule, ends in spec.guardrails.bounds.items()
            if any(np.isclose(row.new_price, end[n], rtol=_AT_END, atol=0) for end in ends)
        }
        found.append([rule for rule in known if rule in at or rule in row.rules.split(", ")])
    return len(found), found


def _products(part: ListPart, seed: int) -> list[ProductSummary]:
    found = part.found
    spec = part.found.compared.spec
    calendar = spec.calendar
    names = spec.products.names
    assert calendar is not None, "the market of a list has a calendar"
    price = np.array([row.new_price for row in part.rows]).reshape(len(names), -1).T
    changes = _changes(found, price, seed)
    costs = _costs_of_leaving(found, price)
    plan = own_plan(spec)
    return [
        ProductSummary(
            zone=row.zone,
            product_id=row.product_id,
            regular_price=float(spec.products.regular_price[n]),
            planned_deals=tuple(calendar.day(int(t)) for t in np.flatnonzero(plan.deal[:, n])),
            units=changes["units"][n],
            revenue=changes["revenue"][n],
            profit=changes["profit"][n],
            cost_of_leaving=None if costs is None else costs[n],
        )
        for n, row in enumerate(part.rows[:: len(price)])
    ]


def _changes(found: Assessment, price: Floats, seed: int) -> dict[str, list[PosteriorEstimate]]:
    """What the list changes of the units, revenue and profit of each product over all its periods, with the intervals of the
    expected change over the draws: both lists meet the same draws and customers.
    """
    spec = found.compared.spec
    planned = planned_prices(spec)
    new = _totals(spec.scored, charged_by(spec, found.policy, price), price, seed)
    current = _totals(spec.scored, found.candidates[0].policy, planned, seed)
    changes = dict[str, list[PosteriorEstimate]]()
    for name, expected, came in (("units", 0, 0), ("revenue", 3, 1), ("profit", 4, 2)):
        pairs = [new[expected], current[expected], new[came], current[came]]
        gains = [Gain.of(*(part[..., n] for part in pairs)) for n in range(price.shape[1])]
        gains = [gain.with_model_error(model_error(spec)) for gain in gains]
        changes[name] = [PosteriorEstimate(gain.mean, *gain.interval90) for gain in gains]
    return changes


def _totals(spec: MarketSpec, policy: object, price: Floats, seed: int) -> Floats:
    """(5, M, E, N) sums over the periods of what `simulated_products` gives, at the prices that are charged: of a product that
    is held, the market simulates one price.
    """
    seen, *_ = simulated_products(spec, policy, seed=seed)  # pyright: ignore[reportArgumentType]
    more = (spec.products.net(price - simulated_prices(spec, price)) * seen[0]).sum(axis=-2)
    totals = seen.sum(axis=-2, dtype=np.float64)
    totals[1:] += more
    return totals


def _costs_of_leaving(found: Assessment, price: Floats) -> list[PosteriorEstimate] | None:
    """What all products together are expected to earn less if one keeps its current prices, for each, in the objective; None
    where the market has no closed form, or too many products.
    """
    spec = found.compared.spec
    count = price.shape[1]
    if count > _MOST_LEFT or not has_closed_form(spec):
        return None
    scored = spec.scored
    value = PlanValue(scored, draws=draw_numbers(scored, min(_LEFT_DRAWS, scored.num_draws)))
    own = value.planned
    listed = own._replace(price=simulated_prices(spec, price))
    if isinstance(found.policy, PricePath) and found.policy.deal is not None:
        listed = listed._replace(deal=np.asarray(found.policy.deal, bool))
    if isinstance(found.policy, PricePath) and found.policy.promotion is not None:
        listed = listed._replace(feature=np.asarray(found.policy.promotion, np.float64))
    # A product that is held is simulated at one price, and brings the one that is charged, whatever others cost.
    less = spec.products.net(listed.price - price)
    whole = value.money_by_draw(listed, extra_cost=less).sum(axis=-1)
    left = np.flatnonzero((np.abs(listed.price / own.price - 1) > UNCHANGED).any(axis=0))
    costs = [PosteriorEstimate(0.0, 0.0, 0.0)] * count
    for products in np.array_split(left, max(1, len(left) * price.size // _PRICES_AT_ONCE)):
        if not len(products):
            continue
        kept = np.eye(count, dtype=bool)[products][:, None]
        plans = Plan(*(np.where(kept, old, new) for new, old in zip(listed, own, strict=True)))
        costs_by_draw = whole[:, None] - value.money_by_draw(plans, extra_cost=less).sum(axis=-1)
        for n, cost in zip(products.tolist(), further(costs_by_draw, model_error(spec)).T, strict=True):
            costs[n] = PosteriorEstimate(float(cost.mean()), *quantiles(cost))
    return costs
