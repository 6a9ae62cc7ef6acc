"""Price elasticities of products and categories, with their standard errors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..shrinkage import Shrunk, shrink
from .identification import INSTRUMENTS, WEAK_F, Identification, identify
from .least_squares import STILL, Array, CoefficientEstimate, Groups, Slopes, fit_slopes, independent
from .reference_effect import ReferenceEffect, Shape, reference_effect
from .rows import MIN_WEEKS, calendar, in_logs, moves_apart, regression_rows, season, usable, weeks_sold

COSTS = ("unit_cost", "wholesale_price")
_MIN_PRODUCTS = 3


class PriceResponse(BaseEstimator):
    r"""Log-log price response, estimated for each product and shrunk to its category.

    .. math:: \log u_{it} = a_i + w_t + s_{c(i)}(t) + x_{it}'\gamma + e_i \log p_{it} + \varepsilon_{it}

    u is units, p the price paid. The product effects a absorb that expensive products may be the
    popular ones; the week effects w absorb what moves prices and demand of the whole shop, traffic
    included; s, a sine and a cosine of the year per category, is the category's season; x are the
    controls, with one coefficient for all products. Weeks without sales are left out, as their
    price was not observed. That biases the elasticity of slow sellers towards 0; `weeks` tells how
    many weeks remain.

    With instruments, each product's slope is just identified: its instrument is the pooled first
    stage's prediction of its price, as many instruments for one product would bias it towards least
    squares. A product whose own first-stage F is below 10 has no estimate of its own.

    Args:
        memory: weight of the last reference price in the next one, in [0, 1); of several, the one
            with which the sales fit best.
        loss: how much more a price above the reference counts than one below, above 0; likewise.
        instruments: panel columns that move a product's price and, given effects and controls, not
            its demand; positive ones enter in logs. None: `unit_cost` and `wholesale_price` where
            the panel has them and they move. Instruments that are weak in the pool are not used,
            with a warning.
        controls: further panel columns to hold fixed; `promotion` is always held fixed where the
            panel has it.

    Attributes:
        elasticity_: one row per product: `product`, `category`, `raw` (NaN: fewer than 8 weeks
            with sales, a standard deviation of log price below .02, or a weak instrument),
            `raw_se`, `shrunk`, `shrunk_se` (see `shrink`), `implausible` (raw above 0), `weeks` and
            `first_stage_f` (NaN without instruments). It is the response in the same week.
        pooled_: one elasticity for all products, with the larger of the robust standard error and
            the one clustered by product.
        variance_: variances of the true elasticities: `within_category`, `between_categories`.
        category_elasticity_: response of a category's total units per basket to its price index
            (weighted by revenue in the whole history), in the same columns, `category` for
            `product`. Where it is weaker than the products' elasticities, the difference is
            substitution within the category. By instruments where these are strong for the index
            too.
        reference_effect_: coefficient of log(reference / price) beside the elasticities, see
            `reference_effect`; the reference is the exponentially smoothed past price. With a loss
            aversion of 1, the response in the week is elasticity minus coefficient, so a model with
            both uses `shrunk + reference_effect_.coefficient` for the price itself.
        control_effects_: coefficient of each control, by name, with standard errors clustered by
            product.
        identification_: what the estimates rest on and what they cannot rule out; `print` it.
        category_identification_: the same for the categories; None where no category's price moved.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> response = PriceResponse().fit(example_panel(elasticity=-2.0))
        >>> bool(abs(response.pooled_.coefficient + 2) < 0.3)
        True
    """

    elasticity_: pd.DataFrame
    pooled_: CoefficientEstimate
    variance_: dict[str, float]
    category_elasticity_: pd.DataFrame
    reference_effect_: ReferenceEffect
    control_effects_: dict[str, CoefficientEstimate]
    identification_: Identification
    category_identification_: Identification | None

    def __init__(
        self,
        *,
        memory: float | Sequence[float] = 0.7,
        loss: float | Sequence[float] = 1.0,
        instruments: Sequence[str] | None = None,
        controls: Sequence[str] = (),
    ) -> None:
        self.memory = memory
        self.loss = loss
        self.instruments = instruments
        self.controls = controls

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel.

        Args:
            panel: `product`, `week`, `units`, `price`, `traffic` and optional columns, in any row
                order; without `category`, all products form one category.

        Raises:
            ValueError: the panel is faulty or has too few products with moving prices; all prices
                move together, so that price and week cannot be told apart; or a named column varies
                by week only.
        """
        shapes = self._shapes()
        rows = regression_rows(panel, shapes=shapes, columns=(*(self.instruments or ()), *self.controls))
        found = [name for name in COSTS if name in rows and moves_apart(rows, name)]
        instruments = tuple(found if self.instruments is None else self.instruments)
        promotion = ("promotion",) if "promotion" in rows and moves_apart(rows, "promotion") else ()
        controls = (*promotion, *self.controls)
        rows = rows.assign(**{name: in_logs(rows[name]) for name in instruments})
        design = _design_of_products(rows, shapes, instruments, controls)
        self.identification_ = design.identify()
        for text in self.identification_.warnings:
            warnings.warn(text, stacklevel=2)
        instrumented = self.identification_.method == INSTRUMENTS
        slopes, common = design.slopes(instrumented=instrumented)
        self.pooled_ = self.identification_.used
        self.control_effects_ = dict(zip(controls, common, strict=False))
        categories = rows.groupby("product")["category"].first()
        self.elasticity_, shrunk = _table(slopes, categories, weeks_sold(rows), self.pooled_)
        self.variance_ = {
            "within_category": shrunk.within_variance,
            "between_categories": shrunk.between_variance,
        }
        best, effect = reference_effect(design.y, design.x, design.past, design.future, design.common, design.groups)
        self.reference_effect_ = ReferenceEffect(effect.coefficient, effect.se, *shapes[best])
        self._fit_categories(rows, instruments, controls)
        return self

    def _shapes(self) -> list[Shape]:
        """Memory and loss aversion of each shape of the reference price that is tried."""
        memories, losses = np.atleast_1d(self.memory), np.atleast_1d(self.loss)
        if wrong := [m for m in memories if not 0 <= m < 1]:
            raise ValueError(f"PriceResponse: memory must lie in [0, 1); got {wrong[0]:g}")
        if wrong := [loss for loss in losses if not loss > 0]:
            raise ValueError(f"PriceResponse: loss must be above 0; got {wrong[0]:g}")
        return [(float(memory), float(loss)) for memory in memories for loss in losses]

    def _fit_categories(self, rows: pd.DataFrame, instruments: Sequence[str], controls: Sequence[str]) -> None:
        """Regress log units per basket of each category on its log price index, with its
        mean and season.
        """
        totals = _category_totals(rows, instruments, controls)
        count = weeks_sold(totals)
        self.category_identification_, pooled = None, CoefficientEstimate(np.nan, np.nan)
        slopes = pd.DataFrame(columns=["raw", "raw_se", "first_stage_f"], dtype=float)
        if len(chosen := usable(totals, (*instruments, *controls))):
            # Here the categories take the place of the products.
            effects = ("category", "traffic", "season of the category")
            design = _design(chosen, season(chosen["week"], chosen["product"]), (), instruments, controls, effects)
            self.category_identification_ = design.identify()
            pooled = self.category_identification_.used
            slopes, _ = design.slopes(instrumented=self.category_identification_.method == INSTRUMENTS)
        table, _ = _table(slopes, pd.Series("all", index=count.index), count, pooled)
        self.category_elasticity_ = table.drop(columns="category").rename(columns={"product": "category"})


