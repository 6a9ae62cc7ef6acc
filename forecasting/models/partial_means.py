"""What is left of values without the means of groups, and the noise of a regression on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DEMEANINGS = 20


def without_means(values: np.ndarray, effects: Sequence[np.ndarray]) -> np.ndarray:
    """Values (n, k) without the means of each effect's groups, by alternating projections (Guimaraes and Portugal 2010).

    Args:
        values: (n, k) values.
        effects: The (n,) number of each row's group, from 0 on, by effect.

    Example:
        >>> without_means(np.array([[1.0], [3.0], [5.0]]), [np.array([0, 0, 1])]).ravel().tolist()
        [-1.0, 1.0, 0.0]
    """
    for _ in range(_DEMEANINGS if len(effects) > 1 else 1):
        for code in effects:
            size = np.bincount(code)
            means = np.column_stack([np.bincount(code, column) / size for column in values.T])
            values = values - means[code]
    return values


def noise_variance(y: np.ndarray, values: np.ndarray) -> float:
    """Variance of what least squares leaves of (n,) y, given (n, k) values.

    Example:
        >>> noise_variance(np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]]))
        1e-06
    """
    return max(float(np.var(y - values @ np.linalg.lstsq(values, y)[0])), 1e-6) if len(y) else 1.0
