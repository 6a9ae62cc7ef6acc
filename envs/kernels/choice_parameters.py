"""What the compiled choice model takes and fills: parameters, inputs, results and scratch.

The arrays of a section that is off are empty.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...pricing import felt_price
from ...scenarios import MarketSpec, ScenarioError, choice_model
from ...scenarios.checks import BUILT_IN, ChoiceFunction, Family, choice_function, family_function

MNL, CHEAPEST, EXPONENTIAL, LINEAR, CONSTANT_ELASTICITY, NESTED, EXTENSION, JOINT = range(8)
NEVER = np.float32(-1e30)
"""The utility of a sold-out product in a choice model of another package."""

# Highest utilities whose exponentials a type can add up, with room for lifts and thousands of offers.
_HIGHEST = {"float32": 80.0, "float64": 700.0}
# Probabilities of a category, with rounding.
_ALL = 1 + 1e-5
Array = NDArray

_INTEGERS = ("category", "nest", "nest_category", "rival_category")
_ARRAYS = (
    *(
        "quality",
        "sensitivity",
        "curvature",
        "regular",
        "quality_path",
        "rate",
        "season",
        "path",
        "share",
        "gain",
        "loss",
    ),
    *("units_gain", "units_loss", "promotion", "lift", "rival_quality", "rival_sensitivity"),
    *("regime_utility", "regime_sensitivity", "regime_arrivals", "strategic_share", "patience"),
)
ChoiceParameters = namedtuple(
    "ChoiceParameters",
    ["family", "extension", "linear_reference", "saturating_reference", "nesting", "steepness", *_INTEGERS, *_ARRAYS],
)
"""Parameters of the choice model: the arrays of `pricing.ChoiceModel`, by the same names and in the same shapes, and

- family: number of the demand family, one of the constants of this module;
- extension: number of the function of another package's family, see `replace_by`; -1 if the family is built in;
- nest: (N,) nest of each product; in other families than the nested logit, its category;
- nesting: (J,), 0 in other families;
- steepness: (N,) one over (1 - nesting) of the product's nest.
"""


def choice_parameters(spec: MarketSpec, dtype: DTypeLike = np.float32) -> ChoiceParameters:
    """The parameters of a scenario: float32 in the market, float64 in exact solvers.

    Raises:
        ScenarioError: Utilities of a logit are too high for the type: demand would be 0, or no number.
    """
    model = choice_model(spec)
    family = spec.demand.family
    highest = _highest_utility(spec)
    most = _HIGHEST[np.dtype(dtype).name]
    if family in ("mnl", "nested-logit") and highest > most:
        raise ScenarioError(
            f"utility at the lowest price (over 1 - demand.nesting) must be at most {most:g} to be simulated or solved; "
            f"got {highest:g}; lower quality or nesting, or raise the floor of the prices"
        )
    nest = model.product_nest.astype(np.int64)
    nesting = np.zeros(len(model.nest_category), dtype)
    nesting[: len(model.nesting)] = model.nesting
    others = EXTENSION if choice_function(family) is None else JOINT
    return ChoiceParameters(
        family=BUILT_IN.index(family) if family in BUILT_IN else others,
        extension=_extension_of(spec),
        linear_reference=model.linear_reference,
        saturating_reference=model.saturating_reference,
        nesting=nesting,
        steepness=1 / (1 - nesting[nest]),
        nest=nest,
        **{name: getattr(model, name).astype(np.int64) for name in _INTEGERS if name != "nest"},
        **{name: np.array(getattr(model, name), dtype=dtype, order="C") for name in _ARRAYS},
    )


def _highest_utility(spec: MarketSpec) -> float:
    """The highest utility of an offer at its lowest price, as its exponential is taken; without lifts and regimes."""
    demand = spec.demand
    c = spec.category_index
    rivals = spec.competitors
    calm = demand.sensitivity_path.min(axis=0)
    steep = demand.price_sensitivity
    utility = demand.quality + (demand.season[:, c] + demand.quality_path).max(axis=0)
    # A price that follows the plan keeps no bound.
    lowest = np.min([spec.guardrails.paid_low, *spec.guardrails.frozen_rows], axis=0)
    lowest = felt_price(lowest, spec.products.regular_price, demand.price_curvature)
    utility = utility - steep * calm[c] * lowest
    if demand.family == "nested-logit":
        return float((utility / (1 - demand.nesting[spec.nest_index])).max())
    if rivals is None:
        return float(utility.max())
    c = c[spec.competitor_product]
    theirs = rivals.quality + demand.season.max(axis=0)[c] - rivals.price_sensitivity * calm[c] * rivals.floor
    return float(max(utility.max(), theirs.max()))


# Demand families and choice models of other packages, which compiled code names by their place in this list.
_extensions: list[tuple[Family | ChoiceFunction, tuple[int, ...]]] = []


def _extension_of(spec: MarketSpec) -> int:
    """The place in `_extensions` of the function of a scenario's demand family; -1 if the family is built in."""
    function = family_function(spec.demand.family) or choice_function(spec.demand.family)
    if function is None:
        return -1
    joint = function is choice_function(spec.demand.family)
    extension = (function, tuple(spec.category_index.tolist()) if joint else ())
    if extension not in _extensions:
        _extensions.append(extension)
    return _extensions.index(extension)


