"""Elasticities of products, categories and segments by regression: a check of the demand model, shown beside it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import xlogy
from sklearn.base import BaseEstimator

from ..data.weeks import DAY, period_of
from .models.base import check_rows

Array = NDArray[np.floating]
WEAK_F = 10.0
"""Below it, two-stage least squares leans towards least squares (Staiger and Stock 1997)."""
COSTS = ("unit_cost", "wholesale_price")

_RESPONSE_WEEKS = 8
_MIN_PRODUCTS = 3
_MIN_PRICE_SD = 0.02
"""Below it, noise in price changes of 1% would be extrapolated to reductions of tens of percent."""
_NUMERICAL_ROUNDING = 1e-10
_MAX_ROUNDS = 100

_NOT_SEPARATE = (
    "panel: prices must move differently from product to product and within a product; got prices that cannot be separated "
    "apart from the weeks; choose products that are not priced alike"
)
_A_SHARE = (
    "the instruments ({}) move exactly as prices do, as a cost that was computed from them; they say nothing of their "
    "own, were not used, and the estimates rest on fixed effects"
)
_WEAK = (
    "the instruments ({}) are weak: their first-stage F of {:.1f} is below {:g}, so that they hardly move the price; "
    "they were not used and the estimates rest on fixed effects"
)
_OWN_SHOCKS = (
    "prices that were set because of that product's own demand in the same week: reducing slow sellers makes "
    "demand look less elastic than it is, reducing products whose demand is about to rise makes it look more elastic"
)
_EXCLUSION = (
    "that {} moved demand other than through the price: costs that follow demand, or, for prices elsewhere, campaigns "
    "and shocks that reached all stores at once"
)
_STOCKPILING = "stockpiling at low prices, which it counts as demand"
_DISPLAYS = "displays and leaflets that came with a reduction, which it counts as a response to the price"


@dataclass(frozen=True)
class CoefficientEstimate:
    """A coefficient with its standard error.

    Example:
        >>> price = CoefficientEstimate(-2.1, se=0.3)
        >>> price.coefficient / price.se < -2
        True
    """

    coefficient: float
    se: float

    def __str__(self) -> str:
        """The coefficient with its standard error."""
        return f"{self.coefficient:.2f} (standard error {self.se:.2f})"


@dataclass(frozen=True)
class Identification:
    """The price changes that an estimate rests on, and the biases that it cannot rule out.

    Attributes:
        method: `fixed effects` or `instruments`; weak instruments are not used.
        held_fixed: the fixed effects and the controls, in words.
        fixed_effects: the pooled coefficient by least squares with effects and controls.
        cannot_rule_out: possible biases that the table cannot show.
        control_effects: coefficient of each control beside the pooled one, by name.
        instruments: the candidate columns.
        instrumented: the pooled coefficient by two-stage least squares, also where instruments are
            weak; None without.
        first_stage_f: robust F of the instruments, the smaller of the one robust to
            heteroscedasticity and the one clustered; NaN without instruments.
        warnings: problems of the instruments, in words.

    Example:
        >>> from repricer.forecasting import PriceResponse, example_panel
        >>> print(PriceResponse().fit(example_panel()).identification_)  # doctest: +ELLIPSIS
        Identified by fixed effects; held fixed: product, week (with the shop's traffic), season of the category.
        Pooled, fixed effects: -... (standard error 0...).
        Cannot rule out: ...
    """

    method: str
    held_fixed: tuple[str, ...]
    fixed_effects: CoefficientEstimate
    cannot_rule_out: tuple[str, ...]
    control_effects: dict[str, CoefficientEstimate]
    instruments: tuple[str, ...] = ()
    instrumented: CoefficientEstimate | None = None
    first_stage_f: float = np.nan
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> CoefficientEstimate:
        """The pooled coefficient by the method used."""
        return (self.method == "instruments" and self.instrumented) or self.fixed_effects

    def __str__(self) -> str:
        """Summarise the identification in a few lines."""
        lines = [
            f"Identified by {self.method}; held fixed: {', '.join(self.held_fixed)}.",
            f"Pooled, fixed effects: {self.fixed_effects}.",
        ]
        if self.instrumented is not None:
            found = f"{self.instrumented}; first-stage F {self.first_stage_f:.1f}"
            lines.append(f"Pooled, instruments ({_listed(self.instruments)}): {found}.")
        lines += [f"Warning: {text}." for text in self.warnings]
        return "\n".join([*lines, *(f"Cannot rule out: {text}." for text in self.cannot_rule_out)])


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
        control_effects_: coefficient of each control beside the pooled elasticity, by name.
        identification_: what the estimates rest on and what they cannot rule out; `print` it.

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
                move together, so that price and week cannot be separated; or a named column varies
                by week only.
        """
        rows = _sold_rows(panel, ["traffic"], (*(self.instruments or ()), *self.controls))
        found = [name for name in COSTS if name in rows and _moves_apart(rows, name)]
        instruments = list(found if self.instruments is None else self.instruments)
        promotion = ["promotion"] if "promotion" in rows and _moves_apart(rows, "promotion") else []
        controls = [*promotion, *self.controls]
        for name in (*instruments, *controls):
            if not _moves_apart(rows, name):
                raise ValueError(
                    f"panel: {name} must change within products and differently from product to product; got a column "
                    "that the product and week effects hold already; leave it out of instruments and controls"
                )
        rows = rows.assign(**{name: np.log(rows[name]) for name in instruments if (rows[name] > 0).all()})
        chosen = _usable(rows, [*instruments, *controls])
        if not (count := chosen["product"].nunique()):
            raise ValueError(
                f"panel: a product with {_RESPONSE_WEEKS} weeks of sales and moving prices is needed; got none of "
                f"{rows['product'].nunique()}; choose other products or a longer history"
            )
        # Few products leave nothing of their prices beside an effect of each week.
        with_weeks = count >= _MIN_PRODUCTS
        words = ["product", *["week (with the shop's traffic)"] * with_weeks, "season of the category", *controls]
        self.identification_, slopes = _regress(chosen, instruments, controls, words, with_weeks=with_weeks)
        self.pooled_ = self.identification_.used
        self.control_effects_ = self.identification_.control_effects
        self.elasticity_ = _table(slopes, rows.groupby("product")["category"].first(), rows, self.pooled_)
        for text in self.identification_.warnings:
            warnings.warn(text, stacklevel=2)
        return self


def segment_response(sales: pd.DataFrame, labels: pd.Series, panel: pd.DataFrame) -> pd.DataFrame:
    """Estimate one elasticity for each customer segment, pooled over the products of `panel`.

    A segment's weekly units of a product are often 0, so this is a Poisson pseudo-likelihood with
    the effects of `PriceResponse` (Santos Silva and Tenreyro 2006), not a log-log regression.
    `promotion` is held fixed where the panel has it; standard errors are clustered by product.
    There are no instruments: a bias that is common to all segments cancels in their comparison.

    Args:
        sales: canonical sales with `customer`; lines of customers without a label are left out.
        labels: customer -> segment.
        panel: weekly panel, with the weeks and the shop's prices.

    Returns:
        One row per segment: `segment`, `elasticity`, `se`, `units`, `customers`.

    Raises:
        ValueError: `sales` names no customers, or none of them has a label.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> sales = panel.rename(columns={"week": "date"}).assign(customer=["ann", "bob", "cid"] * 80)
        >>> labels = pd.Series({"ann": 0, "bob": 1, "cid": 1})
        >>> table = segment_response(sales, labels, panel)
        >>> list(table), table["customers"].tolist()
        (['segment', 'elasticity', 'se', 'units', 'customers'], [1, 2])
    """
    if "customer" not in sales:
        raise ValueError(
            f"sales: column 'customer' is missing; got {', '.join(sales.columns)}; segments need customers"
        )
    rows = _sold_rows(panel)
    rows = rows[rows["units"] > 0].drop(columns="units")
    weeks = pd.Index(panel["week"].unique()).sort_values()
    lines = sales.assign(segment=sales["customer"].map(labels))
    lines = lines[lines["date"].between(weeks[0], weeks[-1] + period_of(weeks), inclusive="left")]
    lines = lines[lines["segment"].notna() & lines["product"].isin(rows["product"])]
    if lines.empty:
        raise ValueError("labels: no customer with sales in the panel has one; index them as in sales")
    lines["week"] = weeks[weeks.searchsorted(lines["date"], side="right") - 1]
    table = []
    for segment, bought in lines.groupby("segment"):
        own = rows.join(bought.groupby(["product", "week"])["units"].sum(), on=["product", "week"])
        own = own.fillna({"units": 0.0})
        # The effect of a product or week without any sale is minus infinity.
        for key in ("product", "week"):
            own = own[own.groupby(key)["units"].transform("sum") > 0]
        elasticity, se = _poisson(own)
        figures = {"elasticity": elasticity, "se": se, "units": own["units"].sum()}
        table.append({"segment": segment, **figures, "customers": bought["customer"].nunique()})
    return pd.DataFrame(table)


def shrink(raw: pd.Series, raw_se: pd.Series, groups: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Shrink estimates to the mean of their group, and return posterior means and standard errors.

    The model is raw_i ~ N(b_i, se_i²), b_i ~ N(m_g, variance), with one moment estimate of the
    variance for all groups (DerSimonian and Laird 1986). The standard errors include that of the
    mean shrunk to (Morris 1983), but not that of the variance.

    Args:
        raw: estimates; NaN gives the mean of the group, NaN where it has no estimate.
        raw_se: their standard errors, on the same index.
        groups: their groups, on the same index.
    """
    known = raw.notna() & raw_se.notna()
    if not known.any():
        return raw, raw_se
    # An exact estimate gets a weight that is large, not infinite.
    value = raw[known].astype(float)
    own = raw_se[known].astype(float).clip(lower=1e-9) ** 2
    names = groups[known]

    def total(part: pd.Series) -> pd.Series:
        return part.groupby(names).sum()

    weight = 1 / own
    q = (weight * (value - names.map(total(weight * value) / total(weight))) ** 2).sum()
    freedom = len(value) - names.nunique()
    scale = (total(weight) - total(weight**2) / total(weight)).sum()
    variance = max(0.0, (q - freedom) / scale) if freedom > 0 and scale > 0 else 0.0
    weight = 1 / (own + variance)
    trust = (variance * weight).reindex(raw.index).fillna(0.0)
    mean = groups.map(total(weight * value) / total(weight))
    mean_variance = groups.map(1 / total(weight))
    left = (1 - trust) * variance + (1 - trust) ** 2 * mean_variance
    return trust * raw.where(known, 0.0) + (1 - trust) * mean, left**0.5


def _sold_rows(panel: pd.DataFrame, more: Sequence[str] = (), columns: Sequence[str] = ()) -> pd.DataFrame:
    """Check a panel and add `log_price` and `category`; without stockouts, whose units are only a lower bound."""
    rows = check_rows(panel, ["product", "week", "units", "price", *more], name="panel")
    if missing := [name for name in columns if name not in rows]:
        raise ValueError(
            f"panel: column {missing[0]!r} is named as instrument or control; got {', '.join(map(str, rows.columns))}; "
            "add it to the panel"
        )
    rows = rows[(rows[["price", *more]] > 0).all(axis=1)]
    rows = rows.assign(log_price=np.log(rows["price"]), category=rows.get("category", pd.Series("all", rows.index)))
    return rows[~rows["stockout"].fillna(False).astype(bool)] if "stockout" in rows else rows


def _usable(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Keep weeks with sales and known `columns`, of products with enough weeks and moving prices."""
    sold = rows[(rows["units"] > 0) & rows[columns].notna().all(axis=1)]
    by_product = sold.groupby("product")["log_price"]
    kept = sold[(by_product.transform("std") >= _MIN_PRICE_SD) & (by_product.transform("size") >= _RESPONSE_WEEKS)]
    return kept.assign(log_units=np.log(kept["units"]))


def _moves_apart(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column varies within products, and differently between them."""
    within = rows[name] - rows.groupby("product")[name].transform("mean")
    left = within - within.groupby(rows["week"]).transform("mean")
    return bool(left.abs().max() > 1e-9 * rows[name].abs().max())


def _table(slopes: pd.DataFrame, groups: pd.Series, rows: pd.DataFrame, pooled: CoefficientEstimate) -> pd.DataFrame:
    """Tabulate raw and shrunk estimates, one row for each product of `groups`, by name."""
    slopes = slopes.reindex(groups.index).astype(float)
    shrunk, shrunk_se = shrink(slopes["raw"], slopes["raw_se"], groups)
    table = slopes.assign(category=groups, implausible=slopes["raw"] > 0)
    table = table.assign(shrunk=shrunk.fillna(pooled.coefficient), shrunk_se=shrunk_se.fillna(pooled.se))
    table["weeks"] = (rows["units"] > 0).groupby(rows["product"]).sum()
    columns = ["category", "raw", "raw_se", "shrunk", "shrunk_se", "implausible", "weeks", "first_stage_f"]
    return table[columns].rename_axis("product").reset_index()


def _indicators(keys: pd.Series) -> sparse.csr_array:
    """(n, keys) an indicator column for each key; a row without a key is empty."""
    codes, names = pd.factorize(keys, sort=True)
    here = np.flatnonzero(codes >= 0)
    return sparse.csr_array((np.ones(len(here)), (here, codes[here])), shape=(len(codes), len(names)))


def _dates(rows: pd.DataFrame, *, with_weeks: bool) -> sparse.csr_array:
    """Indicators of the weeks; a sine and a cosine of the year and, of days, the weekdays for each category."""
    week = rows["week"]
    category = rows["category"]
    year = (2 * np.pi * week.dt.day_of_year / 365.25).to_numpy()
    members = _indicators(category)
    parts = [members.multiply(wave(year)[:, None]) for wave in (np.sin, np.cos)]
    if period_of(week) == DAY:
        parts.append(_indicators((category.astype(str) + week.dt.day_name()).where(week.dt.day_of_week > 0)))
    return sparse.csr_array(sparse.hstack([*parts, _indicators(week)] if with_weeks else parts))


def _demean(values: Array, member: sparse.csr_array, weight: Array) -> Array:
    """Values (n,) or (n, k) without the groups' weighted means."""
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return values - member @ ((member.T @ (weight * values)) / (member.T @ weight))


def _gram(columns: sparse.csr_array, member: sparse.csr_array, weight: Array) -> Array:
    """Weighted moments of columns without the groups' weighted means, which are never formed."""
    weighted = sparse.csr_array(columns.multiply(weight[:, None]))
    sums = (member.T @ weighted).toarray()
    return (columns.T @ weighted).toarray() - sums.T @ (sums / (member.T @ weight)[:, None])


def _inverse(matrix: Array, scale: Array) -> tuple[Array, int]:
    """Return the pseudo-inverse and the rank of a square matrix whose rows and columns have a scale."""
    size = np.where(scale > 0, np.sqrt(np.abs(scale)), 1.0)
    left, values, right = np.linalg.svd(matrix / np.outer(size, size))
    rank = int((values > _NUMERICAL_ROUNDING * max(values[0], 1.0)).sum())
    return (right[:rank].T / values[:rank]) @ left[:, :rank].T / np.outer(size, size), rank


def _regress(
    rows: pd.DataFrame, instruments: list[str], controls: list[str], held_fixed: list[str], *, with_weeks: bool
) -> tuple[Identification, pd.DataFrame]:
    """Return the pooled coefficient, and `raw`, `raw_se` and `first_stage_f` by product."""
    member = _indicators(rows["product"])
    dates = _dates(rows, with_weeks=with_weeks)
    ones = np.ones(len(rows))
    names = ["log_units", "log_price", *controls, *instruments]
    within = pd.DataFrame(_demean(rows[names].to_numpy(float), member, ones), pd.Index(rows["product"]), names)
    gram = _gram(dates, member, ones)
    inverse, rank = _inverse(gram, np.diag(gram))
    left = within - _demean(dates @ (inverse @ (dates.T @ within.to_numpy())), member, ones)
    scaled = (left / within.abs().max())[["log_price", *controls]].to_numpy()
    if np.linalg.svd(scaled, compute_uv=False)[-1] < _NUMERICAL_ROUNDING:
        raise ValueError(_NOT_SEPARATE)
    pooled = _pooled(left, instruments, controls, held_fixed, rank)
    common = sparse.csr_array(sparse.hstack([dates, sparse.csr_array(within[controls].to_numpy())]))
    if pooled.method == "fixed effects":
        slopes = _slopes(within, common, "log_units", "log_price", "log_price")
        if slopes["raw"].isna().all():
            raise ValueError(_NOT_SEPARATE)
        return pooled, slopes.assign(first_stage_f=np.nan)
    # As many instruments for one product would bias it towards least squares: one, the pooled first stage.
    first = np.linalg.lstsq(left[[*instruments, *controls]], left["log_price"])[0][: len(instruments)]
    within["predicted"] = within[instruments] @ first
    here = (within["predicted"] ** 2).groupby(level=0).transform("sum").to_numpy() > _NUMERICAL_ROUNDING
    own = _slopes(within[here], common[here], "log_price", "predicted", "predicted")
    strength = ((own["raw"] / own["raw_se"]) ** 2).rename("first_stage_f")
    here = within.index.isin(strength.index[strength >= WEAK_F])
    slopes = _slopes(within[here], common[here], "log_units", "log_price", "predicted")
    return pooled, slopes.join(strength, how="outer")


def _pooled(
    left: pd.DataFrame, instruments: list[str], controls: list[str], held_fixed: list[str], rank: int
) -> Identification:
    """Estimate one coefficient of the price from what the effects leave, by least squares and by instruments."""
    clusters, products = pd.factorize(left.index)

    def fitted(excluded: list[str]) -> list[Any]:
        """The fits with errors robust to heteroscedasticity and, clustered, to dependence; the larger error first."""
        exog = left[controls] if controls else None
        model = IV2SLS(left["log_units"], exog, left[["log_price"]], left[excluded].add_prefix("z "))
        fits = [model.fit(cov_type="robust", debiased=True, extra_df=rank + len(products))]
        if len(products) > 1:
            fits.append(model.fit(cov_type="clustered", clusters=clusters, debiased=True, extra_df=rank))
        return sorted(fits, key=lambda fit: fit.std_errors["log_price"], reverse=True)

    def estimates(fit: Any) -> dict[str, CoefficientEstimate]:
        values = fit.params.items()
        return {name: CoefficientEstimate(float(value), float(fit.std_errors[name])) for name, value in values}

    always = [_STOCKPILING] if "promotion" in controls else [_STOCKPILING, _DISPLAYS]
    found = estimates(fitted(["log_price"])[0])
    listed = _listed(instruments)
    plain = Identification("fixed effects", tuple(held_fixed), found.pop("log_price"), (_OWN_SHOCKS, *always), found)
    if not instruments:
        return plain
    z = left[instruments].to_numpy()
    x = left["log_price"].to_numpy()
    if np.abs(x - z @ np.linalg.lstsq(z, x)[0]).max() <= 1e-6 * np.abs(x).max():
        return replace(plain, warnings=(_A_SHARE.format(listed),))
    fits = fitted(instruments)
    strength = min(float(fit.first_stage.diagnostics["f.stat"].iloc[0]) for fit in fits) / len(instruments)
    found = estimates(fits[0])
    tried = {"instruments": tuple(instruments), "instrumented": found.pop("log_price"), "first_stage_f": strength}
    if strength < WEAK_F:
        return replace(plain, **tried, warnings=(_WEAK.format(listed, strength, WEAK_F),))
    excluded = (_EXCLUSION.format(listed), *always)
    return replace(plain, **tried, method="instruments", control_effects=found, cannot_rule_out=excluded)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _slopes(table: pd.DataFrame, common: sparse.csr_array, outcome: str, price: str, instrument: str) -> pd.DataFrame:
    r"""Fit :math:`y = a_g + e_g x + Z\gamma + \varepsilon` by least squares, or just-identified instruments.

    The slopes are eliminated from the equations of :math:`\gamma` (Frisch and Waugh 1933, Lovell 1963), so that
    neither time nor memory grows with the square of the number of groups.

    Args:
        table: n rows by group, with the groups' means removed.
        common: (n, q) columns Z with one coefficient for all groups.
        outcome: column y.
        price: column x.
        instrument: column of the instrument for x; x itself for least squares.

    Returns:
        `raw` and `raw_se` by group; NaN if slopes and columns are collinear. An error is the larger of HC3
        and the conventional one with one variance for each group: Angrist and Pischke's (2009, section 8.1) guard
        against robust errors that are too small by chance.
    """
    y, x, w = (table[name].to_numpy() for name in (outcome, price, instrument))
    groups = np.sort(table.index.unique())
    member = _indicators(table.index.to_series())
    ones = np.ones(len(table))

    def total(values: Array) -> Array:
        return member.T @ values

    moment = total(w * x)
    square = total(w**2)
    forward, back = ((member.multiply(v[:, None]).T @ common).toarray() for v in (w, x))
    gram = _gram(common, member, ones)
    inverse, rank = _inverse(gram - back.T @ (forward / moment[:, None]), np.diag(gram))
    if not len(table) or rank < _inverse(gram, np.diag(gram))[1]:
        return pd.DataFrame(np.nan, groups, ["raw", "raw_se"])
    gamma = inverse @ (common.T @ y - back.T @ (total(w * y) / moment))
    left = y - _demean(common @ gamma, member, ones)
    slope = total(w * left) / moment
    residual = left - x * (member @ slope)
    # What each row leaves of its own error, about: the common columns' share is taken as even.
    free = (1 - w**2 / (member @ square) - 1 / (member @ total(ones))) * (1 - rank / len(y))
    # A row that alone determines a coefficient has no residual; the conventional error is used.
    alone = free < 1e-9
    robust = np.where(alone, 0.0, residual / np.where(alone, 1.0, free)) ** 2
    variance = np.maximum(total(w**2 * robust), square * total(residual**2) / total(free)) / moment**2
    # The common columns have errors too, which add to those of slopes whose regressor they share.
    spread = _inverse(gram - forward.T @ (forward / square[:, None]), np.diag(gram))[0]
    variance *= 1 + ((forward @ spread) * forward).sum(axis=1) / square
    return pd.DataFrame({"raw": slope, "raw_se": np.sqrt(variance)}, groups)


def _poisson(rows: pd.DataFrame) -> tuple[float, float]:
    """Fit by Poisson pseudo-likelihood: the elasticity and its standard error, clustered by product.

    Iteratively reweighted least squares, each round with weighted product means removed (Correia, Guimarães and
    Zylkin 2020).
    """
    regressors = ["log_price", *(["promotion"] if "promotion" in rows and _moves_apart(rows, "promotion") else [])]
    own = _demean(rows[regressors].to_numpy(float), member := _indicators(rows["product"]), np.ones(len(rows)))
    columns = sparse.csr_array(sparse.hstack([sparse.csr_array(own), _dates(rows, with_weeks=True)]))
    units = rows["units"].to_numpy(float)
    mean = units - _demean(units, member, np.ones(len(rows))) / 2
    deviance = np.inf
    for _ in range(_MAX_ROUNDS):
        gram = _gram(columns, member, mean)
        inverse, rank = _inverse(gram, np.diag(gram))
        target = _demean(np.log(mean) + units / mean - 1, member, mean)
        step = target - _demean(columns @ (coefficient := inverse @ (columns.T @ (mean * target))), member, mean)
        mean = np.exp(np.log(mean) + units / mean - 1 - step)
        before = deviance
        deviance = 2 * float((xlogy(units, units / mean) - units + mean).sum())
        if abs(before - deviance) <= _NUMERICAL_ROUNDING * (1 + deviance):
            break
    else:
        raise ValueError(
            f"sales: the Poisson fit must converge within {_MAX_ROUNDS} rounds; got a deviance that still changes; "
            "give segments more sales or more weeks"
        )
    # The score of a product's own level is 0, so that means need not be removed here.
    scores = member.T @ sparse.csr_array(columns.multiply((units - mean)[:, None]))
    n, count = member.shape
    scale = count / max(count - 1, 1) * (n - 1) / (n - count - rank)
    return coefficient[0], float(np.sqrt(scale * ((scores @ inverse[0]) ** 2).sum()))
