"""The deals of a fitted market's plan as arrays, and what a course of prices makes of them: see `pricing.planned_deals`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..pricing.backend import like, where
from ..pricing.planned_deals import (
    DEAL,
    FUNDED,
    deals_in,
    lowered,
    perceived_level,
    regular_level,
    remembered_price,
    standing_share,
)
from .periods import planned_prices, simulated_prices
from .sections import Array
from .spec import MarketSpec

_BY_PERIOD = ("on_deal", "usual", "feature", "depth", "always", "funding", "funded_price")


@dataclass(frozen=True, eq=False)
class PlannedDeals:
    """The plan of a fitted market; (T, N) each but for the lift.

    Attributes:
        price: The plan's prices as the market simulates them, currency per unit.
        on_deal: Whether a price is a deal.
        usual: The regular price: of a deal, that of the nearest period without one, the earlier first.
        feature: Share of stores with a display or mailer in the period, which the market's demand holds; of a deal, at `depth`.
        depth: Logarithm of the regular price over the price of the deal; where none is planned, of the product's usual deal.
        always: Share of stores that show the product without a deal.
        funding: What the supplier pays for a unit on a deal, currency; nothing in a period for which none is planned.
        funded_price: Highest price at which the supplier pays, currency per unit.
        lift: (N,) utility of a display in all stores.
    """

    price: Array
    on_deal: NDArray[np.bool_]
    usual: Array
    feature: Array
    depth: Array
    always: Array
    funding: Array
    funded_price: Array
    lift: Array

    def level_before(self, period: int, list_price: Array) -> Array:
        """(N,) level of the regular prices before a period, which the price in force tells unless it is a planned deal's.

        Args:
            period: Number of the period.
            list_price: (N,) prices of the period before, currency per unit.
        """
        if not period:
            return np.ones(len(list_price))
        return np.where(self.on_deal[period - 1], 1.0, list_price / self.usual[period - 1])


class Remembered(NamedTuple):
    """What customers remember before a period, (…, N) each.

    Attributes:
        reference: Reference prices, currency per unit.
        level: Level of the regular prices relative to the plan's.
    """

    reference: Any
    level: Any


class Course(NamedTuple):
    """What follows from a course of prices, (…, W, N) each.

    Attributes:
        reference: What customers remember before each period, currency per unit.
        shown: Share of stores with a display or mailer beyond the planned one, which is what `promoted` counts in a market
            in which promotions are no decision.
        funding: What the supplier pays for a unit, currency.
        after: What customers remember after the last period.
    """

    reference: Any
    shown: Any
    funding: Any
    after: Remembered


@functools.lru_cache(maxsize=32)
def planned_deals(spec: MarketSpec) -> PlannedDeals | None:
    """The deals of a market's plan; None where customers remember no prices and nothing goes with a deal.

    Example:
        >>> from repricer import load_scenario
        >>> planned_deals(load_scenario("stationary-logit")) is None
        True
    """
    plan = spec.plan
    regular = spec.products.regular_price
    if plan is None:
        return None
    shape = (spec.market.horizon_periods, spec.sizes["N"])
    lift = np.broadcast_to(plan.feature_lift * (spec.promotion is None), shape[1:])
    if spec.reference_price is None and not lift.any() and not plan.funding.any():
        return None
    price = simulated_prices(spec, planned_prices(spec))
    on_deal, usual = deals_in(price, regular)
    feature, funding = (np.broadcast_to(part, shape) for part in (plan.promotion, plan.funding))
    depth = np.log(usual / price)
    count = np.maximum(on_deal.sum(axis=0), 1)
    usual_depth = np.where(on_deal.any(axis=0), depth.sum(axis=0) / count, 1.0)
    return PlannedDeals(
        price=price,
        on_deal=on_deal,
        usual=usual,
        feature=feature,
        depth=np.where(on_deal, depth, usual_depth),
        always=np.where(on_deal, 0.0, feature),
        # Mailers are printed and suppliers pay for agreed weeks: a deal that moves takes neither along.
        funding=np.where(on_deal, funding, 0.0),
        funded_price=FUNDED * price,
        lift=lift,
    )


def stated_deals(spec: MarketSpec, price: Array) -> NDArray[np.bool_] | None:
    """(…, T, N) which prices are deals in a course of prices that a person states whole; None in a market without deals.

    Where the person keeps the plan's price, the plan says; another price is a deal if it lies below the highest of the
    course, and a regular price otherwise.

    Args:
        spec: The market.
        price: (…, T, N) prices as the market simulates them, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> stated_deals(load_scenario("stationary-logit"), np.full((30, 1), 9.0)) is None
        True
    """
    deals = planned_deals(spec)
    if deals is None:
        return None
    kept = np.isclose(price, deals.price, rtol=1e-6, atol=0)
    return np.where(kept, deals.on_deal, price < DEAL * price.max(axis=-2, keepdims=True))


def course_of(
    spec: MarketSpec,
    price: Any,
    on_deal: Any = None,
    *,
    products: NDArray[np.intp] | None = None,
    first: int = 0,
    before: Remembered | None = None,
) -> Course:
    """What customers remember, what is shown and what suppliers pay along a course of prices.

    Args:
        spec: The market.
        price: (…, W, J) prices as the market simulates them, currency per unit; an array or a tensor. Periods after the
            market's last one are as that one is, without a deal.
        on_deal: (…, W, J) whether the shop announces a deal; in the periods in which it plans one by default.
        products: (J,) indices of the products; all by default.
        first: Number of the first of the W periods.
        before: What is remembered before that period; what the market starts with by default.

    Example:
        >>> from repricer import load_scenario
        >>> course_of(load_scenario("stationary-logit"), np.array([[9.0], [8.0]])).reference.ravel().tolist()
        [11.0, 11.0]
    """
    chosen = np.arange(spec.sizes["N"]) if products is None else products
    memory = 1.0 if spec.reference_price is None else spec.reference_price.memory
    none = 0.0 * price[..., 0, :]
    if before is None:
        before = Remembered(none + like(price, spec.initial_reference[chosen]), none + 1.0)
    deals = planned_deals(spec)
    count = price.shape[-2]
    references = []
    reference = before.reference
    if deals is None:
        for t in range(count):
            references.append(reference)
            reference = memory * reference + (1 - memory) * price[..., t, :]
        return Course(_stacked(references), 0.0 * price, 0.0 * price, Remembered(reference, before.level))
    plan = _periods_of(deals, range(first, first + count), chosen, price)
    announced = plan.pop("on_deal") > 0 if on_deal is None else like(price, on_deal) > 0
    level = before.level
    levels = []
    for t in range(count):
        now = price[..., t, :]
        usual = plan["usual"][t]
        before_it = lowered(level)
        level = regular_level(now, usual, level, announced[..., t, :])
        levels.append(level)
        reference = reference * lowered(level) / before_it
        perceived = perceived_level(now, usual, level, announced[..., t, :], plan["depth"][t])
        references.append(reference * perceived / lowered(level))
        reference = memory * reference + (1 - memory) * remembered_price(now, usual, level, perceived)
    planned = {name: plan[name] for name in ("usual", "depth", "always")}
    standing = standing_share(price, level=_stacked(levels), on_deal=announced, share=plan["feature"], **planned)
    shown = standing - plan["feature"]
    funding = where(announced & (price <= plan["funded_price"]), plan["funding"] + 0.0 * price, 0.0 * price)
    return Course(_stacked(references), shown, funding, Remembered(reference, level))


def _periods_of(deals: PlannedDeals, periods: range, products: NDArray[np.intp], price: Any) -> dict[str, Any]:
    """Some periods of the plan, (W, J) each, in the array library of the prices; after the last one no deal is planned."""
    number = np.array(periods)
    last = len(deals.price) - 1
    place = np.minimum(number, last)[:, None], products
    rows: dict[str, Any] = {name: getattr(deals, name)[place] for name in _BY_PERIOD}
    rows["on_deal"] = rows["on_deal"] & (number <= last)[:, None]
    return {name: like(price, values) for name, values in rows.items()}


def _stacked(rows: list[Any]) -> Any:
    """(…, W, J) of W rows (…, J), in their array library."""
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows, axis=-2)
    import torch  # loaded already, as the rows are its tensors

    return torch.stack(rows, dim=-2)
