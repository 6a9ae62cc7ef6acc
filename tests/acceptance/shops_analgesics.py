"""Analgesics of 73 stores, 48 weeks, 11 products whose prices hardly move: are all in the market, and do forecasts hold?

ANALGESICS names the file `data-raw/analgesics.csv` of the public repository lachlandeer/demandr (MIT); without it these checks
are skipped. ANALGESICS_FIT names a folder in which the fits are kept, or found.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import repricer
from repricer.planning.list_summary import ListPart, list_summary
from repricer.planning.market_folder import fit_report, zone_folders
from repricer.planning.price_list import UNCHANGED, proposed_rows
from repricer.scenarios import load_scenario

from .checks import Skip, check
from .loop import REPRICER
from .shops import HELD_OUT, ZoneProof, pooled_slope, proof_of
from .shops_data import WEEK, folder, imported
from .shops_regression import PooledLogLog

_START = pd.Timestamp("1990-01-01")
_BRANDS = {
    "Tylenol": (25, 50, 100),
    "Advil": (25, 50, 100),
    "Bayer": (25, 50, 100),
    "Store brand": (50, 100),
}
_NAMES = [f"{brand} {size}" for brand, sizes in _BRANDS.items() for size in sizes]
_DRAWS, _EPISODES = 60, 50


@functools.cache
def analgesics() -> pd.DataFrame:
    """By store, product and week: `units`, `price`, `cost`, `feature`."""
    place = os.environ.get("ANALGESICS")
    if place is None or not Path(place).is_file():
        must = "ANALGESICS must name data-raw/analgesics.csv of lachlandeer/demandr"
        raise Skip(f"{must}; got {place or 'nothing'}; download the file")
    raw = pd.read_csv(place, sep="\t")
    raw.columns = [name.rstrip("_") for name in raw.columns]
    sold = raw[(raw["sales"] > 0) & (raw["price"] > 0)]
    named = {"sales": "units", "prom": "feature"}
    table = sold.rename(columns=named)[["week", "units", "price", "cost", "feature"]].astype(float)
    table["week"] = table["week"].rank(method="dense").astype(int)
    return table.assign(store=sold["store"].astype(str), product=sold["brand"].astype(str))


@functools.cache
def tables() -> Path:
    """The shop's tables, imported."""
    rows = analgesics()
    date = _START + (rows["week"] - 1) * WEEK
    sales = rows[["store", "product", "units"]].assign(date=date, price_paid=rows["price"], unit_cost=rows["cost"])
    shown = rows["feature"] > 0
    promotions = rows.loc[shown, ["store", "product"]].assign(start_date=date[shown], kind="feature")
    products = pd.DataFrame({"product": [str(n + 1) for n in range(len(_NAMES))], "name": _NAMES})
    return imported("analgesics", sales=sales, products=products.assign(category="analgesics"), promotions=promotions)


@functools.cache
def fit_folder(by: str) -> Path:
    """The fit by the command, of the chain (`chain`) or of its zones (`zone`)."""
    out = Path(os.environ.get("ANALGESICS_FIT") or folder()) / f"analgesics-{by}"
    if not out.exists():
        how = ["--categories", "1", "--per-category", str(len(_NAMES)), "--holdout", str(HELD_OUT)]
        how += ["--by", "zone"] if by == "zone" else []
        subprocess.run([*REPRICER, "fit", str(tables()), *how, "--out", str(out)], check=True, capture_output=True)
    return out


@functools.cache
def proof() -> ZoneProof:
    """The chain's proof."""
    return proof_of(fit_folder("chain"), analgesics(), int(analgesics()["week"].max()) - HELD_OUT)


@check("shops", "analgesics, 12 held-out weeks: WAPE over that of a pooled regression", "<=", 1.0)
def wape() -> float:
    rows = proof().rows.assign(category="analgesics", deal=False)
    theirs = PooledLogLog(rows, int(rows["week"].max()) - HELD_OUT).predicted(rows)
    error = float((theirs["units"] - theirs["predicted"]).abs().sum() / theirs["units"].sum())
    print(f"  WAPE {proof().wape:.1%}, regression {error:.1%}; bias {proof().bias:+.1%}")
    return proof().wape / error


@check("shops", "analgesics, 12 held-out weeks: distance of the pooled slope from 1", "<=", 0.3)
def slope() -> float:
    return abs(pooled_slope([proof()])[0] - 1)


@check("shops", "analgesics: products in the choice set", "==", len(_NAMES))
def in_the_market() -> float:
    return len(load_scenario(str(fit_folder("chain"))).products.names)


@check("shops", "analgesics: share of the revenue that is modelled", ">=", 0.95)
def modelled() -> float:
    report = fit_report(fit_folder("chain"))
    assert report is not None, "a fit's folder has a report"
    return report["revenue_modelled"]


def moves(market: Path, zone: str) -> dict[str, float]:
    """By product whose change of profit has an interval that excludes none: the mean relative move of its prices in the list."""
    found = repricer.evaluate(load_scenario(str(market)), [], episodes=_EPISODES, draws=_DRAWS).uncertainty
    assert found is not None, "a fitted market has a posterior"
    rows = proposed_rows(found, zone=zone)
    by_product = (
        pd.DataFrame({"product": row.product_id, "move": row.change} for row in rows).groupby("product")["move"].mean()
    )
    known = [one for one in list_summary([ListPart(zone, found, rows)]).products if one.profit is not None]
    sure = [one.product_id for one in known if one.profit.low > 0 or one.profit.high < 0]
    return {product: float(by_product[product]) for product in sure if abs(by_product[product]) > UNCHANGED}


@check(
    "shops",
    "analgesics, chain and zones: share of products whose prices move the same way, where both are sure",
    ">=",
    0.9,
)
def directions() -> float:
    chain, same = moves(fit_folder("chain"), "chain"), []
    for zone, market in zone_folders(fit_folder("zone")).items():
        own = moves(market, zone)
        same += [np.sign(chain[product]) == np.sign(own[product]) for product in chain.keys() & own.keys()]
        print(f"  {zone}: {_said(own)}")
    print(f"  chain: {_said(chain)}")
    if not same:
        raise Skip("no product's change is sure in the chain and in a zone: neither says a direction")
    return float(np.mean(same))


def _said(found: dict[str, float]) -> str:
    return ", ".join(f"{_NAMES[int(product) - 1]} {move:+.1%}" for product, move in found.items()) or "none sure"
