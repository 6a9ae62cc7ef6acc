"""How customers answer to regular prices, from how these differ between stores and over the weeks.

Deals move far more units than regular prices of the same size, so they tell little of the latter. Weeks on deal are
therefore left out here, and those in which most stores are on deal in all of them: a store that sits the chain's deal out
would else be compared with stores on deal. Stores are compared with each other in blocks of eight weeks: with an effect of every
product in every block and of every product in every store, only changes in the differences between stores count. The
level of a store's prices, which the shop may have chosen by its customers, does not.

Experiments add an estimate of their own: prices that were assigned at random go with nothing else, so that estimate has no
allowance for it. It compares stores week by week, and takes the price that was assigned, not the one charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from ...pricing.planned_deals import DEAL as DEAL_SHARE
from .priors import Priors

Array = NDArray[np.float64]
DEAL = (0.95, 0.97, 0.98, 0.99)
"""A price below this share of the regular one is a deal; each definition is tried."""
BLOCK_WEEKS = 8
# Weeks not on deal that a product needs in a block and store; a regular price that moves by less stands still.
_LEAST_WEEKS = 2
_STILL = 0.01
# Standard deviation of what else may move with regular prices, by elasticity: between stores and over time.
_BIAS_STORES = 0.3
_BIAS_WEEKS = 0.7
# With fewer stores, clusters of them tell no standard error.
_FEW = 8
# Observations over time, beside the means that are removed, without which their response is not estimated.
_LEAST_FREE = 2
_ROUNDS = 200
_CLOSE = 1e-8
_PRIOR_DRAWS = 2_000
_GRID = np.geomspace(0.02, 12.0, 600)


@dataclass(frozen=True)
class ElasticityEstimate:
    """An elasticity with its standard error, which allows for what else moves with prices; infinite without data."""

    value: float = 0.0
    error: float = np.inf

    def __and__(self, other: ElasticityEstimate) -> ElasticityEstimate:
        """Both estimates together, weighted by precision."""
        weight = np.array([self.error**-2, other.error**-2])
        if not weight.any():
            return ElasticityEstimate()
        return ElasticityEstimate(float(weight @ [self.value, other.value] / weight.sum()), float(weight.sum() ** -0.5))

    def log_likelihood(self, elasticity: Array) -> Array:
        """Of absolute elasticities, up to a constant."""
        return -0.5 * ((-elasticity - self.value) / self.error) ** 2


@dataclass(frozen=True)
class ExperimentEvidence:
    """What price experiments tell of a category.

    Attributes:
        before: The response without them.
        cells: Number of stores, weeks and products that were read, tested or control.
        broken: Number of those that charged another price than the calendar's, by store; they were not read.
    """

    before: LastingResponse
    cells: int
    broken: dict[str, int]


@dataclass(frozen=True)
class LastingResponse:
    """What a category's sales tell of its response to regular prices.

    Attributes:
        relative: By definition of a deal, the elasticity of a product's share of its category in its own price.
        category: The elasticity of the category's units when all of its regular prices move together.
        moves: Number of blocks, stores and products whose regular price moved by 1% or more against the block before.
        stores: Number of stores compared.
        experiment: What experiments add, which `relative` and `category` hold; None without any.

    Example:
        >>> float(LastingResponse().draws(Priors(), 500, seed=0)[0].mean().round(1))
        2.0
    """

    relative: tuple[ElasticityEstimate, ...] = (ElasticityEstimate(),)
    category: ElasticityEstimate = ElasticityEstimate()
    moves: int = 0
    stores: int = 0
    experiment: ExperimentEvidence | None = None

    @property
    def is_known(self) -> bool:
        """Whether the sales tell anything of the response to regular prices."""
        return bool(np.isfinite([each.error for each in (*self.relative, self.category)]).any())

    def draws(self, priors: Priors, count: int, seed: int) -> tuple[Array, Array]:
        """(M,) draws of both absolute elasticities, each definition of a deal as likely as the others.

        Args:
            priors: Their priors.
            count: M.
            seed: Seed of the draws.
        """
        generator = np.random.default_rng(seed)
        # The number of the definition that each draw is under.
        chosen = generator.integers(len(self.relative), size=count)
        uniform = generator.random((2, count))
        drawn = []
        # An estimate for each definition; that of the category is the same under all.
        by_definition = (self.relative, (self.category,) * len(self.relative))
        for estimates, log_prior, probabilities in zip(by_definition, _log_priors(priors), uniform, strict=True):
            # The posterior on the grid, whose steps grow with the elasticity, and draws by inverting its distribution.
            log_density = np.array([log_prior + estimate.log_likelihood(_GRID) for estimate in estimates])
            mass = np.exp(log_density - log_density.max(axis=1, keepdims=True)) * _GRID
            cumulative = np.cumsum(mass / mass.sum(axis=1, keepdims=True), axis=1)
            pairs = zip(probabilities, chosen, strict=True)
            drawn.append(np.array([np.interp(probability, cumulative[number], _GRID) for probability, number in pairs]))
        relative, category = drawn
        # A category loses no more customers than its products lose to each other and to it.
        return relative, np.minimum(category, 0.95 * relative)

    def prior_draws(self, priors: Priors) -> tuple[Array, Array]:
        """Draws of both absolute elasticities before any sales are seen."""
        return LastingResponse().draws(priors, _PRIOR_DRAWS, seed=0)

    def log_likelihood(self, relative: Array, category: Array) -> float:
        """Of draws of both elasticities: the logarithm of its mean over them and the definitions of a deal."""
        each = [own.log_likelihood(relative) + self.category.log_likelihood(category) for own in self.relative]
        return float(np.logaddexp.reduce(np.ravel(each)) - np.log(np.size(each)))


def _log_priors(priors: Priors) -> tuple[Array, Array]:
    """Log densities of both absolute elasticities on the grid, by their logarithms."""
    pairs = ((priors.lasting, priors.lasting_spread), (priors.category, priors.category_response_spread))
    first, second = (
        -0.5 * ((np.log(_GRID) - np.log(median)) / spread) ** 2 - np.log(_GRID) for median, spread in pairs
    )
    return first, second


def lasting_response(panel: xr.Dataset, products: Sequence[str], per_week: int = 1) -> LastingResponse:
    """Estimate the response of one category to its regular prices.

    Args:
        panel: The sales of every store, as `data.with_prices` returns them.
        products: Products of the category.
        per_week: Number of the panel's periods in a week.

    Example:
        >>> lasting_response(panel, ["tea", "coffee"]).relative[0].value  # doctest: +SKIP
        -1.9
    """
    own, tested = _sales_of(panel, products)
    blocks = [_Blocks(*_arrays(own.isel(week=~tested)), per_week * BLOCK_WEEKS, share) for share in DEAL]
    found = LastingResponse(
        relative=tuple(each.relative(by_store=True) & each.relative(by_store=False) for each in blocks),
        category=blocks[0].category(),
        moves=blocks[0].moves(),
        stores=own.sizes["store"],
    )
    return _with_experiment(found, own, tested, per_week) if tested.any() else found


def between_stores(
    panel: xr.Dataset, products: Sequence[str], per_week: int = 1, *, without_chain_deals: bool = True
) -> tuple[ElasticityEstimate, ...]:
    """By definition of a deal, the part of `LastingResponse.relative` that comes from differences between stores.

    Args:
        panel: As of `lasting_response`.
        products: Products of the category.
        per_week: Number of the panel's periods in a week.
        without_chain_deals: Whether the weeks in which most stores are on deal are left out in all of them, as they are in
            `lasting_response`; if not, to see what that changes, only in the stores that are on deal.

    Example:
        >>> between_stores(panel, ["tea", "coffee"])[0].value  # doctest: +SKIP
        -2.1
    """
    own, tested = _sales_of(panel, products)
    values = _arrays(own.isel(week=~tested))
    length = per_week * BLOCK_WEEKS
    blocks = [_Blocks(*values, length, share, without_chain_deals=without_chain_deals) for share in DEAL]
    return tuple(each.relative(by_store=True) for each in blocks)


def _sales_of(panel: xr.Dataset, products: Sequence[str]) -> tuple[xr.Dataset, NDArray[np.bool_]]:
    """The sales of some products, and which weeks have an experiment."""
    own = panel.sel(product=list(products)).transpose("store", "week", "product")
    tested = np.zeros(own.sizes["week"], dtype=bool)
    if "assigned" in own:
        tested = own["assigned"].notnull().any(["store", "product"]).to_numpy()
    return own, tested


def _arrays(own: xr.Dataset) -> tuple[Array, Array, Array]:
    units, price, regular = (own[name].to_numpy() for name in ("units", "price", "regular_price"))
    return units, price, regular


def _with_experiment(
    found: LastingResponse, own: xr.Dataset, tested: NDArray[np.bool_], per_week: int
) -> LastingResponse:
    """A response with what experiments add, compared with as many weeks before."""
    when = np.flatnonzero(tested)
    before = np.flatnonzero(~tested[: when[-1]])[-len(when) :]
    here = own.isel(week=np.sort(np.concatenate([when, before])))
    units, price, regular = _arrays(here)
    assigned, followed, broken = (here[name].to_numpy() for name in ("assigned", "followed", "broken"))
    inside = np.isfinite(assigned)
    sold = np.isfinite(assigned) & (units > 0)
    # What was not sold in an open store had a price, too: a calendar tells it.
    usual = np.broadcast_to(here["regular_price"].median("week").to_numpy()[:, None], regular.shape)
    regular = np.where(inside, here["tested_price"], np.where(np.isfinite(regular), regular, usual))
    planned = np.log(np.where(inside, here["planned_price"], regular))
    price = np.where(np.isfinite(price) | ~(units > 0).any(axis=2, keepdims=True), price, regular)
    regular = np.where(inside & (followed == 0), np.nan, regular)
    ratio = np.where(inside, assigned, 0.0)
    blocks = [_AssignedBlocks(units, price, regular, ratio, planned, per_week, share) for share in DEAL]
    elsewhere = zip(here.indexes["store"], np.where(sold, broken, 0).sum(axis=(1, 2)).astype(int).tolist(), strict=True)
    return replace(
        found,
        relative=tuple(usual & each.assigned_relative() for usual, each in zip(found.relative, blocks, strict=True)),
        category=found.category & blocks[0].category(),
        experiment=ExperimentEvidence(
            found, int((sold & (followed > 0)).sum()), {str(name): n for name, n in elsewhere if n}
        ),
    )


class _Blocks:
    """Sales by store, block of weeks and product: (S, B, N) means of the weeks in which a product was not on deal."""

    def __init__(
        self,
        units: Array,
        price: Array,
        regular: Array,
        length: int,
        share: float,
        *,
        without_chain_deals: bool = True,
    ) -> None:
        stores, weeks, products = units.shape
        count = weeks // length
        shape = (stores, count, length, products)
        last = slice(weeks - count * length, None)
        # A store sells nothing of what it does not carry.
        carried = np.isfinite(regular).any(axis=1, keepdims=True)
        units, price, regular = (x[:, last].reshape(shape) for x in (np.where(carried, units, np.nan), price, regular))
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = price >= share * regular
            if without_chain_deals:
                usual &= ~_chain_on_deal(price, regular)
            self.plain = usual.sum(axis=2)
            log_price = np.where(usual, np.log(price), 0.0).sum(axis=2) / self.plain
            sold = np.where(usual, units, 0.0).sum(axis=2)
            mean = sold.sum(axis=1, keepdims=True) / np.maximum(self.plain.sum(axis=1, keepdims=True), 1)
            self.used = self.plain >= min(_LEAST_WEEKS, length)
            self.log_price = np.where(self.used, log_price, 0.0)
            self.log_units = np.where(self.used, np.log((sold + 0.5) / np.maximum(self.plain, 1)), 0.0)
            listed = np.where(np.isfinite(regular), np.log(regular), 0.0).sum(axis=2) / np.isfinite(regular).sum(axis=2)
            sales = np.isfinite(price)
            self.depth = np.where(sales, np.log(price / regular), 0.0).sum(axis=2) / np.maximum(sales.sum(axis=2), 1)
            # While a store is closed it sells nothing, at no price.
            self.total = np.nansum(units, axis=(2, 3)) / sales.any(axis=3).sum(axis=2)
        self.weight = np.where(self.used, mean * self.plain, 0.0)
        self.share = np.nansum(units, axis=(0, 1, 2)) / max(np.nansum(units), 1e-12)
        self.listed = listed

    def moves(self) -> int:
        """How often a regular price moved against the block before."""
        with np.errstate(invalid="ignore"):
            return int((np.abs(np.diff(self.listed, axis=1)) > _STILL).sum())

    def relative(self, *, by_store: bool) -> ElasticityEstimate:
        """The elasticity of a product's share in its own price.

        Args:
            by_store: Whether stores are compared with each other, block by block; with one store, that gives no
                estimate. Else the blocks are compared, over time, in the mean of the stores.
        """
        if by_store:
            # A mean over axis 2 is that of a store and block; over 0, of a block and product; over 1, of a store and
            # product. What is left of x (log prices) and y (log units) without these means is regressed.
            x, y = (_within(v, self.weight, ((2,), (0,), (1,))) for v in (self.log_price, self.log_units))
            return _slope([x], y, self.weight, _BIAS_STORES) if len(x) > 1 else ElasticityEstimate()
        total_weight = self.weight.sum(axis=0, keepdims=True)
        x, y = (
            (self.weight * v).sum(axis=0, keepdims=True) / np.where(total_weight > 0, total_weight, 1.0)
            for v in (self.log_price, self.log_units)
        )
        axes = ((2,), (1,))
        means_removed = sum((total_weight.sum(axis=axis) > 0).sum() for axis in axes)
        if (total_weight > 0).sum() - means_removed < _LEAST_FREE:
            return ElasticityEstimate()
        x, y = (_within(v, total_weight, axes) for v in (x, y))
        # The steps of a regular price over time are few and alike in all stores: one product is one observation, a
        # cluster along the first axis.
        return _slope([x.T], y.T, total_weight.T, _BIAS_WEEKS)

    def category(self) -> ElasticityEstimate:
        """The elasticity of a category's units in its regular prices, the depth of its deals held fixed."""
        known = np.isfinite(self.listed).all(axis=2) & (self.total > 0)
        sold = np.where(known, self.total, 0.0)
        weight = np.where(known, sold.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1), 0.0)
        if len(weight) < 2:
            return ElasticityEstimate()
        columns = [np.where(known, np.nan_to_num(v) @ self.share, 0.0) for v in (self.listed, self.depth)]
        values = [*columns, np.log(np.where(known, self.total, 1.0))]
        *columns, y = (_within(v, weight, ((0,), (1,))) for v in values)
        return _slope(columns, y, weight, _BIAS_STORES)


