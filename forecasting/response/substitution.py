"""Substitution within categories: a choice model fitted to each category of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ..shrinkage import shrink
from .identification import WEAK_F
from .logit import LogitDemand, logit_elasticities
from .rows import MIN_PRICE_SD, MIN_WEEKS, categorised, moves_apart, regression_rows, season

_ROOM = 2.0


class Substitution(BaseEstimator):
    """Own and cross elasticities within each category, from logit models of weekly shares.

    The size of a category's market in a week is the shop's baskets times a constant: twice the most
    units per basket that the category ever sold. The plain logit's price coefficient does not
    depend on it; the share of lost sales that leaves the category does. The nested logit estimates
    that share from the category's response to its prices. Weeks without sales of a product are left
    out. `promotion` is held fixed where the panel has it.

    Args:
        instruments: panel columns that move prices and not demand, as for `PriceResponse`, in
            levels.

    Attributes:
        categories_: one row per category: `category`, `price_coefficient` of the plain logit
            (utility per unit of currency; NaN: fewer than two products or too little movement) with
            `price_coefficient_se`, `shrunk` and `shrunk_se` (towards the mean of all categories, as
            elasticities at the mean price), `implausible` (above 0), `method` and `first_stage_f`
            (see `Identification`), `nesting`, `nesting_se`, `nesting_f`, `model` (`nested logit`,
            or `logit` where the nesting is weakly identified or implausible) and `outside_share`.
        own_: one row per product: `product`, `category`, `logit`, `logit_se`, `nested`,
            `nested_se`: own elasticities at mean price and share, to compare with those of
            `PriceResponse`.
        cross_: by category, the elasticities of the row's demand with respect to the column's
            price, by its `model`.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> choice = Substitution().fit(example_panel())
        >>> choice.cross_["fresh"].shape
        (3, 3)
    """

    categories_: pd.DataFrame
    own_: pd.DataFrame
    cross_: dict[str, pd.DataFrame]

    def __init__(self, *, instruments: Sequence[str] = ()) -> None:
        self.instruments = instruments

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel.

        Args:
            panel: as for `PriceResponse.fit`.

        Raises:
            ValueError: the panel is faulty, or no category has two products whose prices move.
        """
        rows = regression_rows(panel, columns=self.instruments)
        fitted = {str(name): self._fit_category(part) for name, part in categorised(rows).groupby("category")}
        known = {name: each for name, each in fitted.items() if each is not None}
        if not known:
            raise ValueError(
                "panel: a category with two products and moving prices is needed; got none; choose more products"
            )
        table = pd.DataFrame([{"category": name, **each.row()} for name, each in known.items()])
        level = pd.Series([each.mean_price for each in known.values()])
        # Coefficients of categories are comparable as elasticities only.
        one = pd.Series("all", index=table.index)
        shrunk = shrink(table["price_coefficient"] * level, table["price_coefficient_se"] * level, one)
        table = table.assign(shrunk=shrunk.mean / level, shrunk_se=shrunk.se / level)
        self.categories_ = table.set_index("category").reindex(list(fitted)).reset_index()
        parts = list(zip(known.items(), table["shrunk"], table["shrunk_se"], strict=True))
        self.own_ = pd.concat([each.own(name, b, se) for (name, each), b, se in parts], ignore_index=True)
        self.cross_ = {name: each.cross(b) for (name, each), b, _ in parts}
        return self

    def _fit_category(self, rows: pd.DataFrame) -> _Category | None:
        sold = rows[rows["units"] > 0]
        weeks = sold.groupby("product")["log_price"].transform("size")
        sold = sold[weeks >= MIN_WEEKS]
        within = sold["log_price"] - sold.groupby("product")["log_price"].transform("mean")
        apart = within - within.groupby(sold["week"]).transform("mean")
        if sold["product"].nunique() < 2 or apart.std() < MIN_PRICE_SD:
            return None
        size = sold["traffic"] * _ROOM * _most_per_basket(rows)
        year = season(sold["week"], sold["category"]).set_axis(["sine", "cosine"], axis=1)
        table = sold.assign(market=sold["week"], share=sold["units"] / size).join(year)
        controls = ["promotion"] if "promotion" in table and moves_apart(table, "promotion") else []
        plain = LogitDemand(instruments=self.instruments, controls=controls).fit(table)
        nested = LogitDemand(
            effects=("product",), instruments=self.instruments, controls=[*controls, "sine", "cosine"], nested=True
        ).fit(table)
        mean = table.groupby("product")[["share", "price"]].mean()
        # A week without sales counts as a share of 0 in the mean.
        mean["share"] = table.groupby("product")["share"].sum() / rows["week"].nunique()
        return _Category(plain, nested, mean.reset_index())


@dataclass(frozen=True)
class _Category:
    """The two models of a category, and the mean `share` and `price` of each `product`."""

    plain: LogitDemand
    nested: LogitDemand
    mean: pd.DataFrame

    @property
    def mean_price(self) -> float:
        return float(np.average(self.mean["price"], weights=self.mean["share"]))

    @property
    def usable(self) -> bool:
        """Whether the nested logit can be used."""
        nesting = self.nested.nesting_
        assert nesting is not None
        sound = 0 <= nesting.coefficient < 1 and self.nested.price_coefficient_.coefficient < 0
        return sound and self.nested.nesting_f_ >= WEAK_F

    def row(self) -> dict[str, object]:
        price, nesting, found = self.plain.price_coefficient_, self.nested.nesting_, self.plain.identification_
        assert nesting is not None
        return {
            "price_coefficient": price.coefficient,
            "price_coefficient_se": price.se,
            "implausible": price.coefficient > 0,
            "method": found.method,
            "first_stage_f": found.first_stage_f,
            "nesting": nesting.coefficient,
            "nesting_se": nesting.se,
            "nesting_f": self.nested.nesting_f_,
            "model": "nested logit" if self.usable else "logit",
            "outside_share": 1 - self.mean["share"].sum(),
        }

    def own(self, category: str, coefficient: float, se: float) -> pd.DataFrame:
        plain = np.diag(logit_elasticities(self.mean, coefficient).to_numpy())
        nested = np.diag(self.nested.elasticities(self.mean).to_numpy()) if self.usable else np.nan
        columns = {
            "category": category,
            "logit": plain,
            "logit_se": np.abs(plain / coefficient) * se,
            "nested": nested,
            "nested_se": self.nested.own_se(self.mean) if self.usable else np.nan,
        }
        return self.mean[["product"]].assign(**columns)

    def cross(self, coefficient: float) -> pd.DataFrame:
        return self.nested.elasticities(self.mean) if self.usable else logit_elasticities(self.mean, coefficient)


def _most_per_basket(rows: pd.DataFrame) -> float:
    by_week = rows.groupby("week")
    return float((by_week["units"].sum() / by_week["traffic"].first()).max())
