"""Features of each customer, from the sale lines."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

LEAST_CUSTOMERS = 50
"""Fewer customers are merged into the nearest segment, or their figures refused (k-anonymity)."""


def check_sizes(sizes: Iterable[int], least: int = LEAST_CUSTOMERS) -> None:
    """Refuse figures of segments that are too small.

    Args:
        sizes: Customers in each segment.
        least: The least number.

    Raises:
        ValueError: A segment has fewer customers.

    Example:
        >>> check_sizes([120, 3])
        Traceback (most recent call last):
        ValueError: a segment must have at least 50 customers to leave the house; got one of 3; merge it with another
    """
    smallest = min(sizes, default=least)
    if smallest < least:
        must = f"a segment must have at least {least} customers to leave the house"
        raise ValueError(f"{must}; got one of {smallest}; merge it with another")


FEATURES: dict[str, str] = {
    "recency_days": "days from the last purchase to `as_of`",
    "frequency": "visits per week; a visit is a basket, or a day with a purchase where baskets are unknown",
    "spend": "currency per week",
    "visit_units": "units per visit",
    "n_categories": "distinct categories bought from (needs `products`)",
    "discount_share": "currency saved as a share of what the same units cost at regular price, 0 to 1 "
    "(needs `regular_price`)",
    "promotion_affinity": "units bought below regular price, over the units that average buyers of the same "
    "products would have bought so; 1 is average (needs `regular_price`)",
    "price_sensitivity": "what average buyers of the same products pay for the same units, over what the customer "
    "paid; 1 is average, above it buys cheaper",
    "view_rate": "products looked at per week, bought or not (needs `behaviour`)",
    "cart_rate": "products put into the basket per week, bought or not (needs `behaviour`)",
    "rating_rate": "ratings and reviews per week (needs `behaviour`)",
    "rating": "mean value of the customer's ratings; of all ratings where they gave none (needs `behaviour`)",
}
"""Every feature and its unit, in the order of the columns. All are 0 or more and none is missing."""


def customer_features(
    sales: pd.DataFrame,
    *,
    products: pd.DataFrame | None = None,
    behaviour: pd.DataFrame | None = None,
    customers: pd.DataFrame | None = None,
    as_of: str | pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Describe each customer by the features of `FEATURES`, and by their traits.

    Rates per week are over the whole span from the first date of `sales` to `as_of`, whenever the
    customer first came, so that a segment's rates add up to the shop's. Sale lines without a
    customer are ignored.

    Args:
        sales: canonical sales with the column `customer`.
        products: canonical products, for `n_categories`.
        behaviour: canonical behaviour with `customer`: views, carts, ratings and reviews.
        customers: canonical customers, whose further columns are traits (age, income): a column
            "trait:NAME" for a number, "trait:NAME=LEVEL" of 0 and 1 for each level of a text that
            50 customers or more share.
        as_of: last day that counts; later sales are left out. None: the last date of `sales`.

    Returns:
        Floats indexed by customer, sorted. A feature whose data are missing is left out, never a
        customer.

    Raises:
        ValueError: `sales` has no column `customer`, or no customer's sale up to `as_of`.

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({
        ...     "date": pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-14"]),
        ...     "customer": ["ann", "ann", "bob"],
        ...     "product": ["tea", "tea", "tea"],
        ...     "units": [1.0, 3.0, 2.0],
        ...     "price_paid": [4.0, 3.0, 4.0],
        ... })
        >>> customer_features(sales)[["recency_days", "frequency", "spend"]].to_dict("index")["ann"]
        {'recency_days': 6.0, 'frequency': 1.0, 'spend': 6.5}
    """
    require_columns(sales, "customer", "date", "product", "units", "price_paid")
    end = sales["date"].max() if as_of is None else pd.Timestamp(as_of)
    known = sales[(sales["date"] <= end) & sales["customer"].notna()]
    if known.empty:
        raise ValueError(f"sales: no customer's sale up to as_of; got as_of {end}; choose a later day")
    # Groups of categories are integers, several times faster than text.
    lines = known.astype({"customer": "category", "product": "category"})
    weeks = ((end - sales["date"].min()).days + 1) / 7
    parts = [_habits(lines, end, weeks)]
    if products is not None:
        parts.append(_breadth(lines, products))
    if "regular_price" in lines:
        parts.append(_price_response(lines))
    parts.append(_price_sensitivity(lines).to_frame())
    features = pd.concat(parts, axis="columns").astype(float)
    features.index = features.index.astype(str)
    if behaviour is not None:
        features = features.join(behaviour_features(behaviour, features.index, end=end, weeks=weeks))
    return features if customers is None else features.join(trait_features(customers, features.index))


def require_columns(sales: pd.DataFrame, *names: str, table: str = "sales") -> None:
    """Raise a ValueError if `sales`, or what `table` says that it is, lacks one of the columns `names`."""
    missing = [name for name in names if name not in sales]
    if missing:
        must = f"{table}: column {missing[0]!r} is missing; needed are {', '.join(names)}"
        raise ValueError(f"{must}; got {', '.join(map(str, sales.columns))}; add it or map it on import")


