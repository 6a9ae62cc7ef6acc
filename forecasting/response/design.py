"""The regression of the price response: its rows by group, and the columns that all groups share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .identification import WEAK_F, Identification, identify
from .least_squares import STILL, Array, CoefficientEstimate, Groups, Slopes, fit_slopes, independent
from .rows import MIN_WEEKS, calendar, moves_apart, season, usable, weekdays

MIN_PRODUCTS = 3


@dataclass(frozen=True)
class Design:
    """Rows of a regression by group (product or category), with the groups' means removed.

    `controls` and `dates` (weeks and seasons, independent of one another) are the columns common to
    all groups.
    """

    labels: NDArray
    y: Array
    x: Array
    controls: Array
    dates: Array
    excluded: pd.DataFrame
    effects: tuple[str, ...]
    control_names: tuple[str, ...]

    @property
    def groups(self) -> Groups:
        """The groups of the rows."""
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

    def _only(self, keep: NDArray[np.bool_]) -> Design:
        """Keep the rows of some groups."""
        rows = keep[self.groups.codes]
        arrays = {name: getattr(self, name)[rows] for name in ("labels", "y", "x", "controls", "excluded")}
        return replace(self, **arrays, dates=independent(self.dates[rows]))


def design_of_products(rows: pd.DataFrame, instruments: Sequence[str], controls: Sequence[str]) -> Design:
    """The regression by product, of the rows that can be used."""
    for name in (*instruments, *controls):
        if not moves_apart(rows, name):
            raise ValueError(
                f"panel: {name} must change within products and differently from product to product; got a column that "
                "the product and week effects hold already; leave it out of instruments and controls"
            )
    chosen = usable(rows, (*instruments, *controls))
    if not (count := chosen["product"].nunique()):
        raise ValueError(
            f"panel: a product with {MIN_WEEKS} weeks of sales and moving prices is needed; got none of "
            f"{rows['product'].nunique()}; choose other products or a longer history"
        )
    effects = ("product", "week (with the shop's traffic)", "season of the category")
    if count < MIN_PRODUCTS:
        # Few products leave nothing of their prices beside an effect of each week.
        dates = pd.concat([part(chosen["week"], chosen["category"]) for part in (season, weekdays)], axis=1)
        return design_of(chosen, dates, instruments, controls, (effects[0], effects[2]))
    return design_of(chosen, calendar(chosen), instruments, controls, effects)


def design_of(
    rows: pd.DataFrame,
    dates: pd.DataFrame,
    instruments: Sequence[str],
    controls: Sequence[str],
    effects: tuple[str, ...],
) -> Design:
    """The regression of rows that are sorted by group, without the means of the groups."""
    labels = rows["product"].to_numpy()
    groups = Groups(labels)
    excluded = {name: groups.demean(rows[name].to_numpy(float)) for name in instruments}
    return Design(
        labels=labels,
        y=groups.demean(rows["log_units"].to_numpy()),
        x=groups.demean(rows["log_price"].to_numpy()),
        controls=groups.demean(rows[list(controls)].to_numpy(float)),
        dates=independent(groups.demean(dates.to_numpy(float))),
        excluded=pd.DataFrame(excluded, index=range(len(rows))),
        effects=effects,
        control_names=tuple(controls),
    )


def category_totals(rows: pd.DataFrame, instruments: Sequence[str], controls: Sequence[str]) -> pd.DataFrame:
    """Sum the units of each category and week, and average its log prices, instruments and controls."""
    revenue = (rows["units"] * rows["price"]).groupby(rows["product"]).transform("sum")
    averaged = rows[["log_price", *controls, *instruments]]
    # Around each product's mean: the price level of a product that comes or is sold out is no change of prices.
    averaged = averaged - averaged.groupby(rows["product"]).transform("mean")
    keys = [rows["category"], rows["week"]]
    averages = averaged.mul(revenue, axis=0).groupby(keys).sum().div(revenue.groupby(keys).sum(), axis=0)
    units, traffic = rows["units"].groupby(keys).sum(), rows["traffic"].groupby(keys).first()
    return averages.assign(units=units / traffic).reset_index().rename(columns={"category": "product"})


def _frame(groups: Groups, slopes: Slopes, first_stage_f: float) -> pd.DataFrame:
    columns = {"raw": slopes.coefficient, "raw_se": slopes.se, "first_stage_f": first_stage_f}
    return pd.DataFrame(columns, index=groups.labels)
