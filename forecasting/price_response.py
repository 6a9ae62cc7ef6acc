"""How demand answers to price: elasticities of products, categories and segments, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.base import BaseEstimator

from .base import WEEK, check_rows
from .shrinkage import Shrunk, shrink

_MIN_PRODUCTS = 3
_MIN_WEEKS = 10
# A price that hardly moves would carry what a change of 1% seemed to do to reductions of tens of percent.
_MIN_PRICE_SD = 0.02


@dataclass(frozen=True)
class Estimate:
    """A coefficient with its standard error."""

    coefficient: float
    se: float


@dataclass(frozen=True)
class ReferenceEffect(Estimate):
    """Coefficient of log(reference price / price): positive if a price below the habitual one sells more.

    Attributes:
        memory: weight of the last reference price in the next one.
    """

    memory: float


class PriceResponse(BaseEstimator):
    r"""Log-log price response, estimated for each product and shrunk to its category.

    .. math:: \log u_{it} = a_i + w_t + s_{c(i)}(t) + e_i \log p_{it} + \varepsilon_{it}

    u is units, p the price paid. The product effects a hold what makes a product dear and popular at once;
    the week effects w what moves prices and demand of the whole shop in the same weeks; s, a sine and a cosine
    of the year for each category, a category's season (buns are reduced in summer, when they sell anyway).
    Ordinary least squares; the product effects are removed by the within transformation
    (Frisch-Waugh-Lovell). Weeks in which nothing was sold are left out: their price was not observed. That
    biases the elasticity of a seldom-sold product towards 0; `weeks` tells how many remain.

    Prices that react to a product's own demand in the same week are not corrected for (no instruments).

    Args:
        memory: weight of the last reference price in the next one, in [0, 1).

    Attributes:
        elasticity_: a row for each product: `product`, `category`, `raw` (NaN: fewer than 10 weeks with
            sales, or a log price whose standard deviation is below .02), `raw_se` (the larger of HC3 and the
            conventional one: a few weeks with a reduction have a high leverage),
            `shrunk`, `shrunk_se` (see `shrink`), `implausible` (raw above 0) and `weeks`. It is the
            response in the week itself.
        pooled_: one elasticity for all products, standard error clustered by product.
        variance_: variances of the true elasticities: `within_category`, `between_categories`.
        category_elasticity_: answer of a category's total units to its price index (weights: shares of the
            revenue in the whole history), in the same columns with `category` for `product`; units are
            taken per basket of the shop, so that a few categories suffice. Where it is weaker than the
            products' elasticities, the rest is substitution within the category.
        reference_effect_: coefficient of log(reference / price), estimated jointly with the products'
            elasticities; the reference is exponentially smoothed past price. With it, the response in the
            week is elasticity minus coefficient, so a model that holds both uses
            `shrunk + reference_effect_.coefficient` for the price itself.
    """

    elasticity_: pd.DataFrame
    pooled_: Estimate
    variance_: dict[str, float]
    category_elasticity_: pd.DataFrame
    reference_effect_: ReferenceEffect

    def __init__(self, *, memory: float = 0.7) -> None:
        self.memory = memory

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel; without a `category`, all products form one.

        Raises:
            ValueError: the panel is faulty, holds too few products with moving prices, or all prices move
                alike, so that price and week cannot be told apart.
        """
        if not 0 <= self.memory < 1:
            raise ValueError(f"PriceResponse: memory must lie in [0, 1); got {self.memory}")
        rows = self._rows(panel)
        usable = _usable(rows)
        if (count := usable["product"].nunique()) < _MIN_PRODUCTS:
            raise ValueError(
                f"panel: {_MIN_PRODUCTS} products or more with {_MIN_WEEKS} weeks of sales and moving prices "
                f"are needed; got {count}; choose more products or a longer history"
            )
        units, slopes = _within(usable, "log_units"), _by_product(usable)
        calendar = _demean(_calendar(usable), usable["product"])
        each = _ols(units, pd.concat([slopes, calendar], axis=1))
        estimates = _slopes(each, slopes.shape[1], usable["product"])
        categories = rows.groupby("product")["category"].first()
        self.elasticity_, shrunk = _table(*estimates, categories, _weeks_sold(rows))
        self.variance_ = {
            "within_category": shrunk.within_variance,
            "between_categories": shrunk.between_variance,
        }
        pooled = [_within(usable, "log_price"), calendar]
        self.pooled_ = Estimate(*_first(_ols(units, pd.concat(pooled, axis=1), clusters=usable["product"])))
        joint = [_within(usable, "log_gain"), slopes, calendar]
        gain = _first(_ols(units, pd.concat(joint, axis=1), clusters=usable["product"]))
        self.reference_effect_ = ReferenceEffect(*gain, memory=self.memory)
        self.category_elasticity_ = _category_elasticity(rows)
        return self

    def _rows(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Add log price, and log of the reference price that the past had left over the price."""
        rows = check_rows(panel, ["product", "week", "units", "price", "traffic"], name="panel")
        rows = rows[(rows["price"] > 0) & (rows["traffic"] > 0)]
        rows = _categorised(rows)
        reference = rows.groupby("product")["price"].transform(
            lambda price: price.ewm(alpha=1 - self.memory, adjust=False).mean().shift().fillna(price)
        )
        return rows.assign(log_price=np.log(rows["price"]), log_gain=np.log(reference / rows["price"]))


def segment_response(sales: pd.DataFrame, labels: pd.Series, panel: pd.DataFrame) -> pd.DataFrame:
    """Estimate one elasticity for each customer segment, pooled over the products of `panel`.

    A segment's weekly units of a product are often 0 although the shop's price is known, so this is a
    Poisson pseudo-likelihood with the effects of `PriceResponse` (Santos Silva and Tenreyro 2006), not a
    log-log regression; standard errors are clustered by product.

    Args:
        sales: canonical sales with `customer`; lines of customers without a label are left out.
        labels: segment of each customer, indexed by customer.
        panel: weekly panel, which gives the weeks and the shop's prices.

    Returns:
        A row for each segment: `segment`, `elasticity`, `se`, `units`, `customers`.

    Raises:
        ValueError: `sales` names no customers, or none of them has a label.
    """
    if "customer" not in sales:
        raise ValueError(
            f"sales: column 'customer' is missing; got {', '.join(sales.columns)}; segments need customers"
        )
    rows = check_rows(panel, ["product", "week", "units", "price"], name="panel")
    rows = _categorised(rows[(rows["units"] > 0) & (rows["price"] > 0)])
    rows = rows.assign(log_price=np.log(rows["price"]))
    weeks = pd.Index(panel["week"].unique()).sort_values()
    lines = sales.assign(segment=sales["customer"].map(labels))
    lines = lines[lines["date"].between(weeks[0], weeks[-1] + WEEK, inclusive="left")]
    lines = lines[lines["segment"].notna() & lines["product"].isin(rows["product"])]
    if lines.empty:
        raise ValueError("labels: no customer with sales in the panel has one; index them as in sales")
    lines["week"] = weeks[weeks.searchsorted(lines["date"], side="right") - 1]
    return pd.DataFrame(
        {"segment": segment, **_segment_elasticity(bought, rows), "customers": bought["customer"].nunique()}
        for segment, bought in lines.groupby("segment")
    )


def _segment_elasticity(lines: pd.DataFrame, rows: pd.DataFrame) -> dict[str, float]:
    units = lines.groupby(["product", "week"])["units"].sum().rename("units")
    rows = rows.drop(columns="units").join(units, on=["product", "week"]).fillna({"units": 0.0})
    # A product or a week without a single sale has an effect of minus infinity and tells nothing.
    for key in ("product", "week"):
        rows = rows[rows.groupby(key)["units"].transform("sum") > 0]
    effects = [_dummies(rows["product"]), _calendar(rows)]
    exog = pd.concat([rows["log_price"] - rows["log_price"].mean(), *effects], axis=1)
    groups = pd.factorize(rows["product"])[0]
    model = sm.GLM(rows["units"].to_numpy(), exog.to_numpy(), family=sm.families.Poisson())
    fitted: Any = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    return {
        "elasticity": float(fitted.params[0]),
        "se": float(fitted.bse[0]),
        "units": float(rows["units"].sum()),
    }


def _usable(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the weeks with sales of what was sold often enough at a price that moved."""
    sold = rows[rows["units"] > 0]
    by_product = sold.groupby("product")["log_price"]
    moves = by_product.transform("std") >= _MIN_PRICE_SD
    usable = sold[moves & (by_product.transform("size") >= _MIN_WEEKS)]
    return usable.assign(log_units=np.log(usable["units"]))


def _category_elasticity(rows: pd.DataFrame) -> pd.DataFrame:
    """Regress log units per basket of each category on its log price index, with its mean and season."""
    revenue = (rows["units"] * rows["price"]).groupby(rows["product"]).transform("sum")
    rows = rows.assign(weight=revenue, weighted=revenue * rows["log_price"])
    sums = {"units": "sum", "weight": "sum", "weighted": "sum", "traffic": "first"}
    # Here the categories play the part of the products.
    totals = rows.groupby(["category", "week"]).agg(sums).reset_index().rename(columns={"category": "product"})
    totals = totals.assign(log_price=totals["weighted"] / totals["weight"], units=totals["units"] / totals["traffic"])
    usable = _usable(totals)
    estimates = pd.Series(dtype=float), pd.Series(dtype=float)
    if len(usable):
        slopes = _by_product(usable)
        season = _demean(_season(usable["week"], usable["product"]), usable["product"])
        fitted = _ols(_within(usable, "log_units"), pd.concat([slopes, season], axis=1))
        estimates = _slopes(fitted, slopes.shape[1], usable["product"])
    count = _weeks_sold(totals)
    table, _ = _table(*estimates, pd.Series("all", index=count.index), count)
    return table.drop(columns="category").rename(columns={"product": "category"})


def _table(raw: pd.Series, raw_se: pd.Series, groups: pd.Series, count: pd.Series) -> tuple[pd.DataFrame, Shrunk]:
    """Lay out estimates and their shrunken values, a row for each member of `groups`."""
    raw, raw_se = raw.reindex(groups.index), raw_se.reindex(groups.index)
    shrunk = shrink(raw, raw_se, groups)
    columns = {
        "category": groups,
        "raw": raw,
        "raw_se": raw_se,
        "shrunk": shrunk.mean,
        "shrunk_se": shrunk.se,
        "implausible": raw > 0,
        "weeks": count,
    }
    return pd.DataFrame(columns).rename_axis("product").reset_index(), shrunk


def _categorised(rows: pd.DataFrame) -> pd.DataFrame:
    return rows if "category" in rows else rows.assign(category="all")


def _dummies(keys: pd.Series) -> pd.DataFrame:
    return pd.get_dummies(keys, dtype=float)


def _weeks_sold(rows: pd.DataFrame) -> pd.Series:
    return (rows["units"] > 0).groupby(rows["product"]).sum()


def _within(rows: pd.DataFrame, column: str) -> pd.Series:
    """Take each product's mean off, which removes the product effects."""
    return rows[column] - rows.groupby("product")[column].transform("mean")


def _by_product(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a column of log price for each product."""
    return _dummies(rows["product"]).mul(_within(rows, "log_price"), axis=0)


def _season(week: pd.Series, category: pd.Series) -> pd.DataFrame:
    """Return a sine and a cosine of the year for each category."""
    year = 2 * np.pi * week.dt.day_of_year / 365.25
    member = _dummies(category)
    return pd.concat([member.mul(np.sin(year), axis=0), member.mul(np.cos(year), axis=0)], axis=1)


def _calendar(rows: pd.DataFrame) -> pd.DataFrame:
    """Return week effects, and the season of every category but the first, which the weeks already hold."""
    others = rows["category"].where(rows["category"] != rows["category"].min())
    return pd.concat([_dummies(rows["week"]).iloc[:, 1:], _season(rows["week"], others)], axis=1)


def _demean(columns: pd.DataFrame, products: pd.Series) -> pd.DataFrame:
    return columns - columns.groupby(products).transform("mean")


def _ols(endog: pd.Series, exog: pd.DataFrame, *, clusters: pd.Series | None = None) -> Any:
    """Fit by least squares."""
    if np.linalg.matrix_rank(exog) < exog.shape[1]:
        raise ValueError(
            "panel: prices must move differently from product to product and within a product; got prices "
            "that cannot be told apart from the weeks; choose products that are not priced alike"
        )
    if clusters is None:
        return sm.OLS(endog, exog).fit()
    return sm.OLS(endog, exog).fit(cov_type="cluster", cov_kwds={"groups": pd.factorize(clusters)[0]})


def _slopes(fitted: Any, n_slopes: int, products: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the first coefficients, the slopes, with the larger of the HC3 and the conventional standard error.

    Taking the maximum is Angrist and Pischke's (2009, section 8.1) guard against robust errors that are too
    small by chance. The conventional one has one error variance for each product. Both count the product
    effects, as a regression on dummies would.
    """
    exog, bread = fitted.model.exog, np.asarray(fitted.normalized_cov_params)
    by_product = products.groupby(products)
    freedom = 1 - ((exog @ bread) * exog).sum(axis=1) - 1 / by_product.transform("size").to_numpy()
    residual = np.asarray(fitted.resid)
    # A week that alone fixes a coefficient leaves nothing to learn from; the conventional error stands.
    alone = freedom < 1e-9
    robust = np.where(alone, 0.0, residual / np.where(alone, 1.0, freedom)) ** 2
    sums = pd.DataFrame({"squares": residual**2, "freedom": freedom}).groupby(products.to_numpy())
    conventional = sums["squares"].transform("sum") / sums["freedom"].transform("sum")
    variances = [
        np.square(bread @ exog.T * np.sqrt(weight)).sum(axis=1) for weight in (robust, conventional.to_numpy())
    ]
    se = pd.Series(np.sqrt(np.maximum(*variances)), index=fitted.params.index)
    return fitted.params.iloc[:n_slopes], se.iloc[:n_slopes]


def _first(fitted: Any) -> tuple[float, float]:
    """Return the first coefficient with its standard error."""
    return float(fitted.params.iloc[0]), float(fitted.bse.iloc[0])
