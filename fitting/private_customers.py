"""Segments whose published figures are differentially private: one customer's history hardly changes any of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.weeks import period_of
from ..forecasting import segment_response
from ..profiles import PrivacyLedger, Query, customer_features, segment_candidates
from ..profiles.noise import Array, clipped_sums, noise_of_sums, noisy_sums
from ..profiles.private_segments import FORMED_BY, PrivateSegments, private_segments
from ..profiles.segment_names import segment_names
from .customers import CANDIDATES, Customers, records
from .split import Split

DELTA = 1e-6
"""Delta of all that one fit publishes."""
SHARES = {
    "range of spend": 0.1,
    "customers by spend and reductions": 0.2,
    "number of segments": 0.05,
    "customers, spend and response of segments": 0.35,
    "units of segments by product": 0.3,
}
"""The queries of a fit, and their shares of its epsilon; the last two, which are Gaussian, share its delta."""
# A customer counts with at most this many units (Euclidean norm over the products), units in all, and units times
# the log price against its average.
_UNITS, _ALL_UNITS, _ANSWER = 20.0, 40.0, 3.0
# The length at which the row of a customer's figures, of up to 1 each, is cut.
_LENGTH = 1.75
_ELASTICITIES = (-8.0, -0.2)


class Privacy(NamedTuple):
    """What a fit may tell of any one customer.

    Attributes:
        epsilon: How much more likely, as a log, any published figure may become by one customer's history.
        ledger: The budget that pays for it.

    Example:
        >>> sum(query.epsilon for query in Privacy(2.0, ledger).queries())  # doctest: +SKIP
        2.0
    """

    epsilon: float
    ledger: PrivacyLedger

    def queries(self) -> list[Query]:
        """What is asked of the customers, each with its cost."""
        gaussian = list(SHARES)[-2:]
        return [
            Query(name, share * self.epsilon, DELTA / len(gaussian) * (name in gaussian))
            for name, share in SHARES.items()
        ]


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
        variation: Variance of the log price against its average, over all units sold.
    """

    figures: Array
    units: Array
    scale: Array
    variation: float

    def rows(self) -> tuple[Array, Array]:
        """The rows of both statistics, in units of the most that counts."""
        return np.clip(self.figures / self.scale, -1, 1) / _LENGTH, self.units / _UNITS

    def sums(self, labels: NDArray[np.intp], groups: int) -> Statistics:
        """The sums without noise."""
        figures, units = (clipped_sums(rows, labels, groups) for rows in self.rows())
        return Statistics(figures * _LENGTH * self.scale, units * _UNITS)

    def released(self, labels: NDArray[np.intp], groups: int, privacy: Privacy) -> Statistics:
        """The sums with the noise of the last two queries."""
        figures, units = (
            noisy_sums(rows, labels, groups, query.epsilon, query.delta)
            for rows, query in zip(self.rows(), privacy.queries()[-2:], strict=True)
        )
        return Statistics(figures * _LENGTH * self.scale, units * _UNITS)

    def noise(self, privacy: Privacy) -> tuple[Array, float]:
        """Standard deviations of the noise: of the figures (5,), and of the units."""
        figures, units = (noise_of_sums(query.epsilon, query.delta) for query in privacy.queries()[-2:])
        return figures * _LENGTH * self.scale, units * _UNITS


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


def private_customers(split: Split, privacy: Privacy, seed: int) -> Customers:
    """Segments under noise; the recommender is what each segment buys most, from the same noisy units.

    What is protected is what the market says of segments; the weekly totals of each product are used as they are.

    Args:
        split: Past and weeks to simulate.
        privacy: Epsilon, and the budget that pays for it before anything is asked.
        seed: Seed of the clusters; the noise has none.

    Raises:
        DataError: The budget does not pay for it.
        ValueError: epsilon is out of range, or the sales name no customers.
    """
    return published(split, release(split, privacy, seed), privacy)


def release(split: Split, privacy: Privacy, seed: int) -> Released:
    """Pay, and ask all queries; arguments and errors as of `private_customers`."""
    if not 0 < privacy.epsilon < np.inf:
        raise ValueError(f"epsilon must be a number above 0; got {privacy.epsilon:g}; write 1")
    if "customer" not in split.sales or split.sales["customer"].isna().all():
        raise ValueError("sales: epsilon protects customers; got sales that name none; fit without epsilon")
    privacy.ledger.spend(privacy.queries())
    features = customer_features(split.sales, as_of=split.sales["date"].max())
    reach, grid, number = (query.epsilon for query in privacy.queries()[:3])
    segments = private_segments(features[list(FORMED_BY)], (reach, grid, number), seed=seed)
    histories = customer_histories(split, features, segments.most_spend)
    return Released(segments, histories, histories.released(segments.labels, len(segments.customers), privacy))


