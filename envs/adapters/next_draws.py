"""What may follow an action: several draws of the next period from the same state, beside the one that happens."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..simulator import Market
from .learner_view import LearnerView

_APART = 1 << 32
"""Distance between the numbers of a market and of its copies, which makes their customers others."""


class NextDraws:
    """Copies of a learner's markets, which look one period ahead with other customers.

    States and actions are noted, and looked at together: many small steps take longer than a large one.
    The same state and actions give the same draws, so that a run can be resumed.

    Args:
        view: The learner's view of E markets, which stays as it is.
        draws: D, number of copies of each market.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import LearnerView, Market
        >>> view = LearnerView(Market("stationary-logit", num_markets=3))
        >>> ahead = NextDraws(view, 5)
        >>> ahead.note(np.zeros((3, 1)))
        >>> ahead.observations().shape == (1, 5, *view.observe().shape)
        True
    """

    def __init__(self, view: LearnerView, draws: int) -> None:
        self._view, self._draws, self._copies = view, draws, view
        self._spec = view.market.spec
        self.forget()

    def forget(self) -> None:
        """Forget the states noted."""
        self._arrays: list[dict[str, NDArray]] = []
        self._actions: list[NDArray] = []

    @property
    def moved(self) -> bool:
        """Whether the markets follow another posterior draw than in the states noted."""
        return bool(self._arrays) and self._view.market.spec is not self._spec

    def note(self, actions: ArrayLike) -> None:
        """Note the present state, where all markets are within an episode, and what will be done in it.

        Args:
            actions: (rows, …) elements of the action space.
        """
        self._spec = self._view.market.spec
        self._arrays.append({name: array.copy() for name, array in self._view.arrays().items()})
        self._actions.append(np.array(actions))

    def observations(self) -> NDArray[np.float32]:
        """(T, D, rows, F) observations of the period after each of the T states noted since the last call."""
        periods, draws, each = len(self._actions), self._draws, self._view.market.num_markets
        market = self._market(periods * draws * each)
        self._copies = self._view.on(market)
        names = self._arrays[0]
        arrays = {name: self._repeated(name, [noted[name] for noted in self._arrays]) for name in names}
        arrays["clock"][0] += _APART * np.tile(np.repeat(np.arange(1, draws + 1), each), periods)
        self._copies.restore_arrays(arrays)
        self._copies.step(np.concatenate([actions for actions in self._actions for _ in range(draws)]))
        self.forget()
        return self._copies.observe().reshape(periods, draws, self._view.num_rows, -1)

    def _market(self, size: int) -> Market:
        """The copies in the posterior draw of the states noted."""
        real, market = self._view.market, self._copies.market
        if market is real or market.num_markets != size:
            return Market(self._spec, num_markets=size, seed=real.dynamics.seed, assumed=real.assumed)
        market.dynamics.seed = real.dynamics.seed
        if market.spec is not self._spec:
            market.spec = self._spec
            market.dynamics.move_to(self._spec)
        return market

    def _repeated(self, name: str, noted: list[NDArray]) -> NDArray:
        """An array of `LearnerView.arrays` for all copies; markets come first in the history alone."""
        axis = {"window": 0, "rates": 1}.get(name, -1)
        return np.concatenate([array for array in noted for _ in range(self._draws)], axis=axis)