@dataclass(frozen=True)
class _Design:
    """Rows of a regression by group (product or category), with the groups' means removed.

    `controls` and `dates` (weeks and seasons, independent of one another) are the columns common to
    all groups; `past` and `future` (n, S) are those of the shapes of a reference price, of past prices
    and of those to come.
    """

    labels: NDArray
    y: Array
    x: Array
    past: Array
    future: Array
    controls: Array
    dates: Array
    excluded: pd.DataFrame
    effects: tuple[str, ...]
    control_names: tuple[str, ...]

    @property
    def groups(self) -> Groups:
        return Groups(self.labels)

    @property
    def common(self) -> Array:
        """(n, q) the controls first."""
        return np.column_stack([self.controls, self.dates])

    def identify(self) -> Identification:
        """Estimate the pooled slope."""
        return identify(
            self.y,
            self.x,
            self.common,
            self.excluded,
            clusters=self.labels,
            absorbed=len(self.groups.sizes),
            effects=self.effects,
            controls=self.control_names,
        )

    def slopes(self, *, instrumented: bool) -> tuple[pd.DataFrame, tuple[CoefficientEstimate, ...]]:
        """Return (`raw`, `raw_se`, `first_stage_f`) by group, and the common coefficients.

        With instruments, the groups whose own first stage is weak have NaN, and their rows are left
        out; if too few are left to identify the common coefficients, all have NaN.
        """
        try:
            if not instrumented:
                fitted = fit_slopes(self.y, self.x, self.common, self.groups)
                return _frame(self.groups, fitted, np.nan), fitted.common
            return self._instrumented_slopes()
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "panel: prices must move differently from product to product and within a product; got prices "
                "that cannot be told apart from the weeks; choose products that are not priced alike"
            ) from error

    def _instrumented_slopes(self) -> tuple[pd.DataFrame, tuple[CoefficientEstimate, ...]]:
        excluded = self.excluded.to_numpy()
        first = np.linalg.lstsq(np.column_stack([excluded, self.common]), self.x)[0][: excluded.shape[1]]
        moved = self._only(self.groups.sum((excluded @ first) ** 2) > STILL)
        own = fit_slopes(moved.x, moved.excluded.to_numpy() @ first, moved.common, moved.groups)
        own_f = (own.coefficient / own.se) ** 2
        table = pd.DataFrame({"raw": np.nan, "raw_se": np.nan, "first_stage_f": own_f}, index=moved.groups.labels)
        strong = moved._only(own_f >= WEAK_F)
        if not len(strong.y):
            return table, ()
        try:
            fitted = fit_slopes(
                strong.y, strong.x, strong.common, strong.groups, instrument=strong.excluded.to_numpy() @ first
            )
        except np.linalg.LinAlgError:
            return table, ()
        table.update(_frame(strong.groups, fitted, np.nan))
        return table, fitted.common

    def _only(self, keep: NDArray[np.bool_]) -> _Design:
        """Keep the rows of some groups."""
        rows = keep[self.groups.codes]
        arrays = {
            name: getattr(self, name)[rows] for name in ("labels", "y", "x", "past", "future", "controls", "excluded")
        }
        return replace(self, **arrays, dates=independent(self.dates[rows]))


