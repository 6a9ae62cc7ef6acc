"""What may follow an action: several draws of the next period from the same state, beside the one that happens."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..simulator import Market
from .learner_view import LearnerView

_APART = 1 << 32
"""Distance between the numbers of a market and of its copies, which makes their customers others."""


class NextDraws:
    """Copies of a learner's markets, which look one period ahead with other customers.

    The same state and actions give the same draws, so that a run can be resumed.

    Args:
        view: The learner's view of E markets, which stays as it is.
        draws: D, number of copies of each market.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import LearnerView, Market
        >>> view = LearnerView(Market("stationary-logit", num_markets=3))
        >>> NextDraws(view, 5).observations(np.zeros((3, 1))).shape == (5, *view.observe().shape)
        True
    """

    def __init__(self, view: LearnerView, draws: int) -> None:
        market = view.market
        self._view, self._draws, self._copies = view, draws, copy.copy(view)
        self._copies.market = Market(
            market.spec, num_markets=draws * market.num_markets, seed=market.dynamics.seed, believed=market.believed
        )

    def observations(self, actions: ArrayLike) -> NDArray[np.float32]:
        """(D, rows, F) observations of the next period, where all markets are within an episode.

        Args:
            actions: (rows, …) elements of the action space.
        """
        real, market = self._view.market, self._copies.market
        market.dynamics.seed = real.dynamics.seed
        if market.spec is not real.spec:  # another posterior draw
            market.spec = real.spec
            market.dynamics.move_to(real.spec)
        arrays = {name: self._repeated(name, array) for name, array in self._view.arrays().items()}
        arrays["clock"][0] += _APART * np.repeat(np.arange(1, self._draws + 1), real.num_markets)
        self._copies.restore_arrays(arrays)
        actions = np.asarray(actions)
        self._copies.step(np.tile(actions, (self._draws, *[1] * (actions.ndim - 1))))
        return self._copies.observe().reshape(self._draws, self._view.num_rows, -1)

    def _repeated(self, name: str, array: NDArray) -> NDArray:
        """An array of `LearnerView.arrays` for all copies; markets come first in the history alone."""
        if name == "window":
            return np.tile(array, (self._draws, 1, 1))
        axis = 1 if name == "rates" else -1
        return np.concatenate([array] * self._draws, axis=axis)
