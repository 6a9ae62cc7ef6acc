"""Logit and nested logit demand, estimated from market shares by Berry's inversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ...pricing import elasticity_matrix
from .identification import Identification, fit_iv, identify, partial_out
from .least_squares import Array, CoefficientEstimate, Groups, independent

_EFFECTS = ("product", "market")


class LogitDemand(BaseEstimator):
    r"""Aggregate logit, estimated from shares (Berry 1994).

    .. math:: \log s_{jm} - \log s_{0m} = a_j + d_m + x_{jm}'\gamma + \beta p_{jm} + \rho \log s_{jm|g} + \xi_{jm}

    s is a product's share of the market's potential purchases, s_0 the outside share, p the price.
    With market effects d, the price coefficient rests on shares within the market and does not
    depend on the assumed size of the market. In the nested logit (all products in one nest),
    :math:`\log s_{jm|g}`, the share of what was bought, is instrumented by the rivals' mean price
    (or their mean instruments), and :math:`\rho` says how much closer the products are to one
    another than to the outside option; 0 is the plain logit.

    Args:
        effects: any of `product` and `market`; `market` is not allowed with `nested`, whose
            :math:`\rho` rests on the response of the whole market.
        instruments: columns that instrument the price; weak ones are not used (see `identify`).
        controls: further columns of the utility.
        nested: whether to estimate :math:`\rho`.

    Attributes:
        price_coefficient_: utility per unit of currency (negative); the larger of the robust
            standard error and the one clustered by product.
        nesting_: :math:`\rho`; None if not nested. Implausible outside [0, 1).
        nesting_f_: first-stage F of :math:`\log s_{jm|g}` given the price (Sanderson and Windmeijer
            2016).
        identification_: what the price coefficient of the plain logit rests on.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> price = rng.uniform(1, 3, (30, 4))
        >>> odds = np.exp(-1.5 * price + rng.normal(0, 0.1, (30, 4)))
        >>> share = odds / (1 + odds.sum(axis=1, keepdims=True))
        >>> table = pd.DataFrame({"share": share.ravel(), "price": price.ravel()})
        >>> table = table.assign(market=np.repeat(range(30), 4), product=list("abcd") * 30)
        >>> bool(abs(LogitDemand().fit(table).price_coefficient_.coefficient + 1.5) < 0.1)
        True
    """

    price_coefficient_: CoefficientEstimate
    nesting_: CoefficientEstimate | None
    nesting_f_: float
    identification_: Identification

    def __init__(
        self,
        *,
        effects: Sequence[str] = _EFFECTS,
        instruments: Sequence[str] = (),
        controls: Sequence[str] = (),
        nested: bool = False,
    ) -> None:
        self.effects = effects
        self.instruments = instruments
        self.controls = controls
        self.nested = nested

    def fit(self, table: pd.DataFrame) -> Self:
        """Fit to shares.

        Args:
            table: one row per `product` and `market` with `share` (above 0; the shares of a market
                sum to less than 1), `price` (currency) and the named columns, in any order.

        Raises:
            ValueError: a column is missing, a market has no outside share, or market effects are
                combined with nesting.
        """
        if unknown := set(self.effects) - set(_EFFECTS):
            raise ValueError(f"LogitDemand: effects must be of {_EFFECTS}; got {sorted(unknown)[0]!r}")
        if self.nested and "market" in self.effects:
            raise ValueError(
                "LogitDemand: nested=True must come without market effects, which hold what the nest rests on; "
                f"got effects {tuple(self.effects)}; use effects=('product',)"
            )
        rows = _checked(table, (*self.instruments, *self.controls))
        inside = rows.groupby("market")["share"].transform("sum")
        labels = rows["product"].to_numpy()
        groups = Groups(labels if "product" in self.effects else np.zeros(len(rows)))
        held = groups.demean(rows[list(self.controls)].to_numpy(float))
        if "market" in self.effects:
            markets = pd.get_dummies(rows["market"], dtype=float).to_numpy()
            held = independent(np.column_stack([held, groups.demean(markets)]))
        y = groups.demean(np.log(rows["share"].to_numpy(float) / (1 - inside.to_numpy(float))))
        price = groups.demean(rows["price"].to_numpy(float))
        moving = {name: groups.demean(rows[name].to_numpy(float)) for name in self.instruments}
        excluded = pd.DataFrame(moving, index=rows.index)
        self.identification_ = identify(
            y,
            price,
            held,
            excluded,
            clusters=labels,
            absorbed=len(groups.sizes),
            effects=tuple(self.effects) or ("a constant",),
            controls=tuple(self.controls),
        )
        self.price_coefficient_, self.nesting_, self.nesting_f_ = self.identification_.used, None, np.nan
        self._covariance = np.diag([self.price_coefficient_.se**2, 0.0])
        if self.nested:
            moved = rows[list(self.instruments) or ["price"]]
            self._fit_nested(y, price, held, groups.demean(_with_rivals(moved, rows["market"])), inside, rows, groups)
        return self

    def _fit_nested(
        self,
        y: Array,
        price: Array,
        held: Array,
        excluded: Array,
        inside: pd.Series,
        rows: pd.DataFrame,
        groups: Groups,
    ) -> None:
        within = groups.demean(np.log(rows["share"].to_numpy(float) / inside.to_numpy(float)))
        y, price, within, excluded = (partial_out(values, held) for values in (y, price, within, excluded))
        clusters, counts = pd.factorize(rows["product"])[0], {"held": held.shape[1], "absorbed": len(groups.sizes)}
        fitted = fit_iv(y, np.column_stack([price, within]), excluded, clusters, **counts)
        self._covariance = fitted.cov.to_numpy()
        coefficients, errors = fitted.params.to_numpy(), fitted.std_errors.to_numpy()
        self.price_coefficient_ = CoefficientEstimate(float(coefficients[0]), float(errors[0]))
        self.nesting_ = CoefficientEstimate(float(coefficients[1]), float(errors[1]))
        self.nesting_f_ = _conditional_f(within, price, excluded, held.shape[1])

    def elasticities(self, products: pd.DataFrame) -> pd.DataFrame:
        """Return the elasticities of the row's demand with respect to the column's price.

        Args:
            products: `product`, `share` and `price` of one market.
        """
        return logit_elasticities(
            products,
            self.price_coefficient_.coefficient,
            self.nesting_.coefficient if self.nesting_ is not None else 0.0,
        )

    def own_se(self, products: pd.DataFrame) -> Array:
        """(N,) standard errors of the own elasticities, by the delta method."""
        share, price = products["share"].to_numpy(float), products["price"].to_numpy(float)
        coefficient, rho = self.price_coefficient_.coefficient, self.nesting_.coefficient if self.nesting_ else 0.0
        own = np.diag(self.elasticities(products).to_numpy())
        by_nesting = coefficient * price * (1 - share / share.sum()) / (1 - rho) ** 2
        gradient = np.stack([own / coefficient, by_nesting])
        return np.sqrt(np.einsum("in,ij,jn->n", gradient, self._covariance, gradient))


def logit_elasticities(products: pd.DataFrame, coefficient: float, nesting: float = 0.0) -> pd.DataFrame:
    """Return the own and cross elasticities of a (nested) logit (Berry 1994, section 4).

    Args:
        products: `product`, `share` and `price` of one market, all in one nest.
        coefficient: coefficient of the price in the utility.
        nesting: rho, in [0, 1).

    Returns:
        Elasticities of the row's demand with respect to the column's price.

    Example:
        >>> market = pd.DataFrame({"product": ["a", "b"], "share": [0.2, 0.3], "price": [1.0, 2.0]})
        >>> logit_elasticities(market, coefficient=-1.0).round(2).to_numpy().tolist()
        [[-0.8, 0.6], [0.2, -1.4]]
    """
    share, price = products["share"].to_numpy(float), products["price"].to_numpy(float)
    matrix = elasticity_matrix(coefficient * price, share, nesting=nesting)
    return pd.DataFrame(matrix, index=pd.Index(products["product"]), columns=pd.Index(products["product"]))


def _checked(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    needed = ["product", "market", "share", "price", *columns]
    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"table: column {missing[0]!r} is missing; got {', '.join(map(str, table.columns))}; add it")
    rows = table[needed]
    if rows.isna().any(axis=None) or (rows["share"] <= 0).any():
        raise ValueError("table: every share must be above 0 and nothing missing; got such rows; leave them out")
    if rows.duplicated(["product", "market"]).any():
        raise ValueError("table: one row for each product and market is allowed; got duplicates; drop them")
    if (most := rows.groupby("market")["share"].sum().max()) >= 1:
        raise ValueError(
            f"table: the shares of a market must sum to less than 1; got {most:.3g}; assume a larger market"
        )
    return rows.sort_values(["product", "market"], ignore_index=True)


def _with_rivals(moved: pd.DataFrame, market: pd.Series) -> Array:
    """Return the columns, and their means over the other products of the market."""
    own = moved.to_numpy(float)
    total = moved.groupby(market).transform("sum").to_numpy(float) - own
    count = market.groupby(market).transform("size").to_numpy()[:, None] - 1
    return np.column_stack([own, np.divide(total, count, out=np.zeros_like(total), where=count > 0)])


def _conditional_f(regressor: Array, other: Array, instruments: Array, gone: int) -> float:
    """Return the first-stage F of one of two endogenous regressors, given the other (homoscedastic)."""
    fitted = instruments @ np.linalg.lstsq(instruments, other)[0]
    left = regressor - other * (fitted @ regressor) / (fitted @ other)
    error = left - instruments @ np.linalg.lstsq(instruments, left)[0]
    count = instruments.shape[1]
    return float((left @ left - error @ error) / (count - 1) / (error @ error) * (len(left) - count - gone))
