"""Parameters of the choice model as arrays for the compiled loops.

The arrays of a section that is off are empty.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...pricing import felt_price
from ...scenarios import MarketSpec, ScenarioError, choice_model
from ...scenarios.checks import BUILT_IN, ChoiceFunction, Family, choice_function, family_function
from ..jit.callbacks import Callback, callback_of

MNL, CHEAPEST, EXPONENTIAL, LINEAR, CONSTANT_ELASTICITY, NESTED, EXTENSION, JOINT = range(8)
NEVER = np.float32(-1e30)
"""The utility of a sold-out product in a choice model of another package."""

# Highest utilities whose exponentials a type can add up, with room for lifts and thousands of offers.
_HIGHEST = {"float32": 80.0, "float64": 700.0}
# Probabilities of a category, with rounding.
_ALL = 1 + 1e-5


class ChoiceParameters(NamedTuple):
    """Parameters of the choice model.

    T periods, C categories, J nests, N products, K segments, R rival offers, Z regimes.

    Attributes:
        family: Number of the demand family, one of the constants of this module.
        extension: Address of the function of another package's family; 0 if the family is built in.
        linear_reference: Whether the reference-price effect is linear in the price, not in its
            logarithm.
        category: (N,) category of each product.
        nest: (N,) nest of each product; in other families than the nested logit, its category.
        nest_category: (J,) category of each nest.
        quality: (K, N) utility of each product.
        sensitivity: (K, N) price sensitivity.
        curvature: (N,) how utility bends in the price, see `pricing.felt_price`, or (0,) where it is linear.
        regular: (N,) regular price, currency per unit, or (0,).
        quality_path: (N, T) additional utility by period, or (0, T) if there is none.
        rate: (C, T) arrival rate, customers per period.
        season: (C, T) utility of the season.
        path: (C, T) multiplier of the price sensitivity.
        share: (C, K) share of each segment in the arrivals.
        gain: (N,) reference-price effect of a price below the reference.
        loss: (N,) reference-price effect of a price above the reference.
        units_gain: (N,) its effect on the log units that the buyers take, or (0,) if there is none.
        units_loss: (N,) the same of a price above the reference.
        promotion: (K, N) utility of being on promotion.
        lift: (K,) factor on exp(utility) of the product in the recommendation slot.
        rival_category: (R,) category of each rival offer.
        rival_quality: (K, R) utility of each rival offer.
        rival_sensitivity: (K, R) price sensitivity to rival prices.
        regime_utility: (Z,) additional utility of all products.
        regime_sensitivity: (Z,) multiplier of the price sensitivity.
        regime_arrivals: (Z,) multiplier of the arrival rate.
        strategic_share: (K,) share of the customers who may wait for a lower price.
        patience: (K,) weight of buying later, against buying now.
        nesting: (J,) nesting of the nested logit, or (0,) in other families.
    """

    family: int
    extension: int
    linear_reference: bool
    category: NDArray[np.int64]
    nest: NDArray[np.int64]
    nest_category: NDArray[np.int64]
    quality: NDArray
    sensitivity: NDArray
    curvature: NDArray
    regular: NDArray
    quality_path: NDArray
    rate: NDArray
    season: NDArray
    path: NDArray
    share: NDArray
    gain: NDArray
    loss: NDArray
    units_gain: NDArray
    units_loss: NDArray
    promotion: NDArray
    lift: NDArray
    rival_category: NDArray[np.int64]
    rival_quality: NDArray
    rival_sensitivity: NDArray
    regime_utility: NDArray
    regime_sensitivity: NDArray
    regime_arrivals: NDArray
    strategic_share: NDArray
    patience: NDArray
    nesting: NDArray

    @classmethod
    def of(cls, spec: MarketSpec, dtype: DTypeLike = np.float32) -> ChoiceParameters:
        """The parameters of a scenario: float32 in the market, float64 in exact solvers.

        Raises:
            ScenarioError: Utilities of a logit are too high for the type: demand would be 0, or no number.
        """
        model, family = choice_model(spec), spec.demand.family
        highest, most = _highest_utility(spec), _HIGHEST[np.dtype(dtype).name]
        if family in ("mnl", "nested-logit") and highest > most:
            raise ScenarioError(
                f"utility at the lowest price (over 1 - demand.nesting) must be at most {most:g} to be simulated or solved; "
                f"got {highest:g}; lower quality or nesting, or raise the floor of the prices"
            )
        integers = {name: getattr(model, name) for name in ("category", "nest_category", "rival_category")}
        integers = {name: rows.astype(np.int64) for name, rows in {**integers, "nest": model.product_nest}.items()}
        called = family_callback(spec)
        others = [name for name in cls._fields if name not in ("family", "extension", "linear_reference", *integers)]
        return cls(
            family=BUILT_IN.index(family)
            if family in BUILT_IN
            else EXTENSION
            if choice_function(family) is None
            else JOINT,
            extension=0 if called is None else called.address,
            linear_reference=model.linear_reference,
            **integers,
            **{name: np.array(getattr(model, name), dtype=dtype, order="C") for name in others},
        )


def _highest_utility(spec: MarketSpec) -> float:
    """The highest utility of an offer at its lowest price, as its exponential is taken; without lifts and regimes."""
    demand, c, rivals = spec.demand, spec.category_index, spec.competitors
    calm, steep = demand.sensitivity_path.min(axis=0), demand.price_sensitivity
    utility = demand.quality + (demand.season[:, c] + demand.quality_path).max(axis=0)
    lowest = felt_price(spec.guardrails.paid_low, spec.products.regular_price, demand.price_curvature)
    utility = utility - steep * calm[c] * lowest
    if demand.family == "nested-logit":
        return float((utility / (1 - demand.nesting[spec.nest_index])).max())
    if rivals is None:
        return float(utility.max())
    c = c[spec.competitor_product]
    theirs = rivals.quality + demand.season.max(axis=0)[c] - rivals.price_sensitivity * calm[c] * rivals.floor
    return float(max(utility.max(), theirs.max()))


def family_callback(spec: MarketSpec) -> Callback | None:
    """The function of a scenario's demand family or choice model, if another package registered it."""
    function, joint = family_function(spec.demand.family), choice_function(spec.demand.family)
    if joint is not None:
        function = _by_product(joint, tuple(spec.category_index.tolist()))
    return None if function is None else callback_of(function)


@functools.cache
def _by_product(model: ChoiceFunction, category: tuple[int, ...]) -> Family:
    """A choice model as a function of flat (N, E) utilities."""
    index, name = np.array(category), getattr(model, "__name__", str(model))
    member = np.eye(index.max() + 1)[index]

    def probabilities(values: NDArray[np.floating]) -> NDArray[np.floating]:
        utility = values.reshape(index.size, -1).T
        found = np.asarray(model(np.where(utility > NEVER, utility, -np.inf), index))
        if found.shape != utility.shape or not ((found >= 0).all() and (found @ member <= _ALL).all()):
            raise ValueError(
                f"{name} must return probabilities of shape {utility.shape}, of at most 1 in all in each category; got "
                f"shape {found.shape}, from {found.min(initial=np.inf):g} to {found.max(initial=-np.inf):g}; fix it"
            )
        return found.T.reshape(values.shape)

    return probabilities
