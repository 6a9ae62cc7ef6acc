"""What a segment likes, and what the market may show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .content import attribute_vectors
from .recommend import Recommender, batches


def segment_affinity(
    recommender: Recommender,
    labels: pd.Series,
    products: Sequence[str] | pd.Index,
    *,
    attributes: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Average the scores of a segment's customers: DataFrame segments x `products`, more is better.

    A product that `recommender` does not score (never sold before) gets the mean of the products it scores,
    weighted by their likeness in category and words of the name; without any alike, the mean of all.

    Args:
        recommender: fitted.
        labels: customer -> segment, such as `Segmentation.labels_`.
        products: the products of the market.
        attributes: canonical products, needed where `recommender` does not score all of `products`.

    Raises:
        ValueError: a customer is not in the sales fitted, or a product neither in them nor in `attributes`.
    """
    check_is_fitted(recommender)
    wanted = pd.Index(products, name="product")
    columns = recommender.products_.get_indexer(wanted)
    unknown = columns < 0
    described = wanted.isin([] if attributes is None else attributes["product"])
    if (nowhere := unknown & ~described).any():
        raise ValueError(
            f"products must occur in the sales fitted or in attributes; got {nowhere.sum()} unknown, the first "
            f"{wanted[nowhere][0]!r}; hand in the table of products as attributes"
        )
    by_segment = _sums(recommender, labels) / labels.value_counts().sort_index().to_numpy()[:, None]
    table = np.empty((len(by_segment), len(wanted)))
    table[:, ~unknown] = by_segment[:, columns[~unknown]]
    if unknown.any() and attributes is not None:
        table[:, unknown] = by_segment @ _likeness(attributes, recommender.products_, wanted[unknown])
    segments = pd.Index(np.unique(labels.to_numpy()), name="segment")
    return pd.DataFrame(table, index=segments, columns=wanted)


def segment_candidates(affinity: pd.DataFrame, n: int) -> pd.DataFrame:
    """Mark the `n` products of highest affinity in each segment: booleans segments x products.

    Of products alike in affinity the first wins, so that every segment has exactly `n`.

    Raises:
        ValueError: `n` is not between 1 and the number of products.
    """
    if not 1 <= n <= affinity.shape[1]:
        raise ValueError(f"n must lie between 1 and the {affinity.shape[1]} products; got {n}")
    return affinity.rank(axis="columns", method="first", ascending=False) <= n


def _sums(recommender: Recommender, labels: pd.Series) -> NDArray[np.float64]:
    """Scores added up by segment: segments x all products of the recommender."""
    segments, positions = np.unique(labels.to_numpy(), return_inverse=True)
    sums = np.zeros((len(segments), len(recommender.products_)))
    for part in batches(len(labels)):
        member = np.eye(len(segments))[positions[part]]
        sums += member.T @ recommender.scores(labels.index[part])
    return sums


def _likeness(attributes: pd.DataFrame, known: pd.Index, new: pd.Index) -> NDArray[np.float64]:
    """Weights of the known products for each new one, adding up to 1: known x new."""
    vectors = attribute_vectors(attributes, known.append(new))
    likeness = (vectors[: len(known)] @ vectors[len(known) :].T).toarray().astype(np.float64)
    likeness[:, likeness.sum(axis=0) == 0] = 1.0
    return likeness / likeness.sum(axis=0)
