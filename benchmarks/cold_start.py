"""New products: the error of their level, and who is like them, with and without text and vectors.

`python -m repricer.benchmarks.cold_start` prints both tables: of made-up catalogues in which words, words of
like meaning, a shop's own vectors, or nothing of these tell; and of the 1,000 best sellers of the Complete
Journey. 200 products are new, in several splits; `[--splits N]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data import load_complete_journey
from ..forecasting import Newcomers
from ..forecasting.cold_start import established
from ..forecasting.metrics import coverage, wape
from ..forecasting.product_vectors import meaning_vectors, nearest, product_texts, word_vectors
from .customers import markdown

KINDS = ("words", "meaning", "vectors", "nothing")
"""What tells of demand in a made-up catalogue, beside category and price."""
ATTRIBUTES = "attributes"
WORDS = "+ words"
MEANING = "+ meaning"
BOTH = "+ words, meaning"
OWN = "+ own vectors"
BRAND = "+ brand, size"
NEW = 200
_KNOWN = 600
_WEEKS = 26
_SHELVES = ["jam", "tea", "soap", "rice", "bread", "cheese", "juice", "coffee", "pasta", "honey"]
_MAKERS = ["Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fern", "Gorse", "Hazel", "Iris", "Juniper", "Kauri", "Laurel"]
_USES = ["breakfast", "travel", "party", "kids"]
# A row has one meaning. The first half of a row is in the names of known products; of new ones, too,
# unless it is the meaning that tells.
_THEMES = (
    "organic natural pure bio wholesome ecological",
    "luxury premium deluxe exclusive elegant prestige",
    "cheap budget economy bargain discount thrifty",
    "spicy hot fiery peppery chilli burning",
    "sweet sugary candied syrupy sugar honeyed",
    "giant large huge big jumbo enormous",
    "small mini tiny little petite miniature",
    "frozen icy chilled cold iced frosty",
    "ancient traditional classic old vintage heritage",
    "modern new novel contemporary innovative latest",
)


class Shop(NamedTuple):
    """A panel, the products (with `regular_price`), new ones, their vectors by name, and, where it is known, who replaces whom."""

    panel: pd.DataFrame
    products: pd.DataFrame
    new: np.ndarray
    vectors: dict[str, tuple[pd.DataFrame, ...]]
    switches: pd.DataFrame | None


def catalogue(kind: str, seed: int) -> Shop:
    """A made-up shop; names have a maker, two of ten themes, the use and the shelf."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    size = _KNOWN + NEW
    is_new = np.arange(size) >= _KNOWN
    shelf, use, maker = (rng.integers(0, len(names), size) for names in (_SHELVES, _USES, _MAKERS))
    themes = np.argsort(rng.random((size, len(_THEMES))), axis=1)[:, :2]
    word = rng.integers(0, 3, (size, 2)) + 3 * (is_new & (kind == "meaning"))[:, None]
    hidden = rng.normal(size=(size, 4))
    effect = {
        "words": rng.normal(0, 0.6, len(_THEMES))[themes].sum(axis=1),
        "meaning": rng.normal(0, 0.6, len(_THEMES))[themes].sum(axis=1),
        "vectors": hidden @ rng.normal(0, 0.4, 4),
        "nothing": np.zeros(size),
    }[kind]
    relative = rng.normal(0, 0.3, size)
    price = np.round(np.exp(rng.normal(1.0, 0.5, len(_SHELVES))[shelf] + relative), 2)
    level = rng.normal(2.5, 0.6, len(_SHELVES))[shelf] - relative + effect + rng.normal(0, 0.4, size)
    words = [
        " ".join(_THEMES[t].split()[w] for t, w in zip(*one, strict=True)) for one in zip(themes, word, strict=True)
    ]
    parts = zip(maker, words, use, shelf, strict=True)
    names = [f"{_MAKERS[m]} {said} {_USES[u]} {_SHELVES[c]}" for m, said, u, c in parts]
    ids = np.array([f"p{number:03d}" for number in range(size)])
    columns = {"product": ids, "category": np.array(_SHELVES)[shelf], "name": names, "regular_price": price}
    products = pd.DataFrame(columns)
    seen = hidden @ rng.normal(size=(4, 32)) + rng.normal(0, 1.0, (size, 32))
    alike = (shelf[:, None] == shelf) & (use[:, None] == use) & ~np.eye(size, dtype=bool)
    switches = pd.DataFrame(alike / np.maximum(alike[:, ~is_new].sum(axis=1), 1)[:, None], index=ids, columns=ids)
    vectors = _text(products) | {OWN: (pd.DataFrame(seen, index=ids),)}
    return Shop(_panel(products, level, rng), products, ids[is_new], vectors, switches)