def _design_of_products(
    rows: pd.DataFrame, shapes: list[Shape], instruments: Sequence[str], controls: Sequence[str]
) -> _Design:
    for name in (*instruments, *controls):
        if not moves_apart(rows, name):
            raise ValueError(
                f"panel: {name} must change within products and differently from product to product; got a column that "
                "the product and week effects hold already; leave it out of instruments and controls"
            )
    chosen = usable(rows, (*instruments, *controls))
    if (count := chosen["product"].nunique()) < _MIN_PRODUCTS:
        raise ValueError(
            f"panel: {_MIN_PRODUCTS} products or more with {MIN_WEEKS} weeks of sales and moving prices "
            f"are needed; got {count}; choose more products or a longer history"
        )
    effects = ("product", "week (with the shop's traffic)", "season of the category")
    return _design(chosen, calendar(chosen), shapes, instruments, controls, effects)


def _design(
    rows: pd.DataFrame,
    dates: pd.DataFrame,
    shapes: Sequence[Shape],
    instruments: Sequence[str],
    controls: Sequence[str],
    effects: tuple[str, ...],
) -> _Design:
    labels = rows["product"].to_numpy()
    groups = Groups(labels)
    past, future = (
        groups.demean(rows[[(when, *shape) for shape in shapes]].to_numpy(float)) for when in ("past", "future")
    )
    excluded = {name: groups.demean(rows[name].to_numpy(float)) for name in instruments}
    return _Design(
        labels=labels,
        y=groups.demean(rows["log_units"].to_numpy()),
        x=groups.demean(rows["log_price"].to_numpy()),
        past=past,
        future=future,
        controls=groups.demean(rows[list(controls)].to_numpy(float)),
        dates=independent(groups.demean(dates.to_numpy(float))),
        excluded=pd.DataFrame(excluded, index=range(len(rows))),
        effects=effects,
        control_names=tuple(controls),
    )


def _category_totals(rows: pd.DataFrame, instruments: Sequence[str], controls: Sequence[str]) -> pd.DataFrame:
    """Sum the units of each category and week, and average its log prices,
    instruments and controls.
    """
    revenue = (rows["units"] * rows["price"]).groupby(rows["product"]).transform("sum")
    averaged = rows[["log_price", *controls, *instruments]]
    keys = [rows["category"], rows["week"]]
    averages = averaged.mul(revenue, axis=0).groupby(keys).sum().div(revenue.groupby(keys).sum(), axis=0)
    units, traffic = rows["units"].groupby(keys).sum(), rows["traffic"].groupby(keys).first()
    return averages.assign(units=units / traffic).reset_index().rename(columns={"category": "product"})


def _frame(groups: Groups, slopes: Slopes, first_stage_f: float) -> pd.DataFrame:
    columns = {"raw": slopes.coefficient, "raw_se": slopes.se, "first_stage_f": first_stage_f}
    return pd.DataFrame(columns, index=groups.labels)


def _table(
    slopes: pd.DataFrame, members: pd.Series, count: pd.Series, pooled: CoefficientEstimate
) -> tuple[pd.DataFrame, Shrunk]:
    """Tabulate raw and shrunk estimates, one row for each of `members` (group by name)."""
    slopes = slopes.reindex(members.index)
    shrunk = shrink(slopes["raw"], slopes["raw_se"], members)
    columns = {
        "category": members,
        "raw": slopes["raw"],
        "raw_se": slopes["raw_se"],
        # If instruments are strong in the pool only, no product has an estimate of its own.
        "shrunk": shrunk.mean.fillna(pooled.coefficient),
        "shrunk_se": shrunk.se.fillna(pooled.se),
        "implausible": slopes["raw"] > 0,
        "weeks": count,
        "first_stage_f": slopes["first_stage_f"],
    }
    return pd.DataFrame(columns).rename_axis("product").reset_index(), shrunk