def replace_by(number: int, values: Array) -> None:
    """Replace utilities, (N, E), by the probabilities that another package's function makes of them.

    Args:
        number: Of the function.
        values: Replaced.

    Raises:
        ValueError: The function returns another shape, or no probabilities.
    """
    model, category = _extensions[number]
    name = getattr(model, "__name__", str(model))
    if not category:
        found = np.asarray(model(values.reshape(-1)))  # pyright: ignore[reportCallIssue]
        if found.shape != (values.size,):
            raise ValueError(
                f"{name} must return a number for each it is given, {values.size}; got shape {found.shape}; fix it"
            )
        values[:] = found.reshape(values.shape)
        return
    index = np.array(category)
    utility = values.T
    found = np.asarray(model(np.where(utility > NEVER, utility, -np.inf), index))  # pyright: ignore[reportCallIssue]
    if found.shape != utility.shape or not (
        (found >= 0).all() and (found @ np.eye(index.max() + 1)[index] <= _ALL).all()
    ):
        raise ValueError(
            f"{name} must return probabilities of shape {utility.shape}, of at most 1 in all in each category; got "
            f"shape {found.shape}, from {found.min(initial=np.inf):g} to {found.max(initial=-np.inf):g}; fix it"
        )
    values[:] = found.T


_CHOICE_INPUTS = """
period regime price reference available paid shown promoted rival_price multiplier waiting scale
"""


class ChoiceInputs(namedtuple("ChoiceInputs", _CHOICE_INPUTS)):
    """What customers meet in a period of E markets; floats have the type of the parameters.

    Attributes:
        period: (E,) number of the period.
        regime: (E,) regime.
        price: (N, E) list price, currency per unit.
        reference: (N, E) reference price, currency per unit.
        available: (N, E) units, or anything positive for a product in stock.
        paid: (K, N, E) personal prices, or (0, N, E) if all customers pay the list price.
        shown: (K, E) product in each segment's slot, or (0, E).
        promoted: (N, E) 1 for products on promotion, or (0, E).
        rival_price: (R, E) currency per unit.
        multiplier: (C * K, E) multiplier of the arrivals, or (0, E).
        waiting: (C * K, E) customers who waited, or (0, E).
        scale: Share of the period's customers.
    """


class Choice(
    namedtuple("Choice", "weight lifted mean units total rival_units waiting arrivals season path effect taken")
):
    """Mean demand of a period, and the terms it was computed from.

    Attributes:
        weight: (K, N, E) exp(utility), or (1, N, E), the last segment, without `detail`.
        lifted: (K, N, E) the same with the effect of the recommendation slot.
        mean: (K, N, E) mean units by segment, or (0, N, E) without `by_segment`.
        units: (N, E) mean units of all segments.
        total: (K, J, E) what the weights of a nest (in other families, a category) are divided by, or
            (1, J, E) without `detail`.
        rival_units: (R, E) mean units of the rival offers.
        waiting: (C * K, E) customers who wait.
        arrivals: (C, E) arrival rate.
        season: (C, E) utility of the season.
        path: (C, E) multiplier of the price sensitivity.
        effect: (N, E) utility of season and reference price.
        taken: (N, E) units that each buyer takes, or (0, E) where that is always one.
    """


class ChoiceScratch(
    namedtuple("ChoiceScratch", "felt spare expected expected_effect rival rival_felt factor later customers usual")
):
    """Scratch of `choose`.

    Attributes:
        felt: (N, E) prices felt, times the multiplier of the price sensitivity.
        spare: (N, E) spare.
        expected: (N, E) perceived price that customers who wait expect, or (0, E).
        expected_effect: (N, E) its season's utility, or (0, E).
        rival: (R, E) exp(utility) of the rival offers.
        rival_felt: (R, E) perceived rival prices.
        factor: (J, E) customers over `Choice.total`.
        later: (C, E) exp(utility) of buying later.
        customers: (C, E) customers of a segment.
        usual: (N, E) prices that are no higher than customers are used to, or (0, E).
    """


def empty_choice(
    p: ChoiceParameters, price: Array, rivals: int, waits: int, *, slots: bool, by_segment: bool, detail: bool
) -> Choice:
    """Allocate a `Choice`.

    Args:
        p: Parameters of the choice model.
        price: (N, E), for its shape and type.
        rivals: R.
        waits: C * K, or 0 if no customers wait.
        slots: Whether there are recommendation slots.
        by_segment: Whether to keep the means of every segment.
        detail: Whether to keep the weights and totals of every segment.
    """
    segments, (products, markets) = len(p.quality), price.shape
    kept = segments if detail else 1
    categories = len(p.rate)

    def empty(*shape: int) -> Array:
        return np.empty((*shape, markets), price.dtype)

    weight = empty(kept, products)
    return Choice(
        weight=weight,
        lifted=np.empty_like(weight) if slots else weight,
        mean=empty(segments if by_segment else 0, products),
        units=empty(products),
        total=empty(kept, len(p.nest_category)),
        rival_units=empty(rivals),
        waiting=empty(waits),
        arrivals=empty(categories),
        season=empty(categories),
        path=empty(categories),
        effect=empty(products),
        taken=empty(len(p.units_gain)),
    )


def choice_scratch(p: ChoiceParameters, price: Array, rivals: int, waits: int) -> ChoiceScratch:
    """Allocate the `ChoiceScratch`; the arguments are as for `empty_choice`."""
    products = len(price)
    categories = len(p.rate)
    patient = products if waits else 0
    rows = (products, products, patient, patient, rivals, rivals, len(p.nest_category), categories, categories)
    rows = (*rows, len(p.units_gain))
    return ChoiceScratch(*(np.empty((count, price.shape[1]), price.dtype) for count in rows))
