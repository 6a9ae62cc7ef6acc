"""Logit demand, estimated from market shares by Berry's inversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from .identification import Identification, identify
from .least_squares import CoefficientEstimate, Groups, independent

_EFFECTS = ("product", "market")


class LogitDemand(BaseEstimator):
    r"""Aggregate logit, estimated from shares (Berry 1994).

    .. math:: \log s_{jm} - \log s_{0m} = a_j + d_m + x_{jm}'\gamma + \beta p_{jm} + \xi_{jm}

    s is a product's share of the market's potential purchases, s_0 the outside share, p the price.
    With market effects d, the price coefficient rests on shares within the market and does not
    depend on the assumed size of the market. The elasticities that follow are those of
    `repricer.pricing.elasticity_matrix`.

    Args:
        effects: any of `product` and `market`.
        instruments: columns that instrument the price; weak ones are not used (see `identify`).
        controls: further columns of the utility.

    Attributes:
        price_coefficient_: utility per unit of currency (negative); the larger of the robust
            standard error and the one clustered by product.
        identification_: what the price coefficient rests on.

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
    identification_: Identification

    def __init__(
        self,
        *,
        effects: Sequence[str] = _EFFECTS,
        instruments: Sequence[str] = (),
        controls: Sequence[str] = (),
    ) -> None:
        self.effects = effects
        self.instruments = instruments
        self.controls = controls

    def fit(self, table: pd.DataFrame) -> Self:
        """Fit to shares.

        Args:
            table: one row per `product` and `market` with `share` (above 0; the shares of a market
                sum to less than 1), `price` (currency) and the named columns, in any order.

        Raises:
            ValueError: a column is missing, or a market has no outside share.
        """
        if unknown := set(self.effects) - set(_EFFECTS):
            raise ValueError(f"LogitDemand: effects must be of {_EFFECTS}; got {sorted(unknown)[0]!r}")
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
        self.price_coefficient_ = self.identification_.used
        return self


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