def _habits(lines: pd.DataFrame, end: pd.Timestamp, weeks: float) -> pd.DataFrame:
    # A basket belongs to one day: the date matters only where baskets are unknown.
    visit = [name for name in ("customer", "date", "basket") if name in lines]
    visits = lines[visit].drop_duplicates().groupby("customer", observed=True).size()
    amounts = lines[["customer", "units"]].assign(spend=lines["units"] * lines["price_paid"])
    totals = amounts.groupby("customer", observed=True).sum()
    last = lines.groupby("customer", observed=True)["date"].max()
    habits = {"recency_days": (end - last).dt.days, "frequency": visits / weeks, "spend": totals["spend"] / weeks}
    return pd.DataFrame(habits | {"visit_units": totals["units"] / visits})


def _breadth(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    category = products.set_index("product")["category"].astype("category")
    bought = lines[["customer"]].assign(category=lines["product"].map(category))
    counts = bought.drop_duplicates().groupby("customer", observed=True)["category"].count()
    return counts.to_frame("n_categories")


def _price_response(lines: pd.DataFrame) -> pd.DataFrame:
    regular = lines["regular_price"].fillna(lines["price_paid"])
    below = lines["price_paid"] < regular
    units = lines[["product", "units"]].assign(promoted=lines["units"].where(below, 0.0))
    by_product = units.groupby("product", observed=True).sum()
    share = by_product["promoted"] / by_product["units"]
    parts = {
        "saved": (lines["units"] * (regular - lines["price_paid"])).clip(lower=0),
        "regular": lines["units"] * regular,
        "promoted": units["promoted"],
        "expected": lines["units"] * lines["product"].map(share).astype(float),
    }
    totals = pd.DataFrame(parts).groupby(lines["customer"], observed=True).sum()
    # One unit added on both sides keeps customers with few units near the average of 1.
    affinity = (totals["promoted"] + 1) / (totals["expected"] + 1)
    saved = (totals["saved"] / totals["regular"]).fillna(0.0)
    return pd.DataFrame({"discount_share": saved, "promotion_affinity": affinity})


def _price_sensitivity(lines: pd.DataFrame) -> pd.Series:
    """What each customer's units cost at the average price paid for each product, over what the customer paid."""
    paid = lines["units"] * lines["price_paid"]
    paid_for_product = paid.groupby(lines["product"], observed=True).sum()
    average_price = paid_for_product / lines["units"].groupby(lines["product"], observed=True).sum()
    at_average = lines["units"] * lines["product"].map(average_price).astype(float)
    totals = pd.DataFrame({"at_average": at_average, "paid": paid}).groupby(lines["customer"], observed=True).sum()
    # No ratio for a customer who paid nothing.
    ratio = totals["at_average"] / totals["paid"].where(totals["paid"] > 0, np.nan)
    return ratio.fillna(1.0).rename("price_sensitivity")


_RATES = {"view_rate": ("view",), "cart_rate": ("cart",), "rating_rate": ("rating", "review")}
TRAIT = "trait:"
"""Prefix of the columns that hold traits."""


def behaviour_features(
    behaviour: pd.DataFrame, customers: pd.Index, *, end: pd.Timestamp, weeks: float
) -> pd.DataFrame:
    """Count events per week, and average the ratings.

    Args:
        behaviour: `date`, `customer`, `event` and, where known, `value`.
        customers: the rows of the result.
        end: last day that counts.
        weeks: length of the span that counts, up to then.

    Returns:
        One row per customer. A kind of event that never happened has no column.

    Raises:
        ValueError: `behaviour` lacks one of `date`, `customer` and `event`.
    """
    require_columns(behaviour, "date", "customer", "event", table="behaviour")
    here = (behaviour["date"] <= end) & (behaviour["date"] > end - pd.Timedelta(days=round(7 * weeks)))
    events = behaviour[here & behaviour["customer"].isin(customers)]
    value = events["value"] if "value" in events else pd.Series(np.nan, events.index)
    # The value of a view or cart row is a number of events, that of a rating its stars.
    count = value.where(~events["event"].isin(_RATES["rating_rate"])).fillna(1.0)
    features = pd.DataFrame(index=customers)
    for name, kinds in _RATES.items():
        chosen = events["event"].isin(kinds)
        if chosen.any():
            counts = count[chosen].groupby(events["customer"]).sum()
            features[name] = counts.reindex(customers, fill_value=0.0) / weeks
    stars = value[events["event"].isin(_RATES["rating_rate"])].dropna()
    if len(stars):
        features["rating"] = stars.groupby(events["customer"]).mean().reindex(customers).fillna(stars.mean())
    return features


def trait_features(table: pd.DataFrame, customers: pd.Index) -> pd.DataFrame:
    """Return the traits of `customers` as numbers of 0 or more.

    An unknown number becomes the median; an unknown level is 0 in every column. A trait that is
    negative somewhere, or known of fewer than 50 customers, is left out.
    """
    known = table.set_index("customer").reindex(customers)
    columns = {}
    for name in known:
        trait = known[name]
        if trait.notna().sum() < LEAST_CUSTOMERS:
            continue
        if pd.api.types.is_numeric_dtype(trait) and not pd.api.types.is_bool_dtype(trait):
            if trait.min() >= 0 and trait.max() < np.inf:
                columns[f"{TRAIT}{name}"] = trait.astype(float).fillna(trait.median())
            continue
        # A level shared by fewer customers could identify someone.
        levels = trait.value_counts()
        for level in sorted(levels.index[levels >= LEAST_CUSTOMERS], key=str):
            columns[f"{TRAIT}{name}={level}"] = (trait == level).fillna(False).astype(float)
    return pd.DataFrame(columns, index=customers)
