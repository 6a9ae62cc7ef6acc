"""The customers of the market: segments, their elasticities, and recommendations; as they are, or from sums with noise, of which
one customer's history hardly changes any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data import Tables
from ..data.weeks import period_of
from ..forecasting import segment_response
from ..forecasting.models.promotion_index import with_promotion_index
from ..jobs.processes import JOBS
from ..privacy.budget import COUNTS, FIGURES, UNITS, Privacy
from ..privacy.noise import Array, clipped_sums, noisy_sums
from ..profiles import (
    LEAST_CUSTOMERS,
    Ease,
    Popularity,
    Recommender,
    Segmentation,
    check_sizes,
    customer_features,
    protected_shares,
    rank_on_later_sales,
    segment_affinity,
    segment_candidates,
)
from ..profiles.segmentation import FORMED_BY, PrivateSegments, private_segments, segment_names
from ..scenarios.sections import Fairness
from .split import Split

CANDIDATES = 10
"""Products that may be recommended to a segment."""
_TEST_WEEKS = 8
# Enough products to tell tastes apart, few enough to fit and to rank in seconds; twice those that are priced.
_PRODUCT_BOUNDS = (2000, 4000)
# A customer counts with at most this many times the average customer's units, of that by product (Euclidean norm), and of
# that times deviations of the log price: less would cut off too much, more would need more noise.
_ALL_UNITS = 2.0
_UNITS_SHARE = 0.4
_ANSWER = 0.3
# The length at which the row of a customer's figures, of up to 1 each, is cut.
_LENGTH = 1.6
_ELASTICITIES = (-8.0, -0.2)
# Segments of fewer customers than so many deviations of the noise of their number would be mostly noise.
_LEAST_SIGNAL = 12.0


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
        protected: Shares of the shop's protected groups in each segment, None where it has none.

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
    protected: Fairness | None = None

    def __post_init__(self) -> None:
        check_sizes(row["customers"] for row in self.report.get("segments", []))


def check_protected(tables: Tables, columns: Sequence[str], private: bool) -> None:
    """Check that groups can be protected, which needs nothing that is fitted.

    Args:
        columns: The protected columns of the customers table.
        private: Whether the segments are published under differential privacy.

    Raises:
        ValueError: They cannot.
    """
    if not columns:
        return
    customers = tables.sales["customer"].dropna().unique() if "customer" in tables.sales else ()
    if private or not len(customers):
        lacking = "a fit without --epsilon, as their shares have no noise" if private else "sales that name customers"
        raise ValueError(f"protected groups need {lacking}; got {', '.join(columns)}; leave out one of the two")
    protected_shares(tables.customers, pd.Series(0, customers), columns)


def fit_customers(tables: Tables, split: Split, seed: int, protected: Sequence[str] = ()) -> Customers:
    """Segments and recommender; a single segment if the sales name no customers.

    Args:
        protected: Columns of the customers table that nothing depends on but the shares of their groups.
    """
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
    bought = split.sales[split.sales["product"].isin(order)]
    units = (
        bought.groupby([bought["customer"].map(segmentation.labels_), "product"])["units"].sum().unstack(fill_value=0)
    )
    affinity = segment_affinity(recommender, segmentation.labels_, pd.Index(order), attributes=tables.products)
    candidates = segment_candidates(affinity, min(CANDIDATES, len(order)))
    shares = protected_shares(tables.customers, segmentation.labels_, protected) if protected else pd.DataFrame()
    attribute, groups = zip(*shares.columns, strict=True) if protected else ((), ())
    described = table.rename(columns={"size": "customers", "value": "spend_per_week"})
    columns = ["name", "customers", "share", "spend_per_week", "elasticity", "elasticity_se"]
    return Customers(
        names=tuple(table["name"]),
        elasticity=table["elasticity"].to_numpy(dtype=np.float64),
        units=units.reindex(index=table.index, columns=order, fill_value=0.0).to_numpy(dtype=np.float64),
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
        protected=Fairness(groups, attribute, shares.to_numpy(dtype=np.float64)) if protected else None,
    )


def _response(split: Split, labels: pd.Series) -> pd.DataFrame:
    """Elasticities by segment; that of all customers where too few of a segment bought what is priced."""
    past = with_promotion_index(split.past)
    response = segment_response(split.sales, labels, past).set_index("segment")
    response = response.reindex(sorted(labels.unique()))
    few = ~(response["customers"] >= LEAST_CUSTOMERS)
    if few.any():
        together = segment_response(split.sales, labels * 0, past).iloc[0]
        response.loc[few, "elasticity"] = together["elasticity"]
        response.loc[few, "se"] = together["se"]
    return response


def _recommender(split: Split) -> tuple[Recommender, dict[str, Any]]:
    """The best recommender, and its ranking scores."""
    weeks = np.sort(split.past["week"].unique())
    most = int(np.clip(2 * len(split.products), *_PRODUCT_BOUNDS))
    most_bought = split.sales["product"].value_counts().index[:most]
    sales = split.sales[split.sales["product"].isin(most_bought)]
    models = {"popularity": Popularity(), "ease": Ease(max_products=most)}
    later = pd.Timestamp(weeks[-min(_TEST_WEEKS * split.per_week, len(weeks) // 3)])
    ranks = rank_on_later_sales(models, sales, test_from=later, new_only=True)
    # Without any purchase of a new product the models cannot be compared.
    chosen = "popularity" if ranks["ndcg_new"].isna().all() else str(ranks["ndcg_new"].idxmax())
    recall = ranks["recall_new"].fillna(0.0)
    figures = {"recall_at_20": float(recall[chosen]), "popularity_recall_at_20": float(recall["popularity"])}
    return models[chosen].fit(split.sales), {"recommender": chosen} | figures


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data for JSON; a missing number is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


class Statistics(NamedTuple):
    """Sums over the customers of each segment, in units of the figures; with or without noise.

    Attributes:
        figures: (K, 5) customers, spend, discount share, units, and units times log price against average.
        units: (K, N) units by product.
    """

    figures: Array
    units: Array


class Histories(NamedTuple):
    """What each customer adds to the statistics.

    Attributes:
        figures: (customers, 5) as in `Statistics`, not yet cut.
        units: (customers, N).
        scale: (5,) the most that a customer may add to each.
        most_units: The most units that a customer may add (Euclidean norm over the products).
        variation: Variance of the log price against its average, over all units sold.
    """

    figures: Array
    units: Array
    scale: Array
    most_units: float
    variation: float

    def rows(self) -> tuple[Array, Array]:
        """The rows of both statistics, in units of the most that counts."""
        return np.clip(self.figures / self.scale, -1, 1) / _LENGTH, self.units / self.most_units

    def sums(self, labels: NDArray[np.intp], groups: int) -> Statistics:
        """The sums without noise."""
        return self._in_units(*(clipped_sums(rows, labels, groups) for rows in self.rows()))

    def released(self, labels: NDArray[np.intp], groups: int, privacy: Privacy) -> Statistics:
        """The sums with noise."""
        asked = zip(self.rows(), map(privacy.query, (FIGURES, UNITS)), strict=True)
        return self._in_units(*(noisy_sums(rows, labels, groups, one.epsilon, one.delta) for rows, one in asked))

    def _in_units(self, figures: Array, units: Array) -> Statistics:
        return Statistics(figures * _LENGTH * self.scale, units * self.most_units)

    def noise(self, privacy: Privacy) -> tuple[Array, float]:
        """Standard deviations of the noise: of the figures (5,), and of the units."""
        return privacy.noise(FIGURES) * _LENGTH * self.scale, privacy.noise(UNITS) * self.most_units


class Released(NamedTuple):
    """What is published, and what it came from, which is not.

    Attributes:
        segments: Segments, with the labels of the customers.
        histories: What each customer adds to the statistics.
        statistics: The noisy sums.
    """

    segments: PrivateSegments
    histories: Histories
    statistics: Statistics


def release(split: Split, privacy: Privacy, seed: int) -> Released:
    """Ask all queries.

    Args:
        privacy: Epsilon, which was paid.
        seed: Seed of the clusters; the noise has none.
    """
    features = customer_features(split.sales, as_of=split.sales["date"].max())
    counts = privacy.query(COUNTS)
    least = max(LEAST_CUSTOMERS, int(_LEAST_SIGNAL * _LENGTH * privacy.noise(FIGURES)))
    formed = features[list(FORMED_BY)]
    segments = private_segments(formed, counts.epsilon, counts.delta, min_size=least, seed=seed)
    histories = customer_histories(split, features, segments.most_spend, segments.customers.sum())
    return Released(segments, histories, histories.released(segments.labels, len(segments.customers), privacy))


def customer_histories(split: Split, features: pd.DataFrame, most_spend: float, customers: float) -> Histories:
    """What each customer of `features` adds to the statistics.

    Args:
        most_spend: Spend per week above which a customer adds no more.
        customers: About how many there are.
    """
    order = pd.Index(split.products["product"])
    panel = split.past[split.past["units"] > 0]
    apart = _log_price_apart(panel)
    weeks = pd.Index(split.past["week"].unique()).sort_values()
    lines = split.sales[split.sales["product"].isin(order) & split.sales["customer"].isin(features.index)]
    lines = lines[lines["date"].between(weeks[0], weeks[-1] + period_of(weeks), inclusive="left")]
    week = weeks[weeks.searchsorted(lines["date"], side="right") - 1]
    moved = apart.reindex(pd.MultiIndex.from_arrays([lines["product"], week])).fillna(0.0).to_numpy()
    units = np.zeros((len(features), len(order)))
    customer = features.index.get_indexer(pd.Index(lines["customer"]))
    product = order.get_indexer(pd.Index(lines["product"]))
    np.add.at(units, (customer, product), lines["units"].to_numpy(dtype=np.float64))
    answer = np.bincount(customer, weights=lines["units"] * moved, minlength=len(features))
    spend, share = (features[name].to_numpy(dtype=np.float64) for name in FORMED_BY)
    sold = panel.set_index(["product", "week"])["units"].reindex(apart.index)
    variation = float(np.average(apart**2, weights=sold))
    most = _ALL_UNITS * float(sold.sum()) / customers
    return Histories(
        figures=np.column_stack([np.ones(len(features)), spend, share, units.sum(axis=1), answer]).astype(np.float64),
        units=units,
        scale=np.array([1.0, most_spend, 1.0, most, _ANSWER * most * np.sqrt(variation)]),
        most_units=_UNITS_SHARE * most,
        variation=variation,
    )


def _log_price_apart(panel: pd.DataFrame) -> pd.Series:
    """By product and week, the log price against the product's and the week's average over all units sold."""
    rows = panel.set_index(["product", "week"])
    apart = pd.Series(np.log(rows["price"]), rows.index)
    units = rows["units"]
    for _ in range(20):
        for level in ("product", "week"):
            mean = (apart * units).groupby(level=level).transform("sum") / units.groupby(level=level).transform("sum")
            apart = apart - mean
    return apart


def published(split: Split, release: Released, privacy: Privacy) -> Customers:
    """The customers of the market: all of it follows from the noisy statistics and the weekly totals.

    What is protected is what the market says of segments; the weekly totals of each product are used as they are. The
    recommender is what each segment buys most, from the same noisy units.
    """
    released = release.statistics
    histories = release.histories
    order = split.products["product"]
    # Noise may leave fewer than a segment must have, though its cells promised more.
    customers = np.maximum(released.figures[:, 0], LEAST_CUSTOMERS)
    spend, share = np.maximum(released.figures[:, 1:3] / customers[:, None], 0.0).T
    elasticity, error = _elasticities(split, released, histories, privacy)
    units = _shrunken_units(split, released, histories.noise(privacy))
    affinity = units / units.sum(axis=1, keepdims=True)
    means = pd.DataFrame({"spend": spend, "discount_share": share})
    apart = (means - np.average(means, axis=0, weights=customers)) / means.mean().clip(lower=1e-9)
    figures = {"spend_per_week": spend, "elasticity": elasticity, "elasticity_se": error}
    table = pd.DataFrame({"name": segment_names(apart), "customers": customers.round().astype(int)})
    table = table.assign(share=customers / customers.sum(), **figures)
    candidates = segment_candidates(pd.DataFrame(affinity, columns=order), min(CANDIDATES, len(order)))
    return Customers(
        names=tuple(table["name"]),
        elasticity=elasticity,
        units=units,
        affinity=affinity,
        candidates=candidates.to_numpy(dtype=np.float64),
        report={"segments": records(table)},
    )


def _elasticities(split: Split, released: Statistics, histories: Histories, privacy: Privacy) -> tuple[Array, Array]:
    """(K,) own-price elasticity of each segment, and the standard error that the noise gives it.

    A segment that answers more to prices buys more of its units in cheap weeks: to the first order, the mean log price
    of its units lies below that of all by (its elasticity - that of all) times the variance of the log price. What a
    customer may add is limited, which already draws the segments together.
    """
    whole = split.sales.assign(customer="all")
    common = segment_response(whole, pd.Series({"all": 0}), split.past)["elasticity"].to_numpy()[0]
    deviation = histories.noise(privacy)[0]
    units = _told_units(released, deviation[3])
    answer = released.figures[:, 4] / units
    apart = (answer - np.average(answer, weights=units)) / histories.variation
    error = np.hypot(deviation[4], answer * deviation[3]) / units / histories.variation
    return np.clip(common + apart, *_ELASTICITIES), error


def _told_units(released: Statistics, deviation: float) -> Array:
    """(K,) units of each segment that count; no fewer than noise alone may give."""
    return np.maximum(released.figures[:, 3], 2 * deviation)


def _shrunken_units(split: Split, released: Statistics, noise: tuple[Array, float]) -> Array:
    """(K, N) units: each product's weekly totals, split by the segments' shares of all units and, as far as they stand
    out of the noise, by their own of that product (James and Stein 1961).
    """
    total = split.past.groupby("product")["units"].sum()[split.products["product"]].to_numpy(dtype=np.float64)
    share = _told_units(released, noise[0][3])
    alike = np.outer(share / share.sum(), total / total.sum()) * max(released.units.sum(), noise[1])
    apart = released.units - alike
    kept = max(0.0, 1.0 - apart.size * noise[1] ** 2 / float((apart**2).sum()))
    mixed = np.maximum(alike + kept * apart, 0.1 * alike)
    return total * mixed / mixed.sum(axis=0)
