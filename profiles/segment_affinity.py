"""What a segment likes, and which products the market may recommend to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .customer_features import LEAST_CUSTOMERS, check_sizes
from .recommenders import Recommender, attribute_vectors, batches


def segment_affinity(
    recommender: Recommender,
    labels: pd.Series,
    products: Sequence[str] | pd.Index,
    *,
    attributes: pd.DataFrame | None = None,
    min_size: int = LEAST_CUSTOMERS,
) -> pd.DataFrame:
    """Average the scores of each segment's customers.

    A product that `recommender` does not score (never sold before) gets the mean of the products it
    scores, weighted by their similarity in category and words of the name; without any similar
    product, the mean of all.

    Args:
        recommender: a fitted one.
        labels: customer -> segment, such as `Segmentation.labels_`.
        products: the products of the market.
        attributes: canonical products, needed where `recommender` does not score all of `products`.
        min_size: least number of customers in a segment.

    Returns:
        Segments x `products`; higher is better.

    Raises:
        ValueError: a segment is smaller, a customer is not in the sales fitted, or a product neither in them nor in
            `attributes`.

    Example:
        >>> import pandas as pd
        >>> from repricer.profiles import Popularity
        >>> sales = pd.DataFrame({"customer": list("aabbc"), "product": ["tea", "jam", "tea", "jam", "tea"]})
        >>> labels = pd.Series({"a": 0, "b": 0, "c": 1})
        >>> affinity = segment_affinity(Popularity().fit(sales), labels, ["tea", "jam"], min_size=1)
        >>> affinity.to_dict("index")
        {0: {'tea': 3.0, 'jam': 2.0}, 1: {'tea': 3.0, 'jam': 2.0}}
    """
    check_is_fitted(recommender)
    check_sizes(labels.value_counts(), min_size)
    wanted = pd.Index(products, name="product")
    columns = recommender.products_.get_indexer(wanted)
    unknown = columns < 0
    described = wanted.isin([] if attributes is None else attributes["product"])
    if (nowhere := unknown & ~described).any():
        must = "products must occur in the sales fitted or in attributes"
        fix = "pass the table of products as attributes"
        raise ValueError(f"{must}; got {nowhere.sum()} unknown, the first {wanted[nowhere][0]!r}; {fix}")
    by_segment = _sums(recommender, labels) / labels.value_counts().sort_index().to_numpy()[:, None]
    table = np.empty((len(by_segment), len(wanted)))
    table[:, ~unknown] = by_segment[:, columns[~unknown]]
    if unknown.any() and attributes is not None:
        table[:, unknown] = by_segment @ _similarity(attributes, recommender.products_, wanted[unknown])
    segments = pd.Index(np.unique(labels.to_numpy()), name="segment")
    return pd.DataFrame(table, index=segments, columns=wanted)


def segment_candidates(affinity: pd.DataFrame, n: int) -> pd.DataFrame:
    """Mark the `n` products of highest affinity in each segment.

    Args:
        affinity: segments x products, as `segment_affinity` returns.
        n: products per segment; among equal affinities the first product wins.

    Returns:
        Booleans, segments x products.

    Raises:
        ValueError: `n` is not between 1 and the number of products.

    Example:
        >>> import pandas as pd
        >>> segment_candidates(pd.DataFrame({"tea": [3.0, 1.0], "jam": [2.0, 2.0]}), 1).to_numpy().tolist()
        [[True, False], [False, True]]
    """
    if not 1 <= n <= affinity.shape[1]:
        raise ValueError(f"n must lie between 1 and the {affinity.shape[1]} products; got {n}")
    return affinity.rank(axis="columns", method="first", ascending=False) <= n


def _sums(recommender: Recommender, labels: pd.Series) -> NDArray[np.float64]:
    """Sum of the scores by segment: segments x all products of the recommender."""
    segments, positions = np.unique(labels.to_numpy(), return_inverse=True)
    sums = np.zeros((len(segments), len(recommender.products_)))
    for part in batches(len(labels)):
        member = np.eye(len(segments))[positions[part]]
        sums += member.T @ recommender.scores(labels.index[part])
    return sums


def _similarity(attributes: pd.DataFrame, known: pd.Index, new: pd.Index) -> NDArray[np.float64]:
    """Weights of the known products for each new one, known x new; each column sums to 1."""
    vectors = attribute_vectors(attributes, known.append(new))
    similarity = (vectors[: len(known)] @ vectors[len(known) :].T).toarray().astype(np.float64)
    similarity[:, similarity.sum(axis=0) == 0] = 1.0
    return similarity / similarity.sum(axis=0)