def _chain_on_deal(price: Array, regular: Array) -> NDArray[np.bool_]:
    """(1, ...) whether more than half of the stores, of those along the first axis that sold a product, had it on deal; of two
    stores or one, nothing is said.
    """
    on_deal = price < DEAL_SHARE * regular
    most = on_deal.sum(axis=0, keepdims=True) > 0.5 * np.isfinite(price).sum(axis=0, keepdims=True)
    return most & (len(price) > 2)


class _AssignedBlocks(_Blocks):
    """Sales in the weeks of experiments and as many before, by store, week and product, and the prices assigned there.

    Args:
        regular: Regular prices; NaN where an experiment was broken or is not to be read.
        ratio: Log of the assigned price over the planned one; 0 outside an experiment.
        planned: Log of the planned price, outside an experiment of the regular one.
        length: Periods in a week.
    """

    def __init__(
        self, units: Array, price: Array, regular: Array, ratio: Array, planned: Array, length: int, share: float
    ) -> None:
        super().__init__(units, price, regular, length, share)
        shape = (len(units), -1, length, units.shape[2])
        self.ratio = ratio.reshape(shape).mean(axis=2)
        self.planned = np.nan_to_num(planned.reshape(shape)).mean(axis=2)

    def assigned_relative(self) -> ElasticityEstimate:
        """The elasticity of a product's share in the price assigned to it."""
        # With one store, what all stores have in common cannot be told apart.
        axes = ((2,), (1,), (0,)) if len(self.weight) > 1 else ((2,), (1,))
        values = (self.ratio, self.planned, self.log_units)
        return self._assigned([_within(v, self.weight, axes) for v in values], self.weight, axes)

    def category(self) -> ElasticityEstimate:
        """The elasticity of the units of a category in the mean of the prices assigned to its products."""
        if len(self.weight) < 2:
            return ElasticityEstimate()
        carried = (self.weight > 0).any(axis=1, keepdims=True)
        known = (np.isfinite(self.listed) | ~carried).all(axis=2) & (self.total > 0)
        sold = np.where(known, self.total, 0.0)
        weight = np.where(known, sold.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1), 0.0)
        values = [v @ self.share for v in (self.ratio, self.planned, self.depth)]
        values += [np.log(np.where(known, self.total, 1.0))]
        values = [_within(v, weight, ((1,), (0,)))[..., None] for v in values]
        return self._assigned(values, weight[..., None], ((1, 2), (0, 2)))

    @staticmethod
    def _assigned(values: list[Array], weight: Array, axes: tuple[tuple[int, ...], ...]) -> ElasticityEstimate:
        """The slope in the assigned prices; of few stores, the products of each are clusters."""
        stores = len(weight)
        taken = sum(int((weight.sum(axis=axis) > 0).sum()) for axis in axes) + len(values) - 1
        count = int((weight > 0).sum())
        if (free := count - taken) < _LEAST_FREE:
            return ElasticityEstimate()
        if stores < _FEW:
            *values, weight = (np.moveaxis(v, 1, 2).reshape(-1, v.shape[1]) for v in (*values, weight))
        # Of Student's t, whose 90% interval a normal distribution with this variance has.
        degrees = ((count / free, free), (len(weight) / max(len(weight) - 1, 1), max(len(weight) - 1, 1)))
        factors = tuple(of * (stats.t.ppf(0.95, df) / stats.norm.ppf(0.95)) ** 2 for of, df in degrees)
        return _slope(values[:-1], values[-1], weight, 0.0, factors)


