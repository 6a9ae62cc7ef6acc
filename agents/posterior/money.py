"""Expected money of price vectors over all posterior draws of a market, in closed form
with its gradient.

For logit markets with ample stock. One evaluation covers every draw, period and segment at once;
the formulas are those of `pricing.ChoiceModel`, and tests hold the two to each other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...pricing import choice_shares, felt_price
from ...pricing.choice_formulas import stocking_price
from ...scenarios import MarketSpec, choice_model
from ...scenarios.periods import planned_prices, simulated_prices
from ...scenarios.sections import Array

# Numbers per array of one block of draws, which then fits into the cache, and the highest utility.
_BLOCK, _HIGHEST = 1 << 19, 600.0


class _Path(NamedTuple):
    """A fixed price by period, (S, J) each for J prices.

    Attributes:
        price: What is charged.
        slope: Its derivative with respect to the fixed price.
        reference: The reference price.
        reference_slope: Its derivative.
    """

    price: Array
    slope: Array
    reference: Array
    reference_slope: Array


class Draws(NamedTuple):
    """The parameters that differ between draws, M draws first."""

    quality: Array  # (M, K, N)
    sensitivity: Array  # (M, K, N)
    rate: Array  # (M, T, C)
    cost: Array  # (M, N), zero where the objective is revenue
    shown: Array  # (M, K) utility of the product in the segment's slot
    gain: Array  # (M, N)
    loss: Array  # (M, N)
    units_gain: Array  # (M, N)
    units_loss: Array  # (M, N)

    @classmethod
    def of(cls, spec: MarketSpec) -> Draws:
        """All draws of a market; the market itself as the only one where it has no posterior."""
        specs = [spec.draw(m) for m in range(spec.num_draws)] or [spec]
        none, slots = np.zeros(spec.sizes["N"]), spec.recommendation is not None
        no_slot = np.zeros(spec.sizes["K"])
        counts = float(spec.market.objective == "profit")
        columns = zip(
            *(
                (
                    each.demand.quality,
                    each.demand.price_sensitivity,
                    each.arrivals.rate,
                    counts * each.products.unit_cost,
                    each.recommendation.lift if slots and each.recommendation else no_slot,
                    *(
                        getattr(each.reference_price, key) if each.reference_price else none
                        for key in ("gain", "loss", "units_gain", "units_loss")
                    ),
                )
                for each in specs
            ),
            strict=True,
        )
        return cls(*(np.stack(column) for column in columns))


@functools.lru_cache(maxsize=4)
def draws_of(spec: MarketSpec) -> Draws:
    """The stacked draws of a market, kept for the next call.

    Args:
        spec: The market; without a posterior it is the only draw.

    Example:
        >>> from repricer import load_scenario
        >>> draws_of(load_scenario("stationary-logit")).rate.shape
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
    utility: Array
    sensitivity: Array
    weight: Array
    outside: Array
    product: Array
    saved: Array

    @classmethod
    def of(cls, spec: MarketSpec, periods: range, chances: Array | None) -> _Situations:
        """Those of some periods; chances: (Z,) probabilities of the regimes, by default those of each period."""
        model, demand, regimes = choice_model(spec), spec.demand, spec.regimes
        by_period = spec.regime_probabilities()
        pairs = [
            (t, z, row[z])
            for t in periods
            for row in [by_period[t] if chances is None else chances]
            for z in np.flatnonzero(row)
        ]
        period, regime = (np.array([pair[i] for pair in pairs], dtype=np.intp) for i in (0, 1))
        added, factor, arrivals = np.zeros(len(pairs)), np.ones(len(pairs)), np.array([chance for *_, chance in pairs])
        if regimes is not None:
            added, factor = regimes.utility[regime], regimes.sensitivity[regime]
            arrivals = arrivals * regimes.arrivals[regime]
        outside = [model.outside_weight(int(t), regime=int(z) if regimes else None) for t, z, _ in pairs]
        stock, last = spec.stock, spec.market.horizon_periods
        saved = np.zeros((len(pairs), spec.sizes["N"]))
        if spec.market.objective == "profit" and stock.replenishment == "order-up-to":
            # Stock is restored a lead time later, at the latest when the episode ends.
            saved = np.minimum(stock.lead_time_periods + 1, (last - period)[:, None]) * stock.holding_cost
        return cls(
            period=period,
            utility=demand.season[period] + added[:, None],
            sensitivity=demand.sensitivity_path[period] * factor[:, None],
            weight=arrivals * spec.market.discount_factor ** period.astype(np.float64),
            outside=np.stack(outside),
            product=demand.quality_path[period],
            saved=saved,
        )


