"""Implicit-feedback matrix factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .recommend import Purchases, Recommender


class Als(Recommender):
    """Factorise the purchases by alternating least squares (Hu, Koren, Volinsky 2008), as the package implicit does.

    Minimises Σ c_ui (p_ui - x_u·y_i)² + regularisation · (Σ‖x_u‖² + Σ‖y_i‖²) over all pairs, with p_ui = 1 where u
    bought i and 0 elsewhere, and confidence c_ui = alpha · log(1 + lines) where they did and 1 elsewhere.

    Args:
        factors: length of x_u and y_i.
        regularisation: keeps the factors of rare customers and products small.
        alpha: confidence in a purchase, per log(1 + lines).
        iterations: rounds of both halves.
        seed: of the first factors.
    """

    def __init__(
        self,
        *,
        factors: int = 64,
        regularisation: float = 30.0,
        alpha: float = 2.0,
        iterations: int = 15,
        seed: int = 0,
    ):
        self.factors = factors
        self.regularisation = regularisation
        self.alpha = alpha
        self.iterations = iterations
        self.seed = seed

    def _learn(self, history: Purchases) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError as error:
            raise ImportError(
                "implicit is not installed; install the extra it belongs to: pip install 'repricer[train]'"
            ) from error
        # Its own threads and those of BLAS would get in each other's way.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularisation,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
            )
            # implicit works on the older sparse matrices.
            model.fit(_matrix(self.purchases_.log1p()), show_progress=False)
        self._customers, self._products = model.user_factors, model.item_factors

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._customers[rows] @ self._products.T


def _matrix(table: Any) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(table)
