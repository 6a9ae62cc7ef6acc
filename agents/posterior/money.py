"""Expected money of price vectors over all posterior draws of a market, in closed form
with its gradient.

For logit markets with ample stock. One evaluation covers every draw, period and segment at once;
its formulas are those of `pricing.choice_formulas`, on tensors, which give the gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...pricing import choice_shares, felt_price
from ...pricing.choice_formulas import gap_effect, stocking_price
from ...scenarios import MarketSpec, choice_model
from ...scenarios.planned_deals import Remembered, course_of, planned_deals
from ...scenarios.sections import Array

# Numbers per array of one block of draws, which then fits into the cache, and the highest utility.
_BLOCK = 1 << 19
_HIGHEST = 600.0


class _Path(NamedTuple):
    """Prices by situation, and what follows from them (see `Course`), (S, J) each for J prices."""

    price: Tensor
    reference: Tensor
    shown: Tensor
    funding: Tensor


class Draws(NamedTuple):
    """The parameters that differ between draws, M draws first."""

    quality: Tensor  # (M, K, N)
    sensitivity: Tensor  # (M, K, N)
    rate: Tensor  # (M, T, C)
    cost: Tensor  # (M, N), zero where the objective is revenue
    shown: Tensor  # (M, K) utility of the product in the segment's slot
    gain: Tensor  # (M, N)
    loss: Tensor  # (M, N)
    units_gain: Tensor  # (M, N)
    units_loss: Tensor  # (M, N)

    @classmethod
    def of(cls, spec: MarketSpec) -> Draws:
        """All draws of a market; the market itself as the only one where it has no posterior."""
        none = np.zeros(spec.sizes["N"])
        no_slot = np.zeros(spec.sizes["K"])
        effects = ("gain", "loss", "units_gain", "units_loss")
        counts = float(spec.market.objective == "profit")
        rows = [
            (
                each.demand.quality,
                each.demand.price_sensitivity,
                each.arrivals.rate,
                counts * each.products.unit_cost,
                no_slot if each.recommendation is None else each.recommendation.lift,
                *(getattr(each.reference_price, name, none) for name in effects),
            )
            for each in [spec.draw(m) for m in range(spec.num_draws)] or [spec]
        ]
        return cls(*(_tensor(np.stack(column)) for column in zip(*rows, strict=True)))


@functools.lru_cache(maxsize=4)
def draws_of(spec: MarketSpec) -> Draws:
    """The stacked draws of a market, kept for the next call.

    Args:
        spec: The market; without a posterior it is the only draw.

    Example:
        >>> from repricer import load_scenario
        >>> tuple(draws_of(load_scenario("stationary-logit")).rate.shape)
        (1, 30, 1)
    """
    return Draws.of(spec)


@dataclass(frozen=True)
class _Situations:
    """S pairs of a period and a regime that may occur in it.

    Attributes:
        period: (S,) the period.
        utility: (S, C) utility added to the products of a category.
        sensitivity: (S, C) factor on price sensitivities.
        weight: (S,) probability of the regime, its factor on arrivals and the
            discount factor, multiplied.
        outside: (S, K, C) exp(utility) of leaving and of rival offers at their initial prices.
        product: (S, N) utility added to each product.
        saved: (S, N) holding cost that a unit sold saves, currency.
    """

    period: NDArray[np.intp]
    utility: Tensor
    sensitivity: Tensor
    weight: Tensor
    outside: Tensor
    product: Tensor
    saved: Tensor

    @classmethod
    def of(cls, spec: MarketSpec, periods: range, chances: Array | None) -> _Situations:
        """Those of some periods; chances: (Z,) probabilities of the regimes, by default those of each period."""
        model = choice_model(spec)
        demand = spec.demand
        regimes = spec.regimes
        by_period = spec.regime_probabilities()
        pairs = [
            (t, z, row[z])
            for t in periods
            for row in [by_period[t] if chances is None else chances]
            for z in np.flatnonzero(row)
        ]
        period, regime = (np.array([pair[i] for pair in pairs], dtype=np.intp) for i in (0, 1))
        added = np.zeros(len(pairs))
        factor = np.ones(len(pairs))
        arrivals = np.array([chance for *_, chance in pairs])
        if regimes is not None:
            added = regimes.utility[regime]
            factor = regimes.sensitivity[regime]
            arrivals = arrivals * regimes.arrivals[regime]
        outside = [model.outside_weight(int(t), regime=int(z) if regimes else None) for t, z, _ in pairs]
        stock = spec.stock
        last = spec.market.horizon_periods
        saved = np.zeros((len(pairs), spec.sizes["N"]))
        if spec.market.objective == "profit" and stock.replenishment == "order-up-to":
            # Stock is restored a lead time later, at the latest when the episode ends.
            saved = np.minimum(stock.lead_time_periods + 1, (last - period)[:, None]) * stock.holding_cost
        utility = demand.season[period] + added[:, None]
        sensitivity = demand.sensitivity_path[period] * factor[:, None]
        weight = arrivals * spec.market.discount_factor ** period.astype(np.float64)
        columns = (utility, sensitivity, weight, np.stack(outside), demand.quality_path[period], saved)
        return cls(period, *map(_tensor, columns))


def _tensor(values: ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64))


class PosteriorMoney:
    """Mean money over the draws, by category, of prices that are charged in some periods.

    Args:
        spec: The market; its demand family is mnl.
        draws: The draws to average over.
        period: One period with the prices as they are; None for whole episodes of fixed prices,
            which `max_change` lets rise or fall from the initial prices step by step.
        before: What customers remember before that period.
        chances: (Z,) probabilities of its regimes.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit")
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.5]], [[1.5]]]))
        >>> money = PosteriorMoney(spec, draws_of(spec))
        >>> low, high = money.by_draw(np.array([11.0]))
        >>> round(float(high / low), 6), round(float(money.value(np.array([11.0]))[0] / low), 6)
        (3.0, 2.0)
    """

    def __init__(
        self,
        spec: MarketSpec,
        draws: Draws,
        *,
        period: int | None = None,
        before: Remembered | None = None,
        chances: Array | None = None,
    ) -> None:
        self._spec = spec
        self._draws = draws
        self._whole = period is None
        periods = range(spec.market.horizon_periods) if period is None else range(period, period + 1)
        self._now = _Situations.of(spec, periods, chances)
        self._category = spec.category_index
        self._count = len(spec.category_names)
        self._regular = _tensor(spec.products.regular_price)
        self._curvature = _tensor(spec.demand.price_curvature)
        start = Remembered(spec.initial_reference, np.ones(spec.sizes["N"])) if before is None else before
        self._before = Remembered(*map(_tensor, start))
        self._first = 0 if period is None else period
        self._display = _tensor(choice_model(spec).promotion)
        self._deals = planned_deals(spec)
        if spec.promotion is not None:
            self._display = self._display[:, :0]
        returned = np.zeros(spec.sizes["N"]) if spec.returns is None else spec.returns.probability
        self._keeps = _tensor(1.0 - returned)
        self._handling = _tensor(np.zeros(spec.sizes["N"]))
        self._vat = _tensor(spec.products.vat)
        if spec.returns is not None and spec.market.objective == "profit":
            self._handling = _tensor(returned * spec.returns.handling_cost)
        self._begun = _tensor(spec.initial_price)
        self._planned = _tensor(spec.guardrails.planned_rows)
        self._held = spec.guardrails.follows_plan
        self._held_rows = _tensor(spec.guardrails.frozen_rows)
        self._segments = _tensor(spec.arrivals.segment_share.T)
        if spec.prices.max_change is not None:
            self._most = _tensor(np.broadcast_to(spec.prices.max_change, spec.sizes["N"]))
        everything = np.arange(len(self._begun))
        self._reach = None if spec.prices.max_change is None else self._within(self._begun, 0, everything)
        self._slot = _tensor(np.arange(spec.sizes["N"]) == spec.shown_by_recommender[:, None])

    @property
    def smooth(self) -> bool:
        """Whether the money has no kinks in the prices."""
        rising = self._whole and self._spec.prices.max_change is not None
        return self._spec.reference_price is None and self._deals is None and not rising

    def thinned(self, count: int) -> PosteriorMoney:
        """The same over at most so many draws, spread evenly."""
        number = self._number
        chosen = np.unique(np.linspace(0, number - 1, min(count, number)).astype(np.intp))
        return self._with(Draws(*(each[chosen] for each in self._draws)))

    def weighted(self, weight: Array) -> PosteriorMoney:
        """The same with the money of each draw multiplied by its (M,) weight."""
        return self._with(self._draws._replace(rate=self._draws.rate * _tensor(weight)[:, None, None]))

    def _with(self, draws: Draws) -> PosteriorMoney:
        made = object.__new__(PosteriorMoney)
        made.__dict__.update(self.__dict__ | {"_draws": draws})
        return made

    def value(self, price: Array) -> Array:
        """(C,) mean money over the draws at the (N,) prices, currency."""
        return self._by_category(self.by_product(price))

    def by_product(self, price: Array) -> Array:
        """(N,) the money of each product."""
        return np.sum([money.sum(dim=(0, 1)).numpy() for money in self._money(_tensor(price))], axis=0) / self._number

    def by_draw(self, price: Array) -> Array:
        """(M,) money of an episode at the (N,) prices in each draw, currency."""
        return torch.cat([money.sum(dim=(1, 2)) for money in self._money(_tensor(price))]).numpy()

    def value_and_gradient(self, price: Array) -> tuple[Array, Array]:
        """The value, and the (N,) derivative of each product's category with respect to its price."""
        given = _tensor(price).requires_grad_()
        value = np.zeros(len(price))
        for money in self._money(given):
            money.sum().backward()
            value += money.detach().sum(dim=(0, 1)).numpy()
        assert given.grad is not None
        return self._by_category(value / self._number), given.grad.numpy() / self._number

    @property
    def _number(self) -> int:
        return len(self._draws.cost)

    def _by_category(self, value: Array) -> Array:
        return np.bincount(self._category, value, minlength=self._count).astype(np.float64)

    def along(self, product: int, grid: Array, price: Array) -> Array:
        """(G,) mean money of a product's category where its price takes each value of a grid."""
        others = np.flatnonzero(self._category == self._category[product])
        others = others[others != product]
        tried = np.full(len(grid), product)
        c = self._category[product]
        total = np.zeros(len(grid))
        own = self._path(tried, _tensor(grid))
        rest = self._path(others, _tensor(price[others]))
        for block in self._blocks(len(grid) + len(others)):
            outside = self._now.outside[..., c, None]
            share = torch.zeros(())
            dearer = self._is_dearer(tried, own) or self._is_dearer(others, rest)
            alone = self._weighed(block, tried, own, dearer)
            beside = self._weighed(block, others, rest, dearer)
            for (weight, money), (weights, moneys) in zip(alone, beside, strict=True):
                earned = money + moneys.sum(dim=-1, keepdim=True)
                share = share + earned / (outside + weight + weights.sum(dim=-1, keepdim=True))
            total += torch.einsum("msk,mskg->g", self._customers(block)[..., c], share).numpy()
        return total / self._number

    def _money(self, price: Tensor) -> Iterator[Tensor]:
        """(M, S, N) money of each product in blocks of draws."""
        everything = np.arange(len(price))
        for block in self._blocks(len(price)):
            # The path is part of each block, whose gradient is then taken alone.
            path = self._path(everything, price)
            money = torch.zeros(())
            for at, margin in self._bought(block, everything, path, self._is_dearer(everything, path)):
                share = choice_shares(self._utility(block, everything, at), self._category, self._now.outside).product
                units = (self._customers(block)[..., self._category] * share).sum(dim=2)
                money = money + units * margin
            yield money

    def _weighed(self, block: Draws, index: NDArray[np.intp], path: _Path, dearer: bool) -> list[tuple[Tensor, Tensor]]:
        """The weights of these products in customers' choice, (M, S, K, J), and what they earn at these weights, at both paths
        of `_bought`.
        """
        found = []
        for at, margin in self._bought(block, index, path, dearer):
            weight = self._utility(block, index, at).clip(max=_HIGHEST).exp()
            found.append((weight, weight * margin[:, :, None]))
        return found

    def _usual(self, index: NDArray[np.intp], path: _Path) -> Tensor:
        """(S, J) prices of these products that are no higher than customers are used to."""
        return stocking_price(path.price, path.reference, self._regular[index])

    def _is_dearer(self, index: NDArray[np.intp], path: _Path) -> bool:
        """Whether customers who stock up meet a price that is higher than they are used to."""
        return self._spec.stocks_up and bool((self._usual(index, path) < path.price).any())

    def _bought(self, block: Draws, index: NDArray[np.intp], path: _Path, dearer: bool) -> list[tuple[_Path, Tensor]]:
        """Paths of prices at which customers choose, and the (M, S, J) money of a purchase that is counted at each: where some
        price is dearer than usual, that of more than one unit at the usual prices, see `units_taken`.
        """
        margin = self._margin(block, index, path)
        if not self._spec.stocks_up:
            return [(path, margin)]
        usual = path._replace(price=self._usual(index, path))
        factor = self._of_gap(usual.price, path, block.units_gain[:, index], block.units_loss[:, index]).exp()
        if not dearer:
            return [(path, margin * factor)]
        least = factor.clip(max=1.0)
        return [(path, margin * least), (usual, margin * (factor - least))]

    def _blocks(self, columns: int) -> Iterator[Draws]:
        """The draws in blocks whose arrays fit into memory."""
        each = len(self._now.period) * self._draws.quality.shape[1] * max(columns, 1)
        size = max(1, _BLOCK // each)
        for first in range(0, self._number, size):
            yield Draws(*(part[first : first + size] for part in self._draws))

    def _path(self, index: NDArray[np.intp], price: Tensor) -> _Path:
        """The path of fixed prices of these products by situation."""
        spec = self._spec
        periods = self._now.period
        if self._whole and self._at_once(index, price):
            one = price.new_ones((len(periods), 1))
            return _Path(one * price, one * self._before.reference[index], 0.0 * one * price, 0.0 * one * price)
        now = self._begun[index]
        rows = []
        for t in range(spec.market.horizon_periods if self._whole else 1):
            now = price if self._reach is None or not self._whole else price.clip(*self._within(now, t, index))
            rows.append(self._with_plan(now, self._first + t, index))
        charged = torch.stack(rows)
        begun = Remembered(*(part[index] for part in self._before))
        if not charged.requires_grad:  # small arrays take numpy half the time
            charged = charged.numpy()
            begun = Remembered(*(part.numpy() for part in begun))
        course = course_of(spec, charged, products=index, first=self._first, before=begun)
        place = periods - self._first
        return _Path(
            *(torch.as_tensor(part[place]) for part in (charged, course.reference, course.shown, course.funding))
        )

    def _with_plan(self, price: Tensor, period: int, index: NDArray[np.intp]) -> Tensor:
        """(J,) prices of these products in a period, of which those that follow the plan have its."""
        held = self._held[index]
        if not held.any():
            return price
        planned = self._held_rows[min(period, len(self._held_rows) - 1), index]
        return torch.where(torch.as_tensor(held), planned, price)

    def _within(self, now: Tensor, t: int, index: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """(J,) lowest and highest price of these products in period t, given the prices before it."""
        most = self._most[index]
        low = now * (1 - most)
        high = now * (1 + most)
        if not len(self._planned):
            return low, high
        planned = self._planned[t, index]
        return torch.minimum(low, planned), torch.maximum(high, planned)

    def _at_once(self, index: NDArray[np.intp], price: Tensor) -> bool:
        """Whether fixed prices of these products hold from the first period on, and nothing remembers others."""
        if self._spec.reference_price is not None or self._deals is not None or self._held[index].any():
            return False
        if self._reach is None:
            return True
        low, high = self._reach
        return bool(((price >= low[index]) & (price <= high[index])).all())

    def _utility(self, draws: Draws, index: NDArray[np.intp], path: _Path) -> Tensor:
        """(M, S, K, J) utility of these products."""
        now = self._now
        c = self._category[index]
        common = (now.utility[:, c] + now.product[:, index])[None]
        if self._spec.reference_price is not None:
            common = common + self._of_gap(path.price, path, draws.gain[:, index], draws.loss[:, index])
        felt = felt_price(path.price, self._regular[index], self._curvature[index])
        steep = draws.sensitivity[:, None, :, index] * (now.sensitivity[:, c] * felt)[:, None]
        fixed = draws.quality[..., index] + self._slot[:, index] * draws.shown[..., None]
        utility = fixed[:, None] - steep + common[:, :, None]
        if self._display.shape[1]:
            utility = utility + self._display[:, index] * path.shown[:, None]
        return utility

    def _of_gap(self, price: Tensor, path: _Path, gain: Tensor, loss: Tensor) -> Tensor:
        """(M, S, J) effect of the distance of (S, J) prices from the reference prices; gain, loss: (M, J)."""
        assert self._spec.reference_price is not None
        return gap_effect(choice_model(self._spec).gap(price, path.reference), gain[:, None], loss[:, None])

    def _margin(self, draws: Draws, index: NDArray[np.intp], path: _Path) -> Tensor:
        """(M, S, J) money of a unit."""
        fixed = self._now.saved[:, index] - self._handling[index]
        net = path.price / (1 + self._vat[index])
        margin = self._keeps[index] * (net - draws.cost[:, None, index]) + fixed
        if self._spec.market.objective == "profit":
            margin = margin + path.funding
        return margin

    def _customers(self, draws: Draws) -> Tensor:
        """(M, S, K, C) mean customers, weighted by probability and discount."""
        rate = draws.rate[:, self._now.period] * self._now.weight[:, None]
        return rate[:, :, None] * self._segments