def _panel(products: pd.DataFrame, level: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    weeks = pd.date_range("2024-01-01", periods=_WEEKS, freq="7D")
    rows = products.merge(pd.DataFrame({"week": weeks}), how="cross").drop(columns="name")
    off = np.where(rng.random(len(rows)) < 0.25, 0.2, 0.0)
    units = rng.poisson(np.exp(np.repeat(level, _WEEKS)) * (1 - off) ** -2.0).astype(float)
    return rows.assign(price=rows["regular_price"] * (1 - off), promotion=0.0, units=units, traffic=1000.0)


def _text(products: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, ...]]:
    words = word_vectors(product_texts(products))
    meaning = meaning_vectors(product_texts(products))
    return {ATTRIBUTES: (), WORDS: (words,), MEANING: (meaning,), BOTH: (words, meaning)}


def complete_journey(splits: int) -> Iterator[Shop]:
    """Its established products; each fifth is new once; brand and size are a file of vectors."""
    tables, _ = load_complete_journey(key=b"benchmark" * 4, promotions=True)
    panel, products = established(tables)
    vectors = _text(products)
    own = _brand_and_size(products)
    vectors |= {BRAND: (own,), f"{BRAND}, words": (own, *vectors[WORDS])}
    order = np.random.default_rng(0).permutation(products["product"].to_numpy())
    for split in range(splits):
        new = order[split * NEW : (split + 1) * NEW]
        yield Shop(panel, products, new, vectors, None)


def _brand_and_size(products: pd.DataFrame) -> pd.DataFrame:
    """The brand's kind (national or private), the unit of the size and its log within the unit."""
    parts = products["name"].str.extract(r"^(?P<brand>\S+).*?(?:(?P<size>[\d.]+) (?P<unit>[A-Z]+)\S*)?$")
    number = pd.to_numeric(parts["size"], errors="coerce")
    size = pd.Series(np.log(number.where(number > 0)), index=parts.index)
    within = (size - size.groupby(parts["unit"]).transform("mean")).fillna(0.0)
    flags = pd.get_dummies(parts[["brand", "unit"]], dtype=float)
    return flags.assign(size=within).set_index(products["product"])


def errors(shop: Shop, name: str) -> dict[str, float]:
    """Fit without the new products and forecast their weeks at the prices that came."""
    is_new = shop.panel["product"].isin(shop.new)
    sold = shop.panel["price"] > 0
    model = Newcomers(shop.vectors[name]).fit(shop.panel[~is_new])
    later = shop.panel["week"].max() + pd.Timedelta(days=7) - shop.panel["week"].min()
    columns = ["product", "category", "week", "price", "regular_price", "promotion", "units"]
    ahead = shop.panel.loc[is_new & sold, columns]
    ahead = ahead.assign(week=ahead["week"] + later).sort_values(["product", "week"])
    forecast = model.predict(ahead.drop(columns="units"), quantiles=(0.1, 0.5, 0.9))
    level = forecast.assign(units=ahead["units"].to_numpy()).groupby("product")[["units", "q0.5"]].mean()
    return {
        "wape": wape(level["units"], level["q0.5"]),
        "cover80": coverage(ahead["units"], forecast["q0.1"], forecast["q0.9"]),
        "alike": np.nan if shop.switches is None else alike(shop, shop.switches, name),
        "used": float(any(model.weights_)),
    }


def alike(shop: Shop, switches: pd.DataFrame, name: str, count: int = 3) -> float:
    """New products' switches to the nearest known ones, as a share of those to the ones switched to most."""
    is_new = shop.products["product"].isin(shop.new)
    known = shop.products[~is_new]
    new = shop.products[is_new]
    to = switches.loc[new["product"], known["product"]]
    most = pd.Series(np.sort(to.to_numpy(), axis=1)[:, -count:].sum(axis=1), index=to.index)
    new = new[(to.gt(0).sum(axis=1) > count).to_numpy()]
    found = nearest(known, new, shop.vectors[name], count=count)
    row = to.index.get_indexer(pd.Index(found["product"]))
    column = to.columns.get_indexer(pd.Index(found["nearest"]))
    return float(to.to_numpy()[row, column].sum() / most[new["product"]].sum())


def table(market: str, splits: int = 5) -> list[dict[str, Any]]:
    """A row for each set of features: means over splits, and the change against attributes alone.

    Args:
        market: one of `KINDS`, or `complete-journey`.
        splits: catalogues or choices of new products.
    """
    shops = complete_journey(splits) if market == "complete-journey" else (catalogue(market, n) for n in range(splits))
    found = [{name: errors(shop, name) for name in shop.vectors} for shop in shops]
    rows = []
    for name in found[0]:
        each = pd.DataFrame([one[name] for one in found])
        base = pd.DataFrame([one[ATTRIBUTES] for one in found])
        row: dict[Any, Any] = {"market": market, "features": name} | each.mean().to_dict()
        for measure in ("wape", "alike"):
            change = each[measure] / base[measure] - 1
            row |= {f"{measure}_change": float(change.mean()), f"{measure}_se": float(change.sem())}
        rows.append(row)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5, choices=range(2, 6))
    splits = parser.parse_args().splits
    for one in (*KINDS, "complete-journey"):
        print(markdown(pd.DataFrame(table(one, splits))), flush=True)
