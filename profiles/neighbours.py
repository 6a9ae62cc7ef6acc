"""Nearest neighbours among products."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from .recommend import Purchases, Recommender

_PRODUCTS_AT_ONCE = 500
_WEIGHTINGS = ("binary", "log", "tf-idf")


class ItemItem(Recommender):
    """Score a product by its likeness to what the customer buys: nearest neighbours among products.

    With x_i the column of product i in the array of weighted purchases, the likeness of i and j is the
    cosine with shrinkage, x_i · x_j / (‖x_i‖ ‖x_j‖ + shrinkage), kept for the nearest `neighbours` of each j and
    0 elsewhere; a product's score is the sum of its likeness to each product bought, times that product's
    weight (Sarwar, Karypis, Konstan, Riedl 2001; shrinkage as in Bell and Koren 2007).

    Args:
        neighbours: products that a product's score draws on.
        shrinkage: holds down likeness that rests on few buyers, in squared weights.
        weighting: weight of n sale lines: "binary" 1; "log" log(1 + n); "tf-idf" that times
            log(customers / buyers of the product).

    Attributes:
        likeness_: sparse array products bought x products scored.
    """

    def __init__(self, *, neighbours: int = 50, shrinkage: float = 20.0, weighting: str = "log"):
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.weighting = weighting

    def _learn(self, history: Purchases) -> None:
        if self.neighbours < 1 or self.shrinkage < 0:
            raise ValueError(
                f"neighbours must be 1 or more and shrinkage 0 or more; got {self.neighbours} and {self.shrinkage}"
            )
        self._weights = _weighted(self.purchases_, self.weighting)
        by_product = self._weights.T.tocsr()
        norms = np.sqrt(by_product.power(2).sum(axis=1))
        nearest = []
        for start in range(0, len(norms), _PRODUCTS_AT_ONCE):
            block = slice(start, start + _PRODUCTS_AT_ONCE)
            likeness = by_product[block] @ self._weights
            own = start + np.repeat(np.arange(likeness.shape[0]), np.diff(likeness.indptr))
            # A product without weight has no likeness to any; the entry itself is 0.
            scale = norms[own] * norms[likeness.indices] + self.shrinkage
            likeness.data /= np.where(scale > 0, scale, 1)
            likeness.data[own == likeness.indices] = 0
            nearest.append(largest(likeness, self.neighbours))
        self.likeness_ = vstack(nearest, format="csr").T.tocsr()

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (self._weights[rows] @ self.likeness_).toarray()


def _weighted(purchases: csr_array, weighting: str) -> csr_array:
    if weighting not in _WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(_WEIGHTINGS)}; got {weighting!r}")
    weights = purchases.sign() if weighting == "binary" else purchases.log1p()
    if weighting == "tf-idf":
        buyers = purchases.count_nonzero(axis=0)
        weights.data *= np.log(purchases.shape[0] / buyers).astype(np.float32)[weights.indices]
    return weights


def largest(table: csr_array, n: int) -> csr_array:
    """Keep the `n` largest entries of each row of `table`."""
    kept = [
        start + (np.argpartition(-table.data[start:end], n - 1)[:n] if end - start > n else np.arange(end - start))
        for start, end in itertools.pairwise(table.indptr)
    ]
    bounds = np.r_[0, np.minimum(np.diff(table.indptr), n).cumsum()]
    chosen = np.concatenate(kept)
    return csr_array((table.data[chosen], table.indices[chosen], bounds), shape=table.shape)