def _within(values: Array, weight: Array, axes: tuple[tuple[int, ...], ...]) -> Array:
    """What is left of values when their weighted means over each of some axes are removed, in turn until nothing is."""
    left = np.where(weight > 0, values, 0.0)
    for _ in range(_ROUNDS):
        largest = 0.0
        for axis in axes:
            total = weight.sum(axis=axis, keepdims=True)
            mean = (weight * left).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
            left = np.where(weight > 0, left - mean, 0.0)
            largest = max(largest, float(np.abs(mean).max()))
        if largest < _CLOSE:
            break
    return left


def _slope(
    columns: list[Array], y: Array, weight: Array, bias: float, factors: tuple[float, ...] | None = None
) -> ElasticityEstimate:
    """The first coefficient of a weighted regression, with the larger of two standard errors: one of independent
    observations, and one of clusters along the first axis.

    Args:
        bias: Standard deviation of what else moves with the first column.
        factors: Of both variances; by default for the number of clusters.
    """
    x = np.stack([column.ravel() for column in columns], axis=1)
    w = weight.ravel()
    moved = float(np.sqrt((weight * columns[0] ** 2).sum() / max(weight.sum(), 1e-12)))
    if moved < _STILL / 10:
        return ElasticityEstimate()
    inverse = np.linalg.pinv((x.T * w) @ x)
    slope = inverse @ (x.T * w) @ y.ravel()
    scores = (w * (y.ravel() - x @ slope))[:, None] * x
    clusters = scores.reshape(len(y), -1, x.shape[1]).sum(axis=1)
    count = len(clusters)
    sizes = (scores, clusters)
    # With few clusters, the residuals are too small (Cameron and Miller 2015, Journal of Human Resources 50(2)).
    factors = factors or (count / max(count - 1, 1) if count >= _FEW else 2.0,) * 2
    variances = [of * (inverse @ part.T @ part @ inverse)[0, 0] for of, part in zip(factors, sizes, strict=True)]
    return ElasticityEstimate(
        float(slope[0]), float(np.sqrt(max(variances if count >= _FEW else variances[:1]) + bias**2))
    )
