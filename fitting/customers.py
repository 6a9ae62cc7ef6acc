"""The customers of the market: segments, their elasticities, and recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables
from ..forecasting import segment_response
from ..jobs.processes import JOBS
from ..profiles import (
    LEAST_CUSTOMERS,
    Ease,
    ItemItem,
    Popularity,
    Recommender,
    Segmentation,
    check_sizes,
    customer_features,
    rank_on_later_sales,
    segment_affinity,
    segment_candidates,
)
from .split import Split

CANDIDATES = 10
"""Products that may be recommended to a segment."""
_TEST_WEEKS = 8
# Enough products to tell tastes apart, few enough to fit and to rank in seconds; twice those that are priced.
_PRODUCTS = (2000, 4000)


@dataclass(frozen=True)
class Customers:
    """K segments of customers.

    Attributes:
        names: K names.
        elasticity: (K,) own-price elasticity.
        units: (K, N) units bought in the past.
        affinity: (K, N) recommender scores; None if the sales name no customers.
        candidates: (K, N) 1 where a product may be recommended; None if the sales name no
            customers.
        report: The fit report's entries about customers.

    Raises:
        ValueError: A segment has fewer customers than figures may describe; reports, bundles and
            price lists know of segments only from here.
    """

    names: tuple[str, ...]
    elasticity: np.ndarray
    units: np.ndarray
    affinity: np.ndarray | None
    candidates: np.ndarray | None
    report: dict[str, Any]

    def __post_init__(self) -> None:
        check_sizes(row["customers"] for row in self.report.get("segments", []))


def fit_customers(tables: Tables, split: Split, seed: int) -> Customers:
    """Segments and recommender; a single segment if the sales name no customers."""
    order = split.products["product"]
    if "customer" not in split.sales or split.sales["customer"].isna().all():
        units = split.past.groupby("product")["units"].sum()[order].to_numpy(dtype=np.float64)
        # Only ratios of the segments' elasticities matter, and with one segment that is one.
        return Customers(("everyone",), -np.ones(1), units[None], None, None, {})
    behaviour = tables.behaviour if tables.behaviour is not None and "customer" in tables.behaviour else None
    last = split.sales["date"].max()
    # Without demographic traits: whether prices may depend on them is for the shop to decide.
    features = customer_features(split.sales, products=tables.products, behaviour=behaviour, as_of=last)
    recommender, ranks = _recommender(split)
    segmentation = Segmentation(seed=seed, n_jobs=JOBS).fit(features)
    response = _response(split, segmentation.labels_)
    table = segmentation.summary_.assign(elasticity=response["elasticity"], elasticity_se=response["se"])
    affinity = segment_affinity(recommender, segmentation.labels_, pd.Index(order), attributes=tables.products)
    candidates = segment_candidates(affinity, min(CANDIDATES, len(order)))
    described = table.rename(columns={"size": "customers", "value": "spend_per_week"})
    columns = ["name", "customers", "share", "spend_per_week", "elasticity", "elasticity_se"]
    return Customers(
        names=tuple(table["name"]),
        elasticity=table["elasticity"].to_numpy(dtype=np.float64),
        units=_units(split, segmentation),
        affinity=affinity.to_numpy(dtype=np.float64),
        candidates=candidates.to_numpy(dtype=np.float64),
        report={
            "segments": records(described[columns]),
            "segment_rules": segmentation.rules(),
            "segment_fidelity": float(segmentation.fidelity_),
            "segment_selection": records(segmentation.selection_),
            "segment_stability": float(segmentation.chosen_["stability"]),
            "recommender": ranks,
        },
    )


def _response(split: Split, labels: pd.Series) -> pd.DataFrame:
    """Elasticities by segment; that of all customers where too few of a segment bought what is priced."""
    response = segment_response(split.sales, labels, split.past).set_index("segment")
    response = response.reindex(sorted(labels.unique()))
    few = ~(response["customers"] >= LEAST_CUSTOMERS)
    if few.any():
        together = segment_response(split.sales, labels * 0, split.past).iloc[0]
        response.loc[few, "elasticity"], response.loc[few, "se"] = together["elasticity"], together["se"]
    return response


def _units(split: Split, segmentation: Segmentation) -> np.ndarray:
    """(K, N) units that each segment bought of each product in the past."""
    order = split.products["product"]
    lines = split.sales[split.sales["product"].isin(order)]
    segment = lines["customer"].map(segmentation.labels_)
    units = lines.groupby([segment, "product"])["units"].sum().unstack(fill_value=0)
    table = units.reindex(index=segmentation.summary_.index, columns=order, fill_value=0.0)
    return table.to_numpy(dtype=np.float64)


def _recommender(split: Split) -> tuple[Recommender, dict[str, Any]]:
    """The best recommender, and its ranking scores."""
    weeks = np.sort(split.past["week"].unique())
    most = int(np.clip(2 * len(split.products), *_PRODUCTS))
    most_bought = split.sales["product"].value_counts().index[:most]
    sales = split.sales[split.sales["product"].isin(most_bought)]
    models = {"popularity": Popularity(), "item-item": ItemItem(), "ease": Ease(max_products=most)}
    later = pd.Timestamp(weeks[-min(_TEST_WEEKS * split.per_week, len(weeks) // 3)])
    ranks = rank_on_later_sales(models, sales, test_from=later, new_only=True)
    # Without any purchase of a new product the models cannot be compared.
    chosen = "popularity" if ranks["ndcg_new"].isna().all() else str(ranks["ndcg_new"].idxmax())
    recall = ranks["recall_new"].fillna(0.0)
    figures = {
        "recommender": chosen,
        "recall_at_20": float(recall[chosen]),
        "popularity_recall_at_20": float(recall["popularity"]),
    }
    return models[chosen].fit(split.sales), figures


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data for JSON; a missing number is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
