"""The best constant prices of a fitted market, and what follows from them: how far prices may leave what the shop charged,
and the profit below which an objective of revenue must not push them.

Where demand is elastic, revenue alone asks for the lowest prices everywhere. The market therefore
charges each unit a shadow cost: the share of the dearest cost that was assumed, at which the prices
with the highest revenue less shadow cost earn as much profit as the current prices. It is the
Lagrange multiplier of that floor for fixed prices; training adjusts it to what is learned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ..forecasting.models.lstm_network import reproducible_torch
from ..scenarios import MarketSpec, choice_model, goal_market
from ..scenarios.fields import ScenarioError
from ..scenarios.periods import planned_prices
from ..scenarios.planned_deals import course_of
from .assumptions import Assumptions, percent, unit_costs
from .fitted_models import FittedModels
from .market_builder import check_rules, price_range, remembered_prices

Array = NDArray[np.float64]


class PriceSearch:
    """Money and best constant prices, by gradient.

    Args:
        spec: The market; its posterior is ignored.

    Example:
        >>> from repricer import load_scenario
        >>> search = PriceSearch(load_scenario("stationary-logit"))
        >>> price = search.best(0.0, [5.0], [20.0])
        >>> bool(search.money(price, 0.0) >= search.money(np.array([11.0]), 0.0))
        True
    """

    def __init__(self, spec: MarketSpec) -> None:
        self.spec = spec
        self.regular = np.array(spec.products.regular_price)
        plan = planned_prices(spec)
        self._held = torch.tensor(spec.guardrails.held)
        self._plan = torch.tensor(plan)
        self._remembered = torch.tensor(course_of(spec, plan).reference)
        self._kept = torch.tensor(1 / (1 + spec.products.vat))
        self._start = np.ones_like(self.regular)

    def best(self, cost: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
        """(N,) prices with the highest revenue less cost over the horizon.

        Args:
            cost: (N,) or one for all: what a unit costs, currency.
            low: (N,) lowest prices, currency per unit; frozen products keep their planned prices.
            high: (N,) highest prices, currency per unit; one below the lowest price counts as that one.
        """
        held = self.spec.guardrails.held
        low, high = (np.where(held, 1.0, bound / self.regular) for bound in (np.asarray(low), np.maximum(low, high)))
        bounds = list(zip(low, high, strict=True))
        charged = torch.tensor(np.broadcast_to(cost, self.regular.shape).copy())

        def loss(x: Array) -> tuple[float, Array]:
            position = torch.tensor(x, requires_grad=True)
            price = position * torch.tensor(self.regular)
            value = -self._earned(price, charged)
            value.backward()
            assert position.grad is not None
            return float(value.detach()), position.grad.numpy()

        start = np.clip(self._start, *np.transpose(bounds))
        with reproducible_torch():
            found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
        self._start = found.x
        return found.x * self.regular

    def money(self, price: Array, cost: Array | float) -> float:
        """Revenue less cost of constant prices over the horizon, currency.

        Args:
            price: (N,) currency per unit.
            cost: As for `best`.
        """
        with torch.no_grad(), reproducible_torch():
            return float(self._earned(torch.tensor(price), torch.tensor(np.array(cost))))

    def _earned(self, price: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """Revenue less cost: of constant prices, which customers are used to, and of held products' planned ones."""
        rows = torch.where(self._held, self._plan, price.expand(len(self._plan), -1))
        remembered = torch.where(self._held, self._remembered, rows)
        units = choice_model(self.spec).units(np.arange(len(rows)), rows, reference=remembered)
        of_held = (rows - price) * self._kept * units.sum(dim=1)
        return ((price * self._kept - cost) * units.sum(dim=(0, 1))).sum() + of_held.sum()


# How far prices may leave what the shop charged: no further than it pays.

# Share of the best prices' money that a narrower range may cost.
_WORTH = 0.02
_SENSITIVITY_PARTS = (0.0, 0.5)