def customer_histories(split: Split, features: pd.DataFrame, most_spend: float) -> Histories:
    """What each customer of `features` adds to the statistics.

    Args:
        split: Past and weeks to simulate.
        features: Customers x features.
        most_spend: Spend per week above which a customer adds no more.
    """
    order, panel = pd.Index(split.products["product"]), split.past[split.past["units"] > 0]
    apart = _log_price_apart(panel)
    weeks = pd.Index(split.past["week"].unique()).sort_values()
    lines = split.sales[split.sales["product"].isin(order) & split.sales["customer"].isin(features.index)]
    lines = lines[lines["date"].between(weeks[0], weeks[-1] + period_of(weeks), inclusive="left")]
    week = weeks[weeks.searchsorted(lines["date"], side="right") - 1]
    moved = apart.reindex(pd.MultiIndex.from_arrays([lines["product"], week])).fillna(0.0).to_numpy()
    units = np.zeros((len(features), len(order)))
    customer, product = (
        features.index.get_indexer(pd.Index(lines["customer"])),
        order.get_indexer(pd.Index(lines["product"])),
    )
    np.add.at(units, (customer, product), lines["units"].to_numpy(dtype=np.float64))
    answer = np.bincount(customer, weights=lines["units"] * moved, minlength=len(features))
    spend, share = (features[name].to_numpy(dtype=np.float64) for name in FORMED_BY)
    sold = panel.set_index(["product", "week"])["units"].reindex(apart.index)
    return Histories(
        figures=np.column_stack([np.ones(len(features)), spend, share, units.sum(axis=1), answer]).astype(np.float64),
        units=units,
        scale=np.array([1.0, most_spend, 1.0, _ALL_UNITS, _ANSWER]),
        variation=float(np.average(apart**2, weights=sold)),
    )


def _log_price_apart(panel: pd.DataFrame) -> pd.Series:
    """By product and week, the log price against the product's and the week's average over all units sold."""
    rows = panel.set_index(["product", "week"])
    apart, units = pd.Series(np.log(rows["price"]), rows.index), rows["units"]
    for _ in range(20):
        for level in ("product", "week"):
            mean = (apart * units).groupby(level=level).transform("sum") / units.groupby(level=level).transform("sum")
            apart = apart - mean
    return apart


def published(split: Split, release: Released, privacy: Privacy) -> Customers:
    """The customers of the market: all of it follows from the noisy statistics and the weekly totals."""
    released, histories = release.statistics, release.histories
    order = split.products["product"]
    customers = np.maximum(released.figures[:, 0], 1.0)
    spend, share = np.maximum(released.figures[:, 1:3] / customers[:, None], 0.0).T
    elasticity, error = _elasticities(split, released, histories, privacy)
    units = _units(split, released.units, histories.noise(privacy)[1])
    affinity = units / units.sum(axis=1, keepdims=True)
    means = pd.DataFrame({"spend": spend, "discount_share": share})
    apart = (means - np.average(means, axis=0, weights=customers)) / means.mean().clip(lower=1e-9)
    table = pd.DataFrame(
        {
            "name": segment_names(apart),
            "customers": customers.round().astype(int),
            "share": customers / customers.sum(),
            "spend_per_week": spend,
            "elasticity": elasticity,
            "elasticity_se": error,
        }
    )
    candidates = segment_candidates(pd.DataFrame(affinity, columns=order), min(CANDIDATES, len(order)))
    return Customers(
        names=tuple(table["name"]),
        elasticity=elasticity,
        units=units,
        affinity=affinity,
        candidates=candidates.to_numpy(dtype=np.float64),
        report={"segments": records(table), "privacy": privacy_report(privacy)},
    )


def privacy_report(privacy: Privacy) -> dict[str, Any]:
    """What a fit has spent, for its report."""
    return {
        "epsilon": privacy.epsilon,
        "delta": DELTA,
        "unit": "one customer's whole history",
        "protects": "segments: their number, sizes, means, response to prices and units by product",
        "queries": [query._asdict() for query in privacy.queries()],
    }


def _elasticities(split: Split, released: Statistics, histories: Histories, privacy: Privacy) -> tuple[Array, Array]:
    """(K,) own-price elasticity of each segment, and the standard error that the noise alone gives it.

    A segment that answers more to prices buys more of its units in cheap weeks: to the first order, the mean log price
    of its units lies below that of all by (its elasticity - that of all) times the variance of the log price.
    """
    whole = split.sales.assign(customer="all")
    common = segment_response(whole, pd.Series({"all": 0}), split.past)["elasticity"].to_numpy()[0]
    deviation = histories.noise(privacy)[0]
    units = np.maximum(released.figures[:, 3], 2 * deviation[3])
    answer = released.figures[:, 4] / units
    apart = (answer - np.average(answer, weights=units)) / histories.variation
    error = np.hypot(deviation[4], answer * deviation[3]) / units / histories.variation
    return np.clip(common + apart, *_ELASTICITIES), error


def _units(split: Split, noisy: Array, deviation: float) -> Array:
    """(K, N) units: each product's weekly total, split by noisy shares that lean on the segments' shares of all units."""
    total = split.past.groupby("product")["units"].sum()[split.products["product"]].to_numpy(dtype=np.float64)
    share = np.maximum(noisy.sum(axis=1), deviation)
    leaning = np.maximum(noisy, 0.0) + 2 * deviation * (share / share.sum())[:, None]
    return total * leaning / leaning.sum(axis=0)
