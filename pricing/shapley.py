"""Why a policy proposes a price: Shapley values over groups of inputs, in numpy alone.

The price in a market is compared with the price that the same policy proposes in an *ordinary*
market (`ordinary_view`), and the difference is shared among groups of inputs (`INPUT_GROUPS`). The
value of a coalition of groups is the price that the policy proposes where these groups are as seen
and the others are ordinary: Shapley (1953), A Value for n-Person Games, Annals of Mathematics
Studies 28; Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, NeurIPS.
With eight groups every coalition is evaluated, so the contributions add up exactly. A coalition may
mix inputs that never occur together: read a contribution as what the policy looks at, not as what
would happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .complete import check_complete
from .observed import QUANTITIES, MarketView
from .protocol import Policy

Array = NDArray[np.float64]
_CALENDAR = "calendar"
OTHER_PRODUCTS = "other products"
# Rows of products that a policy is asked for at once.
_ROWS_ASKED = 100_000


@dataclass(frozen=True)
class InputGroup:
    """Inputs of a policy that are explained together.

    Attributes:
        fields: The fields of `MarketView` that the group holds.
        description: What a reader calls it, to begin or continue a sentence with.

    Example:
        >>> INPUT_GROUPS["stock"].fields
        ('on_hand', 'on_order', 'due')
    """

    fields: tuple[str, ...]
    description: str


_INPUTS = {
    _CALENDAR: "the time left and the season",
    "price in force": "the current price and the remembered price",
    "stock": "the stock on hand and on order",
    "recent sales": "the sales of the last period",
    "competitors": "the competitors' prices",
    "past changes": "the recent price changes",
    "market": "the state of the market",
}
_EXPLAINED = [quantity for quantity in QUANTITIES.values() if quantity.group is not None]
_OF_PRODUCTS = tuple(quantity.name for quantity in _EXPLAINED if not quantity.shared)
check_complete("pricing.shapley", "words", {quantity.group for quantity in _EXPLAINED}, _INPUTS)
INPUT_GROUPS = {
    group: InputGroup(tuple(quantity.name for quantity in _EXPLAINED if quantity.group == group), words)
    for group, words in _INPUTS.items()
} | {OTHER_PRODUCTS: InputGroup(_OF_PRODUCTS, "the state of the other products")}
"""Groups of inputs by name. The groups with fields of each product hold those of the product whose
price is explained; "other products" holds the same fields of all others."""


@dataclass(frozen=True)
class PriceContributions:
    """A proposed price as the price in an ordinary market plus what each group of inputs adds.

    Attributes:
        baseline: The price that the policy proposes in an ordinary market, currency per unit.
        inputs: By group of `INPUT_GROUPS`, what it adds, currency per unit. Groups that the market
            does not have are left out; a group that is ordinary adds 0.

    Example:
        >>> PriceContributions(baseline=2.0, inputs={"stock": -0.5}).proposed
        1.5
    """

    baseline: float
    inputs: dict[str, float]

    @property
    def proposed(self) -> float:
        """The price that the policy proposes, before the price rules: the sum of all parts."""
        return self.baseline + sum(self.inputs.values())


def price_contributions(policy: Policy, view: MarketView, product: int) -> PriceContributions:
    """Explain the price that a policy proposes for a product in the first market of a view.

    Args:
        policy: Proposes prices by the view alone; it is evaluated on up to 256 markets.
        view: What the policy sees; only its first market counts.
        product: Number of the product.

    Returns:
        The contributions, which add up to the proposed price.

    Example:
        >>> from repricer.envs import Market
        >>> from repricer.pricing import CostPlus, price_contributions
        >>> from repricer.scenarios import load_scenario
        >>> view = Market(load_scenario("grocery")).view
        >>> price_contributions(CostPlus(0.5), view, 0).inputs["stock"]
        0.0
    """
    seen = view.take(np.zeros(1, np.intp))
    ordinary = [ordinary_view(seen, period) for period in (0, int(seen.period[0]))]
    parts = _parts(seen, product)

    def differs(field: str, at: Any) -> bool:
        return any(not np.array_equal(getattr(seen, field)[0, at], getattr(one, field)[0, at]) for one in ordinary)

    moved = [name for name, fields in parts.items() if any(differs(*field) for field in fields)]
    both = {name: [getattr(one, name) for one in ordinary] for name, value in vars(seen).items() if value is not None}
    del both["catalogue"]

    def price(members: NDArray[np.bool_]) -> Array:
        """Of one market for each coalition: with the calendar in it, ordinary means ordinary for the period seen, with
        the stock of that time, and else for the first period.
        """
        member = dict(zip(moved, members.T, strict=True))
        late = member.get(_CALENDAR, np.zeros(len(members), np.bool_)).astype(np.intp)
        fields = {name: np.concatenate(pair)[late] for name, pair in both.items()}
        for name, here in member.items():
            for field, at in parts[name]:
                rows = fields[field][here]
                rows[:, at] = getattr(seen, field)[0, at]
                fields[field][here] = rows
        return policy.act(replace(seen, **fields)).price[:, product].astype(np.float64)

    def value(members: NDArray[np.bool_]) -> Array:
        size = max(1, _ROWS_ASKED // seen.catalogue.num_products)
        return np.concatenate([price(members[first : first + size]) for first in range(0, len(members), size)])

    shares, baseline, _ = shapley_values(value, len(moved))
    found = dict(zip(moved, shares.tolist(), strict=True))
    return PriceContributions(baseline, {name: found.get(name, 0.0) for name in parts})


def shapley_values(value: Callable[[NDArray[np.bool_]], Array], players: int) -> tuple[Array, float, float]:
    """Shapley values of a game, every coalition evaluated.

    Args:
        value: Coalitions, (S, M) whether a player is in it, to their values, (S,).
        players: M.

    Returns:
        The players' values, (M,), and the values of the empty and of the full coalition, whose
        difference they add up to.

    Example:
        >>> from repricer.pricing.shapley import shapley_values
        >>> shares, empty, full = shapley_values(lambda member: member @ [1.0, 2.0], 2)
        >>> shares.tolist(), empty, full
        ([1.0, 2.0], 0.0, 3.0)
    """
    numbers = np.arange(2**players)
    member = (numbers[:, None] >> np.arange(players)) & 1 > 0
    values = value(member)
    size = member.sum(axis=1)
    shares = np.empty(players)
    for i in range(players):
        without = numbers[~member[:, i]]
        weight = np.array([1 / (players * comb(players - 1, int(s))) for s in size[without]])
        shares[i] = weight @ (values[without + 2**i] - values[without])
    return shares, float(values[0]), float(values[-1])


def ordinary_view(view: MarketView, period: int) -> MarketView:
    """The baseline of an explanation: the markets of a view in a period, with nothing out
    of the ordinary.

    Current and remembered prices are the regular prices, and so are competitors' prices where there
    is a competitor. Limited stock is the forecast for the periods left, nothing is on order, and
    the last period sold what was forecast for it. The regime is the first, loyalty 1, and no price
    was changed within the window. Resources that products share are left as they are, as the
    catalogue does not hold them. All else follows from the catalogue, which a policy bundle
    carries.

    Args:
        view: Says which of these inputs the market has.
        period: Period of the ordinary markets, from 0.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks").view
        >>> bool((ordinary_view(view, 5).list_price == view.catalogue.regular_price).all())
        True
    """
    ordinary = dict[str, NDArray[Any]]()
    for name, quantity in QUANTITIES.items():
        seen = getattr(view, name)
        if quantity.ordinary is not None and seen is not None:
            usual = quantity.ordinary(view.catalogue, period)
            # What is unlimited, and a competitor who is not there, stay so.
            ordinary[name] = np.where(np.isinf(seen), seen, usual).astype(seen.dtype)
    return replace(view, **ordinary)


def _parts(view: MarketView, product: int) -> dict[str, list[tuple[str, Any]]]:
    """The fields of every group that the view has, each with the columns that it takes; groups without any are left out."""
    own = np.arange(view.catalogue.num_products) == product
    parts = {}
    for name, group in INPUT_GROUPS.items():
        there = [field for field in group.fields if getattr(view, field) is not None]
        columns = ~own if name == OTHER_PRODUCTS else own
        if there and columns.any():
            parts[name] = [(field, ... if QUANTITIES[field].shared else columns) for field in there]
    return parts