def narrowest(spec: MarketSpec, models: FittedModels, assumptions: Assumptions) -> Assumptions:
    """The assumptions with the narrowest range of prices that costs next to nothing.

    Tried are what was charged, half the widening that is allowed, and all of it.

    Args:
        spec: The fitted market, with all of the widening.
        models: The models that it was built from.
        assumptions: How far prices may leave what was charged.
    """
    widest = assumptions.price_widening
    if not widest:
        return assumptions
    goal = goal_market(spec)
    cost = goal.products.unit_cost if goal.market.objective == "profit" else np.zeros(len(goal.products.names))
    search = PriceSearch(spec)
    most = search.money(search.best(cost, *price_range(models, assumptions)), cost)
    for part in _SENSITIVITY_PARTS:
        tried = replace(assumptions, price_widening=part * widest)
        if not _allows(models, tried):
            continue
        if search.money(search.best(cost, *price_range(models, tried)), cost) >= most - _WORTH * abs(most):
            return tried
    return assumptions


def _allows(models: FittedModels, assumptions: Assumptions) -> bool:
    """Whether every product has an allowed price: price endings may lie beyond a narrow range."""
    try:
        check_rules(assumptions, models)
    except ScenarioError:
        return False
    return True


# The profit floor.

_STEP_HALVINGS = 8
# Share of the shop's own revenue by which the floor is kept with certainty.
_FLOOR_MARGIN = 0.01
# Least shadow cost of a profit floor, a share of the unit cost that it is held at.
_LEAST_SHADOW = 0.02


def shadow_cost(spec: MarketSpec, dearest: Array, own_profit: float) -> Array:
    """(N,) shadow cost of a unit, currency; zeros where the highest revenue keeps the floor anyway.

    Args:
        spec: The market, with an objective of revenue.
        dearest: (N,) highest assumed unit cost, currency per unit.
        own_profit: Profit of the current prices over the horizon at that cost, currency.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> shadow_cost(spec, np.array([4.0]), own_profit=-1e9).tolist()
        [0.0]
    """
    search = PriceSearch(spec)
    bounds = spec.price_bounds

    def profit(share: float) -> float:
        return search.money(search.best(share * dearest, *bounds), dearest)

    if profit(0.0) >= own_profit:
        return np.zeros_like(dearest)
    low = 0.0
    high = 1.0
    for _ in range(_STEP_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if profit(middle) >= own_profit else (middle, high)
    return high * dearest


def with_profit_floor(spec: MarketSpec, models: FittedModels, assumptions: Assumptions) -> MarketSpec:
    """The market with the shadow cost that keeps the profit of the current prices.

    Args:
        spec: The fitted market; one with another objective than revenue is returned as it is.
        models: The models that it was built from.
        assumptions: What was assumed of unit costs.
    """
    if spec.market.objective != "revenue":
        return spec
    known = unit_costs(models.products).notna().to_numpy()
    share = assumptions.cost_range(models.products)[:, 1]
    net = spec.products.net
    dearest = np.where(known, spec.products.unit_cost, share * net(models.regular_price))
    charged = models.current_price
    # Displays and mailers that are a decision come with no prices, neither with the shop's nor with those searched.
    periods = np.arange(spec.market.horizon_periods)
    units = choice_model(spec).units(periods, charged, reference=remembered_prices(models, charged)).sum(axis=1)
    own = float(((net(charged) - dearest) * units).sum())
    slack = _FLOOR_MARGIN * float((net(charged) * units).sum())
    # Fixed prices may keep the floor by themselves where a plan with deals does not: it and learning raise this cost as needed.
    cost = np.maximum(shadow_cost(spec, dearest, own + slack), _LEAST_SHADOW * dearest)
    note = (f"Revenue is maximised; at {_costs(known, share)}, profit must not fall below that of the current prices.",)
    floor = {"shadow_cost": cost, "floor_cost": dearest}
    return replace(spec.with_changes(products=floor), assumptions=(*spec.assumptions, *note))


def _costs(known: NDArray[np.bool_], share: Array) -> str:
    """The unit costs that the floor is held at."""
    if known.all():
        return "the known unit costs"
    assumed = f"the dearest assumed unit costs ({percent(share[~known])} of the regular price)"
    return f"known unit costs and {assumed}" if known.any() else assumed
