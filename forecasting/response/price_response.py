"""Price elasticities of products and categories, with their standard errors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ..shrinkage import Shrunk, shrink
from .design import category_totals, design_of, design_of_products
from .identification import INSTRUMENTS
from .least_squares import CoefficientEstimate
from .rows import in_logs, moves_apart, regression_rows, season, usable, weekdays, weeks_sold

COSTS = ("unit_cost", "wholesale_price")


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

    Time and memory grow with the square of the catalogue: it is meant for some 500 products of two years.

    Args:
        instruments: panel columns that move a product's price and, given effects and controls, not
            its demand; positive ones enter in logs. None: `unit_cost` and `wholesale_price` where
            the panel has them and they move. Instruments that are weak in the pool are not used,
            with a warning.
        controls: further panel columns to hold fixed for products, not for categories, whose price
            index a category's other prices would be; `promotion` is always held fixed where the
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

    def __init__(self, *, instruments: Sequence[str] | None = None, controls: Sequence[str] = ()) -> None:
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
        rows = regression_rows(panel, columns=(*(self.instruments or ()), *self.controls))
        found = [name for name in COSTS if name in rows and moves_apart(rows, name)]
        instruments = tuple(found if self.instruments is None else self.instruments)
        promotion = ("promotion",) if "promotion" in rows and moves_apart(rows, "promotion") else ()
        controls = (*promotion, *self.controls)
        rows = rows.assign(**{name: in_logs(rows[name]) for name in instruments})
        design = design_of_products(rows, instruments, controls)
        self.identification_ = design.identify()
        instrumented = self.identification_.method == INSTRUMENTS
        slopes, common = design.slopes(instrumented=instrumented)
        self.pooled_ = self.identification_.used
        self.control_effects_ = dict(zip(controls, common, strict=False))
        categories = rows.groupby("product")["category"].first()
        self.elasticity_, shrunk = _table(slopes, categories, weeks_sold(rows), self.pooled_)
        self.variance_ = {"within_category": shrunk.within_variance, "between_categories": shrunk.between_variance}
        self._fit_categories(rows, instruments, promotion)
        for text in self.identification_.warnings:
            warnings.warn(text, stacklevel=2)
        return self

    def _fit_categories(self, rows: pd.DataFrame, instruments: Sequence[str], controls: Sequence[str]) -> None:
        """Regress log units per basket of each category on its log price index, with its mean and season."""
        totals = category_totals(rows, instruments, controls)
        count = weeks_sold(totals)
        self.category_identification_, pooled = None, CoefficientEstimate(np.nan, np.nan)
        slopes = pd.DataFrame(columns=["raw", "raw_se", "first_stage_f"], dtype=float)
        if len(chosen := usable(totals, (*instruments, *controls))):
            # Here the categories take the place of the products.
            effects = ("category", "traffic", "season of the category")
            dates = pd.concat([part(chosen["week"], chosen["product"]) for part in (season, weekdays)], axis=1)
            design = design_of(chosen, dates, instruments, controls, effects)
            self.category_identification_ = design.identify()
            pooled = self.category_identification_.used
            slopes, _ = design.slopes(instrumented=self.category_identification_.method == INSTRUMENTS)
        table, _ = _table(slopes, pd.Series("all", index=count.index), count, pooled)
        self.category_elasticity_ = table.drop(columns="category").rename(columns={"product": "category"})


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
