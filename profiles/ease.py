"""EASE^R: the purchases of each product as a linear function of those of all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from .recommender import Purchases, Recommender


class Ease(Recommender):
    """Embarrassingly shallow autoencoder (Steck 2019): the best linear item-item model,
    in closed form.

    With X the array of log(1 + sale lines), B minimises ‖X - XB‖² + λ‖B‖² under diag(B) = 0: with
    P = (XᵀX + λI)⁻¹, B_ij = -P_ij / P_jj (equation 8). A product scores x·B_j.

    B is dense, 4 bytes x products², and the time grows with products³. Of a larger catalogue, only
    the `max_products` with the most sale lines take part (6,000: .14 GB, and three times that while
    it is fitted).

    Args:
        regularisation: λ, in squared log counts; a larger one relies on strong similarity only.
        max_products: most products in the model.

    Attributes:
        weights_: B, (products, products).

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({"customer": list("aabbc"), "product": ["tea", "jam", "tea", "jam", "tea"]})
        >>> Ease(regularisation=1.0).fit(sales).recommend(["c"], n=1)["product"].tolist()
        ['jam']
    """

    def __init__(self, *, regularisation: float = 1000.0, max_products: int = 6_000):
        self.regularisation = regularisation
        self.max_products = max_products

    def _learn(self, purchases: Purchases) -> None:
        if not self.regularisation > 0 or self.max_products < 1:
            raise ValueError(
                "regularisation must be above 0 and max_products 1 or more; "
                f"got {self.regularisation} and {self.max_products}"
            )
        purchases = purchases.most_bought(self.max_products)
        self.products_, self.purchases_ = purchases.products, purchases.total()
        self._logs = self.purchases_.log1p()
        self.weights_ = _weights((self._logs.T @ self._logs).toarray(), self.regularisation)

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        # Dense: with hundreds of products per customer, BLAS is faster than a sparse product.
        return self._logs[rows].toarray() @ self.weights_


def _weights(gram: NDArray[np.float32], regularisation: float) -> NDArray[np.float32]:
    """Compute B from XᵀX by Cholesky, in place: a third of the time and memory of a general inverse."""
    gram = np.asfortranarray(gram)
    diagonal = np.diag_indices_from(gram)
    gram[diagonal] += regularisation
    lapack: Any = get_lapack_funcs(("potrf", "potri"), (gram,))
    potrf, potri = lapack
    factor, failed = potrf(gram, lower=True, overwrite_a=True, clean=True)
    if failed:
        raise ValueError("regularisation must make XᵀX + λI positive definite; raise it")
    inverse: Any = potri(factor, lower=True, overwrite_c=True)[0]
    # Only the lower triangle is filled.
    for j in range(len(inverse)):
        inverse[j, j + 1 :] = inverse[j + 1 :, j]
    inverse /= -inverse[diagonal]
    inverse[diagonal] = 0
    return inverse
