"""What a shop's tables do not say, and the market assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from ..data import Tables
from ..data.doubtful_costs import doubtful_costs
from ..data.weeks import PERIODS, WEEK
from ..scenarios.fields import listed as named
from .shop_rules import ShopRules, rules_in_words

Array = NDArray[np.float64]
# A relative move that limits nothing.
_NO_STEP = 1e3


@dataclass(frozen=True)
class Assumptions:
    """Assumptions of a fitted market, which its card states in words.

    Args:
        unit_cost_share: Unit cost as a share of the regular price, for products without a known
            cost.
        unit_cost_range: Lowest and highest share that the posterior draws assume for them.
        recommendation_lift: Utility that a recommendation adds, where no displays or mailers are
            recorded; the draws assume between none and twice as much.
        max_discount: Largest personal discount, as a fraction of the price.
        lowest_price: Price floor as a share of the regular price.
        highest_price: Price ceiling as a share of the regular price.
        price_widening: Fraction by which prices may leave the range that the shop mostly charged (the
            2% and 98% quantiles of the past year, by product), within `lowest_price` and
            `highest_price`, where that pays; None for these two bounds alone.
        max_step: Largest relative move of a price from the one that is planned for its period; None for no such limit.
        max_change: Largest relative price change per week, or per day in a market of days.
        lead_time_weeks: Weeks from order to delivery.
        cover_quantile: The shop orders up to this quantile of demand over the lead time and one
            week.
        holding_cost_share: Weekly cost of a unit on hand as a share of its unit cost. None by default: no shop books it, and on
            stock that is assumed it would take a tenth to a quarter of the profit that gains are relative to.
        promotion_cost_share: Cost of a week's display and mailer as a share of the product's usual
            weekly revenue.
        funding_share: What suppliers pay of a planned reduction, as a share of it without VAT, where the promotions of the tables have
            no `funding`.
        vat: Value added tax that all prices hold, a share of the price without it; None where the product table says it, or
            prices hold none. Unit costs never hold it, and what is assumed of them is a share of the price without it.
        rules: The shop's own rules, which win over all of these for the products that they speak of.

    Example:
        >>> products = pd.DataFrame({"product": ["tea"], "category": ["hot"]})
        >>> Assumptions(max_discount=0.1).lines(products)[-1]
        'Personal discounts go up to 10%.'
    """

    unit_cost_share: float = 0.65
    unit_cost_range: tuple[float, float] = (0.5, 0.8)
    recommendation_lift: float = 0.3
    max_discount: float = 0.15
    lowest_price: float = 0.5
    highest_price: float = 1.3
    price_widening: float | None = 0.0
    max_step: float | None = 0.05
    max_change: float = 0.5
    lead_time_weeks: int = 1
    cover_quantile: float = 0.95
    holding_cost_share: float = 0.0
    promotion_cost_share: float = 0.05
    funding_share: float = 0.0
    vat: float | None = None
    rules: ShopRules = field(default_factory=ShopRules)

    @classmethod
    def under(cls, rules: ShopRules, **given: Any) -> Assumptions:
        """Assumptions with the shop's rules, whose largest change and discount they take over.

        Args:
            rules: The shop's rules.
            given: Further fields.

        Example:
            >>> Assumptions.under(ShopRules.of({"shop": {"max_change": 0.1}})).max_change
            0.1
        """
        given_by_rules = {key: getattr(rules.shop, key) for key in ("max_change", "max_discount")}
        return cls(rules=rules, **{key: value for key, value in given_by_rules.items() if value is not None}, **given)

    def largest_change(self, products: pd.DataFrame) -> Array:
        """(N,) largest relative price change per week."""
        return self.rules.values("max_change", products, self.max_change)

    def largest_step(self, products: pd.DataFrame) -> Array | None:
        """(N,) largest relative move from the planned price; None where no product has a limit."""
        found = self.rules.values("max_step", products, _NO_STEP if self.max_step is None else self.max_step)
        return None if (found >= _NO_STEP).all() else found

    def cost_range(self, products: pd.DataFrame) -> Array:
        """(N, 2) lowest and highest unit cost over the regular price, for products without a known cost."""
        return self.rules.values("unit_cost_share", products, np.array(self.unit_cost_range))

    def cost_share(self, products: pd.DataFrame) -> Array:
        """(N,) unit cost over the regular price, for products without a known cost."""
        given_by_rules = self.rules.values("unit_cost_share", products, np.full(2, self.unit_cost_share))
        return given_by_rules.mean(axis=1)

    def vat_of(self, products: pd.DataFrame) -> Array:
        """(N,) value added tax in the price of each product, a share of the price without it.

        Args:
            products: The products, with their `vat` where the tables know it.

        Raises:
            ValueError: It is given twice and differs, or for some of the products only.
        """
        listed = products.reindex(columns=["vat"])["vat"].astype(float)
        if self.vat is None:
            return _complete(products, listed)
        other = products.loc[listed.notna() & (listed != self.vat)]
        if len(other):
            product = other.iloc[0]["product"]
            rate = float(other.iloc[0]["vat"])
            must = f"vat must be the same for the fit and in the product table; got {self.vat:g} and {rate:g} for '{product}'"
            raise ValueError(f"{must}; remove one of them")
        return np.full(len(products), self.vat)

    def lines(
        self,
        products: pd.DataFrame,
        *,
        customers: bool = True,
        exposure_effect: float | None = None,
        promoted: int | None = None,
        held: Mapping[str, str] | None = None,
        period: str = "week",
    ) -> tuple[str, ...]:
        """The assumptions in words, for the card and the report.

        Args:
            products: The products of the market, with their `unit_cost` where known.
            customers: Whether the sales name customers.
            exposure_effect: Effect of displays and mailers on utility; None if they are not recorded.
            promoted: Most products on promotion at once; None if promotions are no decision.
            held: Products that are not priced, and why, a clause each.
            period: What a period of the market is, week or day.
        """
        lead_time = self.lead_time_weeks * (WEEK // PERIODS[period])
        every = "daily" if period == "day" else "weekly"
        unknown = products[unit_costs(products).isna()]
        vat = self.vat_of(products)
        without = " without value added tax" if vat.any() else ""
        share = self.holding_cost_share
        holding = f"{share:.1%} of its unit cost per week" if share else "nothing"
        said = []
        by_reason: dict[str, list[str]] = {}
        for name, why in (held or {}).items():
            by_reason.setdefault(why, []).append(name)
        said += [
            f"In the market at their planned prices, each as {why}: {', '.join(names)}."
            for why, names in by_reason.items()
        ]
        if len(unknown):
            said.append(
                f"The tables give no unit cost for {len(unknown)} of {len(products)} products: assumed is "
                f"{percent(self.cost_share(unknown))} of the regular price{without}, and {percent(self.cost_range(unknown))} in the "
                "posterior draws."
            )
        if vat.any():
            said.append(
                f"Prices hold value added tax of {percent(vat)}; unit costs, revenue, margins, profit, what suppliers pay and all "
                "other money are without it."
            )
        said += [
            f"How the shop orders is not in the data: orders are placed {every}, up to the {self.cover_quantile:.0%} quantile of "
            f"forecast and past demand over {lead_time + 1} {period}s, and delivered after "
            f"{lead_time}; holding a unit costs {holding}.",
            *self._step_lines(products),
            f"Prices stay {self._range()}, and change by at most {percent(self.largest_change(products))} per {period}.",
            "Prices outside the range that the shop mostly charged (the 2% and 98% quantiles of the past year) are "
            "extrapolation.",
            *rules_in_words(self.rules, products),
        ]
        if promoted is not None:
            said.append(
                f"Up to {promoted} products per {period} can be on display and in the mailer of all stores; this costs "
                f"{self.promotion_cost_share:.0%} of a product's usual {every} revenue, since the data give no cost."
            )
        elif exposure_effect is not None:
            said.append(
                "Displays and mailers stay with the deals that the shop planned, and go where a deal is dropped; the price "
                "response is that of prices alone."
            )
        if customers:
            said += [self._recommended(exposure_effect), f"Personal discounts go up to {self.max_discount:.0%}."]
        else:
            said.append(
                "The sales name no customers: there is one segment, without personal discounts or recommendations."
            )
        return tuple(said)

    def _step_lines(self, products: pd.DataFrame) -> list[str]:
        step = self.largest_step(products)
        if step is None:
            return []
        return [
            f"Each price stays within {percent(step)} of the one planned for its week, or of the regular price where a deal is "
            "dropped or moved: small steps, as far as these sales carry them; --widen or the rule max_step allows more."
        ]

    def _range(self) -> str:
        bounds = f"between {self.lowest_price:.0%} and {self.highest_price:.0%} of the regular price"
        if self.price_widening is None:
            return bounds
        reach = f"within {self.price_widening:.0%} of" if self.price_widening else "within"
        return f"{reach} the range that the shop mostly charged (wider would hardly pay), and {bounds}"

    def _recommended(self, exposure_effect: float | None) -> str:
        if exposure_effect is None:
            return (
                f"A recommendation adds {self.recommendation_lift:g} to a product's utility (draws: 0 to twice that): "
                "assumed, since the sales do not record what was shown."
            )
        return (
            f"A recommendation lifts utility as a display or mailer in all stores did, by {exposure_effect:.2f}: "
            "estimated from those, since the sales do not record recommendations."
        )


def unit_costs(products: pd.DataFrame) -> pd.Series:
    """(N,) unit costs that the tables give; NaN for the others."""
    return products.reindex(columns=["unit_cost"])["unit_cost"]


def _complete(products: pd.DataFrame, listed: pd.Series) -> Array:
    """(N,) the rates that the tables give, 0 where they give none at all. Raises ValueError where some are missing."""
    missing = products.loc[listed.isna(), "product"]
    if 0 < len(missing) < len(products):
        must = "vat of the product table must be there for each product, 0 where the price holds none"
        raise ValueError(f"{must}; got none for {named(list(missing))}; add it")
    return listed.fillna(0.0).to_numpy()


def cost_doubts(tables: Tables, products: pd.DataFrame, vat: float | None = None) -> list[str]:
    """Why the unit costs of some products can hardly be meant; none where the products bring their own.

    Args:
        tables: The tables that give the costs.
        products: The products of the market; those with a `unit_cost` of their own need none of the tables.
        vat: Value added tax of all products, where the product table does not say it.

    Example:
        >>> cost_doubts(tables, pd.DataFrame({"product": ["tea"]}))  # doctest: +SKIP
        ['unit costs of 1 of 1 products are 7.2 times the price or more, as those of a case would be ...']
    """
    needed = products.loc[unit_costs(products).isna(), "product"]
    lines = tables.sale_lines(["product", "units", "price_paid", "unit_cost"])
    own = lines.filter(pl.col("product").cast(pl.String).is_in(list(needed)))
    return doubtful_costs(own, tables.lines("products", ["product", "unit_cost", "vat"]), vat or 0.0)


def percent(shares: Any) -> str:
    """A share in percent, or the lowest and the highest of several.

    Example:
        >>> percent([0.5, 0.8]), percent(0.65)
        ('50% to 80%', '65%')
    """
    ends = dict.fromkeys(f"{end:.0%}" for end in (np.min(shares), np.max(shares)))
    return " to ".join(ends)
