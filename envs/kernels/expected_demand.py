"""Expected demand in closed form, from the same compiled loops as the simulated market.

Catalogues, classical policies and exact solvers use it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...pricing import Catalogue, own_elasticity
from ...pricing.complete import check_complete
from ...pricing.observed import FACTS
from ...scenarios import MarketSpec
from ...scenarios.sections import Observed
from ..jit.compiling import Structure
from .choice import choose, count_lost
from .choice_parameters import Choice, ChoiceInputs, ChoiceParameters, choice_parameters, choice_scratch, empty_choice

Array = NDArray[np.float64]
# Draws that the standard error of the level is computed from, and the smallest number whose logarithm is taken.
_DRAWS = 64
_FEW = 1e-6


def expected_units(spec: MarketSpec, period: int | NDArray[np.int64], price: ArrayLike, **given: Any) -> Array:
    """Mean units by segment with ample stock.

    If rivals answer within the period, this is the mean of a period in which the rival prices do not change; of one
    half of it where at most one customer comes in each (`MarketSpec.visits`).

    Args:
        spec: The scenario.
        period: Number of the period, or (B,) numbers.
        price: (B, N) or (N,) list prices, currency per unit.
        **given: `reference`, `discount`, `shown`, `promoted`, `regime`, `rival_price`,
            `in_stock` and `lost`, as for `choice_at`.

    Returns:
        (B, K, N) float64, units per period.

    Example:
        >>> from repricer.envs import expected_units
        >>> from repricer.scenarios import load_scenario
        >>> units = expected_units(load_scenario("stationary-logit"), 0, [[9.0], [10.0]])
        >>> units.shape, bool(units[0] > units[1])
        ((2, 1, 1), True)
    """
    return np.moveaxis(choice_at(spec, period, price, **given).mean, -1, 0)


def rival_units(
    spec: MarketSpec,
    period: int | NDArray[np.int64],
    price: ArrayLike,
    rival_price: ArrayLike,
    **given: Any,
) -> Array:
    """Mean units of the rival offers, in a period or half of one as in `expected_units`.

    Args:
        spec: The scenario.
        period: Number of the period, or (B,) numbers.
        price: (B, N) our list prices, currency per unit.
        rival_price: (R,) or (B, R) prices of the rival offers.
        **given: The rest, as for `choice_at`.

    Returns:
        (B, R) float64, units per period.

    Example:
        >>> from repricer.envs import rival_units
        >>> from repricer.scenarios import load_scenario
        >>> rival_units(load_scenario("calvano-duopoly"), 0, [[1.5]], [1.5]).shape
        (1, 1)
    """
    return choice_at(spec, period, price, rival_price=rival_price, **given).rival_units.T


def choice_at(
    spec: MarketSpec,
    period: int | NDArray[np.int64],
    price: ArrayLike,
    *,
    reference: ArrayLike | None = None,
    discount: NDArray | None = None,
    shown: NDArray[np.int64] | None = None,
    promoted: ArrayLike | None = None,
    regime: int | NDArray[np.int64] = 0,
    rival_price: ArrayLike | None = None,
    in_stock: ArrayLike | None = None,
    lost: bool = False,
) -> Choice:
    """The `Choice` of customers with ample stock at B rows of prices, float64; B is its last axis.

    Demand shocks, loyalty and waiting customers are set to their neutral values (1, 1 and 0).

    Args:
        spec: The scenario.
        period: Number of the period, or (B,) numbers.
        price: (B, N) or (N,) list prices, currency per unit.
        reference: (N,) or (B, N) reference prices; by default the prices themselves, which customers are then used to.
        discount: (B, N, K) personal discounts, shares.
        shown: (B, K) product in each segment's slot, -1 for none.
        promoted: (N,) or (B, N), 1 for products on promotion; where promotions are no decision, the share of stores with a
            display or mailer beyond the planned one.
        regime: Number of the regime, or (B,) numbers.
        rival_price: (R,) or (B, R); the rivals' initial prices by default.
        in_stock: (N,) or (B, N), 0 for sold-out products.
        lost: Whether the customers whom a sold-out product loses count as demand for it.
    """
    prices = np.atleast_2d(np.asarray(price, dtype=np.float64))
    rows, (segments, rivals, categories) = len(prices), (spec.sizes[letter] for letter in "KRC")
    products = prices.shape[1]
    own = np.array(prices.T, order="C")
    waits = categories * segments if spec.strategic is not None else 0
    situation = ChoiceInputs(
        period=np.array(np.broadcast_to(period, rows), dtype=np.int64),
        regime=np.array(np.broadcast_to(regime, rows), dtype=np.int64),
        price=own,
        reference=_spread(prices if reference is None else reference, rows, products),
        available=_spread(1.0 if in_stock is None else in_stock, rows, products),
        paid=_personal_prices(own, discount),
        shown=np.empty((0, rows), np.int64) if shown is None else np.array(shown.T, np.int64, order="C"),
        promoted=_spread(0.0 if promoted is None else promoted, rows, _parameters(spec)[0].promotion.shape[1]),
        rival_price=_spread(spec.initial_rival_price if rival_price is None else rival_price, rows, rivals),
        multiplier=np.empty((0, rows)),
        waiting=np.zeros((waits, rows)),
        scale=np.float64(1.0),
    )
    choice = _chosen(spec, situation)
    if lost and (situation.available <= 0).any():
        full = _chosen(spec, situation._replace(available=np.ones_like(situation.available)))
        count_lost(_parameters(spec)[0].category, situation.available, full, choice.units, choice.mean)
    return choice


def _chosen(spec: MarketSpec, now: ChoiceInputs) -> Choice:
    p, compiled = _parameters(spec)
    sizes = (now.price, len(now.rival_price), len(now.waiting))
    choice = empty_choice(p, *sizes, slots=len(now.shown) > 0, by_segment=True, detail=True)
    choose(compiled, now, choice, choice.units, choice_scratch(p, *sizes))
    return choice


def _spread(values: ArrayLike, rows: int, count: int) -> Array:
    """(count, rows) values repeated for each row.

    Always a copy: a read-only view has another type, and the loops would be compiled again for each
    combination.
    """
    return np.array(np.broadcast_to(np.asarray(values, np.float64), (rows, count)).T, order="C")


def _personal_prices(price: Array, discount: NDArray | None) -> Array:
    """(K, N, B) prices after discounts (B, N, K), or (0, N, B) without discounts."""
    if discount is None:
        return np.empty((0, *price.shape))
    return np.ascontiguousarray(price * (1 - np.moveaxis(np.asarray(discount, np.float64), 0, -1).swapaxes(0, 1)))


@functools.lru_cache(maxsize=32)
def _parameters(spec: MarketSpec) -> tuple[ChoiceParameters, Structure]:
    """The parameters in double precision, and the same for compiled code."""
    p = choice_parameters(spec, np.float64)
    return p, Structure(p)


@functools.lru_cache(maxsize=32)
def catalogue_of(spec: MarketSpec) -> Catalogue:
    """What a policy knows in advance: forecasts and elasticities at the regular price.

    Args:
        spec: The scenario.

    Example:
        >>> from repricer.envs import catalogue_of
        >>> from repricer.scenarios import load_scenario
        >>> catalogue_of(load_scenario("stationary-logit")).forecast_units.shape[1]
        1
    """
    regular = spec.products.regular_price
    periods = np.arange(spec.market.horizon_periods)
    rows = np.broadcast_to(regular, (len(periods), regular.size))
    units = spec.visits * _over_regimes(spec, functools.partial(_units_in_regime, spec, periods, rows))
    return Catalogue(
        products=spec.products.names,
        segments=spec.arrivals.segments,
        category=spec.category_index,
        regular_price=regular.astype(np.float32),
        unit_cost=spec.products.unit_cost.astype(np.float32),
        vat=spec.products.vat.astype(np.float32) if spec.products.vat.any() else None,
        segment_elasticity=own_elasticity(
            lambda price: expected_units(spec, 0, price, reference=regular), regular
        ).astype(np.float32),
        segment_units=units.mean(axis=0).astype(np.float32),
        forecast_units=units.sum(axis=1).astype(np.float32),
        endless=spec.market.ending == "truncated",
        max_order_units=_whole(spec.stock.max_order_units) if spec.stock.replenishment == "action" else None,
        max_express_units=None if spec.express is None else _whole(spec.express.max_order_units),
        express_periods=_express_periods(spec),
        at_once=_at_once(spec),
        backlog=spec.stock.shortage == "backlog",
        calendar=spec.calendar,
        **observed_facts(spec),
        **_posterior_errors(spec),
    )


def observed_facts(spec: MarketSpec) -> dict[str, Any]:
    """The fields of a catalogue that say which quantities policies observe, and how much of them.

    Args:
        spec: The scenario.

    Returns:
        A value for each of `FACTS`; see `pricing.observed.Quantity.fact`.
    """
    return {fact: _SOURCES[fact](spec) for fact in FACTS}


def _regimes(spec: MarketSpec) -> tuple[str, ...]:
    return spec.regimes.names if spec.regimes is not None and spec.regimes.observed else ()


def _due_periods(spec: MarketSpec) -> int:
    # What is due in the last period of the pipeline needs no place of its own: it is the rest of the units on order.
    return max(spec.stock.pipeline_periods - 2, 0) if spec.stock.replenishment == "action" else 0


def _asked_for(key: str) -> Callable[[MarketSpec], int]:
    """What the section `[observed]` says."""
    return lambda spec: getattr(spec.observed or Observed(), key) or 0


_SOURCES: dict[str, Callable[[MarketSpec], Any]] = {
    "regimes": _regimes,
    "rivals": lambda spec: spec.competitors is not None,
    "loyal": lambda spec: spec.loyalty is not None,
    "change_window_periods": lambda spec: spec.prices.change_window_periods or 0,
    "due_periods": _due_periods,
    **{item.name: _asked_for(item.name) for item in dataclasses.fields(Observed)},
}
"""Where each of `FACTS` stands in a scenario."""
check_complete("envs.kernels.expected_demand", "a place in the scenario", FACTS, _SOURCES)


def _whole(units: Array) -> NDArray[np.float32]:
    """The largest whole numbers of units up to these."""
    return np.floor(units).astype(np.float32)


def _express_periods(spec: MarketSpec) -> NDArray[np.float32] | None:
    """(N,) lead time of express orders; None where they have none."""
    if spec.express is None or not spec.express.lead_time_periods.any():
        return None
    return spec.express.lead_time_periods.astype(np.float32)


def _at_once(spec: MarketSpec) -> NDArray[np.float32] | None:
    """(2, N) whether what the policy orders from either supplier can be sold at once; None where none of it can."""
    if spec.stock.replenishment != "action":
        return None
    never = np.full(spec.sizes["N"], np.inf)
    leads = spec.stock.lead_time_periods, never if spec.express is None else spec.express.lead_time_periods
    at_once = np.stack(leads) == 0
    return at_once.astype(np.float32) if at_once.any() else None


def _posterior_errors(spec: MarketSpec) -> dict[str, Any]:
    """The standard errors of a catalogue, (N,) each; none without a posterior."""
    if spec.posterior is None:
        return {}
    periods = np.arange(spec.market.horizon_periods)
    regular = spec.products.regular_price
    rows = np.broadcast_to(regular, (len(periods), regular.size))
    units = []
    for m in np.unique(np.linspace(0, spec.num_draws - 1, _DRAWS).astype(np.intp)):
        truth = spec.draw(int(m))
        expected = _over_regimes(truth, functools.partial(_units_in_regime, truth, periods, rows))
        units.append(np.maximum(expected.sum(axis=1).mean(axis=0), _FEW))
    # At the regular price a factor on the price sensitivity is one on the elasticity.
    factor = np.maximum(spec.posterior.sensitivity.astype(np.float64), _FEW)
    errors = {"elasticity_error": np.log(factor), "level_error": np.log(units)}
    return {name: logs.std(axis=0).astype(np.float32) for name, logs in errors.items()}


def _units_in_regime(spec: MarketSpec, periods: NDArray, rows: Array, regime: int) -> Array:
    return expected_units(spec, periods, rows, regime=regime)


def rival_catalogue(spec: MarketSpec, offers: NDArray[np.intp]) -> Catalogue:
    """The catalogue of a rival: its products are its offers, in the categories of our products.

    Args:
        spec: The scenario; it must have competitors.
        offers: (R',) indices of the rival's offers.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import rival_catalogue
        >>> from repricer.scenarios import load_scenario
        >>> len(rival_catalogue(load_scenario("calvano-duopoly"), np.array([0])).products)
        1
    """
    rivals = spec.competitors
    assert rivals is not None, "only a market with competitors has rivals"
    periods = np.arange(spec.market.horizon_periods)
    rows = np.broadcast_to(spec.products.regular_price, (len(periods), spec.sizes["N"]))
    units = spec.visits * rival_units(spec, periods, rows, rivals.regular_price)[:, offers]
    elasticity = own_elasticity(
        lambda price: rival_units(spec, 0, np.broadcast_to(rows[0], (len(price), rows.shape[1])), price)[:, None],
        rivals.regular_price,
    )
    return Catalogue(
        products=tuple(rivals.names[r] for r in offers),
        segments=("everyone",),
        category=np.unique(spec.category_index[spec.competitor_product[offers]], return_inverse=True)[1],
        regular_price=rivals.regular_price[offers].astype(np.float32),
        unit_cost=rivals.unit_cost[offers].astype(np.float32),
        segment_elasticity=elasticity[:, offers].astype(np.float32),
        segment_units=units.mean(axis=0)[None].astype(np.float32),
        forecast_units=units.astype(np.float32),
        endless=spec.market.ending == "truncated",
        rivals=True,
    )


def _over_regimes(spec: MarketSpec, units_in: Callable[[int], Array]) -> Array:
    """Mean of (T, …) units over the regimes, by their probabilities in each period."""
    return np.sum([row[:, None, None] * units_in(z) for z, row in enumerate(spec.regime_probabilities().T)], axis=0)