class PosteriorMoney:
    """Mean money over the draws, by category, of prices that are charged in some periods.

    Args:
        spec: The market; its demand family is mnl.
        draws: The draws to average over.
        period: One period with the prices as they are; None for whole episodes of fixed prices,
            which `max_change` lets rise or fall from the initial prices step by step.
        reference: (N,) reference prices of that period.
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
        reference: Array | None = None,
        chances: Array | None = None,
    ) -> None:
        self._spec, self._draws, self._whole = spec, draws, period is None
        periods = range(spec.market.horizon_periods) if period is None else range(period, period + 1)
        self._now = _Situations.of(spec, periods, chances)
        self._category, self._count = spec.category_index, len(spec.category_names)
        self._regular, self._curvature = spec.products.regular_price, spec.demand.price_curvature
        self._reference = spec.initial_reference if reference is None else reference
        # Where customers are used to what a course of prices costs at most, this is the plan's (`reference_path`).
        fitted = spec.reference_price is not None and spec.history is not None and reference is None
        self._usual = simulated_prices(spec, planned_prices(spec)).max(axis=0) if fitted else None
        self._keeps = 1.0 - (np.zeros(spec.sizes["N"]) if spec.returns is None else spec.returns.probability)
        self._begun = spec.initial_price
        self._planned = spec.guardrails.planned_rows
        self._reach = (
            None if spec.prices.max_change is None else self._within(self._begun, 0, np.arange(len(self._begun)))
        )
        counts, returns = float(spec.market.objective == "profit"), spec.returns
        self._handling = np.zeros(spec.sizes["N"])
        if returns is not None:
            self._handling = counts * returns.probability * returns.handling_cost
        self._slot = np.arange(spec.sizes["N"]) == spec.shown_by_recommender[:, None]

    @property
    def smooth(self) -> bool:
        """Whether the money has no kinks in the prices."""
        return self._spec.reference_price is None and not (self._whole and self._spec.prices.max_change is not None)

    def thinned(self, count: int) -> PosteriorMoney:
        """The same over at most so many draws, spread evenly."""
        number = len(self._draws.cost)
        chosen = np.unique(np.linspace(0, number - 1, min(count, number)).astype(np.intp))
        return self._with(Draws(*(each[chosen] for each in self._draws)))

    def weighted(self, weight: Array) -> PosteriorMoney:
        """The same with the money of each draw multiplied by its (M,) weight."""
        return self._with(self._draws._replace(rate=self._draws.rate * weight[:, None, None]))

    def _with(self, draws: Draws) -> PosteriorMoney:
        made = object.__new__(PosteriorMoney)
        made.__dict__.update(self.__dict__ | {"_draws": draws})
        return made

    def value(self, price: Array) -> Array:
        """(C,) mean money over the draws at the (N,) prices, currency."""
        return self._by_category(self.by_product(price))

    def by_product(self, price: Array) -> Array:
        """(N,) the money of each product."""
        return self._evaluate(price, slope=False)[0]

    def by_draw(self, price: Array) -> Array:
        """(M,) money of an episode at the (N,) prices in each draw, currency."""
        everything, c = np.arange(len(price)), self._category
        path, parts = self._path(everything, price), []
        for block in self._blocks(len(price)):
            share = choice_shares(self._utility(block, everything, path), c, self._now.outside).product
            units = self._customers(block)[..., c] * share
            parts.append(np.einsum("mskn,msn->m", units, self._margin(block, everything, path)))
        return np.concatenate(parts)

    def value_and_gradient(self, price: Array) -> tuple[Array, Array]:
        """The value, and the (N,) derivative of each product's category with respect to its price."""
        value, gradient = self._evaluate(price, slope=True)
        return self._by_category(value), gradient

    def _by_category(self, value: Array) -> Array:
        return np.bincount(self._category, value, minlength=self._count).astype(np.float64)

    def along(self, product: int, grid: Array, price: Array) -> Array:
        """(G,) mean money of a product's category where its price takes each value of a grid."""
        others = np.flatnonzero(self._category == self._category[product])
        others = others[others != product]
        c, total = self._category[product], np.zeros(len(grid))
        own, rest = self._path(np.full(len(grid), product), grid), self._path(others, price[others])
        for block in self._blocks(len(grid) + len(others)):
            customers = self._customers(block, slice(c, c + 1))[..., 0]
            weights, money = [], []
            for index, path in ((np.full(len(grid), product), own), (others, rest)):
                weight = np.exp(np.minimum(self._utility(block, index, path), _HIGHEST))
                weights.append(weight)
                money.append(weight * self._margin(block, index, path)[:, :, None])
            beside, earned = weights[1].sum(axis=-1) + self._now.outside[..., c], money[1].sum(axis=-1)
            share = (money[0] + earned[..., None]) / (beside[..., None] + weights[0])
            total += np.einsum("msk,mskg->g", customers, share)
        return total / len(self._draws.cost)

    def _evaluate(self, price: Array, slope: bool) -> tuple[Array, Array]:
        everything, c = np.arange(len(price)), self._category
        path, value, gradient = self._path(everything, price), np.zeros(len(price)), np.zeros(len(price))
        for block in self._blocks(len(price)):
            share = choice_shares(self._utility(block, everything, path), c, self._now.outside).product
            units = self._customers(block)[..., c] * share
            margin = self._margin(block, everything, path)[:, :, None]
            value += np.einsum("mskn,msn->n", units, margin[:, :, 0])
            if slope:
                mean = (share * margin) @ np.eye(self._count)[c]
                more = self._units_factor(block, everything, path)
                gradient += (units * (more * self._keeps * path.slope)[:, :, None]).sum(axis=(0, 1, 2))
                if self._spec.stocks_up:
                    rate = self._units_slope(block, path)
                    gradient += (units * margin * rate[:, :, None]).sum(axis=(0, 1, 2))
                gradient += (units * self._effect(block, path) * (margin - mean[..., c])).sum(axis=(0, 1, 2))
        number = len(self._draws.cost)
        return value / number, gradient / number

    def _blocks(self, columns: int) -> Iterator[Draws]:
        """The draws in blocks whose arrays fit into memory."""
        each = len(self._now.period) * self._draws.quality.shape[1] * max(columns, 1)
        size = max(1, _BLOCK // each)
        for first in range(0, len(self._draws.cost), size):
            yield Draws(*(part[first : first + size] for part in self._draws))

    def _path(self, index: NDArray[np.intp], price: Array) -> _Path:
        """The path of fixed prices of these products by situation."""
        spec, periods = self._spec, self._now.period
        if not self._whole or self._at_once(index, price):
            one, reference = np.ones((len(periods), 1)), self._reference[index]
            return _Path(one * price, one * np.ones_like(price), one * reference, 0 * one * reference)
        now, rows = self._begun[index], []
        for t in range(spec.market.horizon_periods):
            now = price if self._reach is None else np.clip(price, *self._within(now, t, index))
            rows.append(now)
        reached = np.stack(rows)
        slope = (reached == price).astype(np.float64)
        memory = 1.0 if spec.reference_price is None else spec.reference_price.memory
        reference, reference_slope = np.empty_like(reached), np.empty_like(reached)
        reference[0], reference_slope[0] = self._before(index, reached, slope)
        for t in range(1, len(reached)):
            reference[t] = memory * reference[t - 1] + (1 - memory) * reached[t - 1]
            reference_slope[t] = memory * reference_slope[t - 1] + (1 - memory) * slope[t - 1]
        return _Path(*(rows[periods] for rows in (reached, slope, reference, reference_slope)))

    def _before(self, index: NDArray[np.intp], reached: Array, slope: Array) -> tuple[Array, Array]:
        """(J,) reference prices before the first of (T, J) prices, and their derivative with respect to the fixed price."""
        begun = self._reference[index]
        if self._usual is None:
            return begun.astype(np.float64), np.zeros(len(index))
        highest = reached.argmax(axis=0)[None]
        start = begun * np.take_along_axis(reached, highest, 0)[0] / self._usual[index]
        lower = start < begun
        moves = np.take_along_axis(slope, highest, 0)[0] * begun / self._usual[index]
        return np.where(lower, start, begun), np.where(lower, moves, 0.0)

    def _within(self, now: Array, t: int, index: NDArray[np.intp]) -> tuple[Array, Array]:
        """(J,) lowest and highest price of these products in period t, given the prices before it."""
        most = np.asarray(self._spec.prices.max_change)[index]
        low, high = now * (1 - most), now * (1 + most)
        if not len(self._planned):
            return low, high
        planned = self._planned[t, index].astype(np.float64)
        return np.minimum(low, planned), np.maximum(high, planned)

    def _at_once(self, index: NDArray[np.intp], price: Array) -> bool:
        """Whether fixed prices of these products hold from the first period on, and nothing remembers others."""
        if self._spec.reference_price is not None:
            return False
        if self._reach is None:
            return True
        low, high = self._reach
        return bool(((price >= low[index]) & (price <= high[index])).all())

    def _utility(self, draws: Draws, index: NDArray[np.intp], path: _Path) -> Array:
        """(M, S, K, J) utility of these products."""
        now, c = self._now, self._category[index]
        common = (now.utility[:, c] + now.product[:, index])[None]
        if self._spec.reference_price is not None:
            common = common + self._of_away(draws.gain[:, index], draws.loss[:, index], path, self._away(path))
        felt = felt_price(path.price, self._regular[index], self._curvature[index])
        steep = draws.sensitivity[:, None, :, index] * (now.sensitivity[:, c] * felt)[:, None]
        fixed = draws.quality[..., index] + self._slot[:, index] * draws.shown[..., None]
        return fixed[:, None] - steep + common[:, :, None]

    def _effect(self, draws: Draws, path: _Path) -> Array:
        """(M, S, K, N) derivative of the utility with respect to the fixed price."""
        felt_slope = path.slope * (1 + self._curvature * (self._regular / path.price - 1))
        steep = draws.sensitivity[:, None] * (self._now.sensitivity[:, self._category] * felt_slope)[:, None]
        if self._spec.reference_price is None:
            return -steep
        return self._of_away(draws.gain, draws.loss, path, self._away_slope(path))[:, :, None] - steep

    @staticmethod
    def _of_away(gain: Array, loss: Array, path: _Path, away: Array) -> Array:
        """(M, S, J) effect of a distance from the reference price, or its derivative; gain, loss: (M, J)."""
        return np.where(path.reference > path.price, gain[:, None], loss[:, None]) * away

    def _away(self, path: _Path) -> Array:
        """(S, J) how far prices are below the reference prices."""
        return path.reference - path.price if self._linear else np.log1p(path.reference / path.price - 1)

    def _away_slope(self, path: _Path) -> Array:
        """(S, J) its derivative with respect to the fixed price."""
        if self._linear:
            return path.reference_slope - path.slope
        return path.reference_slope / path.reference - path.slope / path.price

    def _units_factor(self, draws: Draws, index: NDArray[np.intp], path: _Path) -> Array:
        """(M, S, J), or a one, the factor on the units that the buyers take."""
        if not self._spec.stocks_up:
            return np.ones((1, 1, 1))
        met = path._replace(price=stocking_price(path.price, path.reference, self._regular[index]))
        return np.exp(self._of_away(draws.units_gain[:, index], draws.units_loss[:, index], met, self._away(met)))

    def _units_slope(self, draws: Draws, path: _Path) -> Array:
        """(M, S, N) derivative of the logarithm of `_units_factor` with respect to the fixed price."""
        regular = np.broadcast_to(self._regular, path.price.shape)
        price = stocking_price(path.price, path.reference, regular)
        # Above the regular price and the reference, that which buyers compare is the higher of these two.
        ends = np.where(path.reference > regular, path.reference_slope, 0.0)
        met = path._replace(price=price, slope=np.where(price < path.price, ends, path.slope))
        return self._of_away(draws.units_gain, draws.units_loss, met, self._away_slope(met))

    @property
    def _linear(self) -> bool:
        return self._spec.reference_price is not None and self._spec.reference_price.scale == "linear"

    def _margin(self, draws: Draws, index: NDArray[np.intp], path: _Path) -> Array:
        """(M, S, J) money of a purchase, of one unit unless customers stock up."""
        keeps = self._keeps[index]
        fixed = self._now.saved[:, index] - self._handling[index]
        margin = keeps * (path.price - draws.cost[:, None, index]) + fixed
        return self._units_factor(draws, index, path) * margin if self._spec.stocks_up else margin

    def _customers(self, draws: Draws, only: slice = slice(None)) -> Array:
        """(M, S, K, C) mean customers, weighted by probability and discount; `only` some of the categories."""
        rate = draws.rate[:, self._now.period, only] * self._now.weight[:, None]
        return rate[:, :, None] * self._spec.arrivals.segment_share.T[:, only]
