"""What is assumed about prices and customers before a shop's sales are seen."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ...scenarios.fields import nearest

_MEANS = ("promotion", "suspect", "reduced", "deal", "deal_units", "dip")
_OF_SHOP = ("unlike", "logarithmic", "beyond_costs", "follow_demand", "regular_and_deal")
"""How likely models are: the same in all categories."""
_SHARES = ("outside", *_OF_SHOP)
_CATEGORY = "category_priors"


@dataclass(frozen=True)
class Priors:
    """Normal priors of the demand model; docs/can_i_believe_it.md says which were set after shops had been predicted badly.

    Elasticities: Bijmolt, van Heerde and Pieters (2005), New Empirical Generalizations on the
    Determinants of Price Elasticity, Journal of Marketing Research 42(2): mean -2.62, median -2.22
    over 1,851 elasticities of brands. Displays and mailers: Van Heerde, Leeflang and Wittink
    (2004), Decomposing the Sales Promotion Bump with Store Data, Marketing Science 23(3). Prices that
    follow demand: to account for them makes elasticities larger, more than anything else does (Bijmolt et al.);
    how much larger, 1.3, is ours.

    Regular prices: Hoch, Dreze and Purk (1994), EDLP, Hi-Lo, and Margin Arithmetic, Journal of Marketing 58(4): in 26
    categories, prices 10% lower gave 3% more units of a category, 10% higher 3% fewer; Hoch, Kim, Montgomery and
    Rossi (1995), Determinants of Store-Level Price Elasticity, Journal of Marketing Research 32(1). Deals: van Heerde,
    Gupta and Wittink (2003), Is 75% of the Sales Promotion Bump Due to Brand Switching? No, Only 33% Is, Journal of
    Marketing Research 40(4): a third of the bump each from other brands, other weeks and growth.

    Args:
        elasticity: Median absolute own-price elasticity at the regular price.
        lasting: Median absolute elasticity of a product's share of its category in its own regular price, where
            customers answer to deals in another way.
        lasting_spread: Standard deviation of its logarithm.
        category: Median absolute elasticity of a category's units in all of its regular prices, there.
        category_response_spread: Standard deviation of its logarithm.
        deal: Mean utility of a price below the remembered one, per log point.
        deal_spread: Its standard deviation.
        deal_units: Mean log units that those who buy then buy more, per log point.
        deal_units_spread: Its standard deviation.
        dip: Mean log units that they buy less where the price is above the remembered one, per log point.
        dip_spread: Its standard deviation.
        on_deal_spread: Standard deviation of the log units that being on deal adds, whatever its depth.
        deal_product_spread: Standard deviation between products of the utility of a deal.
        category_spread: Standard deviation of its logarithm between categories.
        product_spread: The same between the products of a category.
        outside: Median share of a category's customers who buy nothing at regular prices.
        outside_spread: Standard deviation of its log odds.
        promotion: Mean utility of a display or mailer in all stores.
        promotion_spread: Its standard deviation.
        season_spread: Standard deviation of each coefficient of the yearly season, in logs.
        trend_spread: Standard deviation of the trend of arrivals, log points per year.
        weekday_spread: Standard deviation of each weekday's effect on arrivals by day, in logs.
        signal_spread: Standard deviation of the effect of a holiday, in logs.
        drift_spread: Standard deviation of the change of a category's elasticities in a year, in logs.
        control_spread: Standard deviation of the utility of price changes without a reason in costs,
            per log point.
        suspect: Mean utility of regular prices, in proportion, that moved because of demand, where costs are
            not known.
        suspect_spread: Its standard deviation.
        reduced: Mean utility that weeks with a reduction differ in other than by their price, where prices follow
            demand: the shop reduces what sells badly.
        reduced_spread: Its standard deviation.
        level_spread: Standard deviation of the change of a category's arrivals that goes with its price
            level, per log point, where prices follow demand: 3 for a shop that raises its prices
            by a third of a percent where one percent more customers come.
        unlike: Prior probability that a product whose units do not fall with its price answers unlike
            the others, rather than that prices follow demand.
        logarithmic: Prior probability that utility is linear in the logarithm of prices, rather than in prices.
        beyond_costs: Prior probability that what costs do not explain of the prices moves utility in proportion, where
            costs are known and move prices.
        follow_demand: Prior probability that prices follow demand, where customers answer to all prices alike.
        regular_and_deal: Prior probability that customers answer to deals and to regular prices in two ways.
        category_priors: By category, those of these priors that are others there, by name; probabilities of models are the
            same in all categories.

    Raises:
        ValueError: A number is not allowed, or a name of a category's priors is unknown.

    Example:
        >>> priors = Priors(lasting=1.8, category_priors={"spices": {"lasting": 1.2}})
        >>> priors.of("spices").lasting, priors.of("soups").lasting
        (1.2, 1.8)
    """

    elasticity: float = 2.3
    lasting: float = 1.8
    lasting_spread: float = 0.4
    category: float = 0.4
    category_response_spread: float = 0.65
    deal: float = 1.0
    deal_spread: float = 2.0
    deal_units: float = 1.0
    deal_units_spread: float = 2.0
    dip: float = 0.4
    dip_spread: float = 0.4
    on_deal_spread: float = 0.3
    deal_product_spread: float = 1.5
    category_spread: float = 0.4
    product_spread: float = 0.3
    outside: float = 0.6
    outside_spread: float = 1.0
    promotion: float = 0.3
    promotion_spread: float = 0.5
    season_spread: float = 0.2
    trend_spread: float = 0.2
    weekday_spread: float = 0.5
    signal_spread: float = 0.3
    drift_spread: float = 0.1
    control_spread: float = 2.0
    suspect: float = 1.3
    suspect_spread: float = 1.5
    reduced: float = -0.3
    reduced_spread: float = 0.2
    level_spread: float = 3.0
    unlike: float = 0.05
    logarithmic: float = 0.2
    beyond_costs: float = 0.5
    follow_demand: float = 0.2
    regular_and_deal: float = 0.8
    category_priors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [item.name for item in fields(self) if item.name != _CATEGORY]
        for name in names:
            _check(name, getattr(self, name), "priors")
        if not isinstance(self.category_priors, Mapping):
            got = f"got {self.category_priors!r}; write a table such as [category_priors.tea]"
            raise ValueError(f"priors: category_priors must be tables by category; {got}")
        known = [name for name in names if name not in _OF_SHOP]
        for category, own in self.category_priors.items():
            where = f"priors of {category!r}"
            if not isinstance(own, Mapping):
                raise ValueError(f"{where} must be a table of names and numbers; got {own!r}; fix it")
            for name, value in own.items():
                if name not in known:
                    raise ValueError(f"{where} must hold known names; got '{name}'; {nearest(name, known)}")
                _check(name, value, where)

    def of(self, category: str) -> Priors:
        """Those of a category."""
        return replace(self, **self.category_priors.get(category, {}), category_priors={})

    def check_categories(self, categories: Collection[str]) -> None:
        """Refuse priors of a category that the shop has not.

        Args:
            categories: The shop's.

        Raises:
            ValueError: A category is unknown.
        """
        for category in self.category_priors:
            if category not in categories:
                fix = nearest(category, sorted(categories))
                raise ValueError(f"priors must be of categories of the shop; got '{category}'; {fix}")

    @classmethod
    def load(cls, path: Path) -> Priors:
        """Read priors from a TOML file; what it leaves out keeps its default.

        Args:
            path: A file of `name = number` lines, the names those of this class, and of tables such as
                `[category_priors."soft drinks"]` with lines that hold in that category alone.

        Raises:
            ValueError: The file does not exist, is not TOML, or has an unknown name or a wrong number.
        """
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"priors must be a TOML file; got {path}, which does not exist; check the path") from None
        except ValueError as error:
            raise ValueError(f"priors {path} must be TOML in UTF-8; got: {error}; fix that line") from error
        names = [item.name for item in fields(cls)]
        for name in given:
            if name not in names:
                raise ValueError(f"priors {path} must hold known names; got '{name}'; {nearest(name, names)}")
        return cls(**given)


def _check(name: str, value: object, where: str) -> None:
    """Refuse a number that is not allowed."""
    share = name in _SHARES
    low = -1e3 if name in _MEANS else 0
    high = 1 if share else 1e3
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        allowed = "a number between 0 and 1" if share else "a number" if low else "a number above 0"
        raise ValueError(f"{where}: {name} must be {allowed}; got {value!r}; fix it")
