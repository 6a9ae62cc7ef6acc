"""The choice model of a scenario, and the probabilities of its regimes."""

from __future__ import annotations

import functools

import numpy as np

from ..pricing import ChoiceModel
from .spec import MarketSpec

_OFF = np.empty(0)


@functools.lru_cache(maxsize=32)
def choice_model(spec: MarketSpec) -> ChoiceModel:
    """The choice model of a scenario; it computes demand where the demand family is built in.

    Args:
        spec: the scenario.

    Returns:
        The model, with empty arrays for the sections that are off.

    Example:
        >>> from repricer import load_scenario
        >>> choice_model(load_scenario("stationary-logit")).family
        'mnl'
    """
    demand, rivals, regimes = spec.demand, spec.competitors, spec.regimes
    reference, promotion, slots, strategic = spec.reference_price, spec.promotion, spec.recommendation, spec.strategic
    no_pairs, bent = np.empty((spec.sizes["K"], 0)), demand.price_curvature.any()
    stocked = reference if spec.stocks_up else None
    arrays = {
        "quality": demand.quality,
        "sensitivity": demand.price_sensitivity,
        "curvature": demand.price_curvature if bent else _OFF,
        "regular": spec.products.regular_price if bent else _OFF,
        "quality_path": demand.quality_path.T[: None if demand.quality_path.any() else 0],
        "rate": spec.arrivals.rate.T,
        "season": demand.season.T,
        "path": demand.sensitivity_path.T,
        "share": spec.arrivals.segment_share,
        "gain": _OFF if reference is None else reference.gain,
        "loss": _OFF if reference is None else reference.loss,
        "units_gain": _OFF if stocked is None else stocked.units_gain,
        "units_loss": _OFF if stocked is None else stocked.units_loss,
        "promotion": no_pairs if promotion is None else promotion.lift,
        "lift": _OFF if slots is None else np.exp(slots.lift),
        "rival_quality": no_pairs if rivals is None else rivals.quality,
        "rival_sensitivity": no_pairs if rivals is None else rivals.price_sensitivity,
        "regime_utility": _OFF if regimes is None else regimes.utility,
        "regime_sensitivity": _OFF if regimes is None else regimes.sensitivity,
        "regime_arrivals": _OFF if regimes is None else regimes.arrivals,
        "strategic_share": _OFF if strategic is None else strategic.share,
        "patience": _OFF if strategic is None else strategic.patience,
        "nesting": demand.nesting if demand.family == "nested-logit" else _OFF,
        "rivals_regular": spec.initial_rival_price,
        "regime_share": spec.regime_probabilities() if spec.regimes is not None else np.empty((spec.sizes["T"], 0)),
        "overdispersion": spec.arrivals.overdispersion,
    }
    return ChoiceModel(
        family=demand.family,
        linear_reference=reference is not None and reference.scale == "linear",
        single=spec.arrivals.process == "single",
        category=spec.category_index,
        nest=np.empty(0, np.intp) if demand.nest is None else spec.nest_index,
        rival_category=spec.category_index[spec.competitor_product],
        rivals_product=spec.competitor_product,
        **{name: np.array(values, dtype=np.float64, order="C") for name, values in arrays.items()},
    )
