"""What may follow an action: several draws of the next period from the same state, beside the one that happens."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ...envs import LearnerView, Market, MarketVecEnv

# States that the critic values in one call: many small calls take longer, larger ones need memory.
_STATES_AT_ONCE = 16_384
_COPIES_APART = 1 << 32
"""Distance between the numbers of a market and of its copies, which makes their customers others."""
# Arrays of `LearnerView.arrays` whose last axis is not the markets'.
_MARKETS_AXIS = {"window": 0, "rates": 1}


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
        self._view = view
        self._draws = draws
        self._copies = view
        self._spec = view.market.spec
        self._noted: list[tuple[dict[str, NDArray], NDArray]] = []

    @property
    def moved(self) -> bool:
        """Whether the markets follow another posterior draw than in the states noted."""
        return bool(self._noted) and self._view.market.spec is not self._spec

    def note(self, actions: ArrayLike) -> None:
        """Note the present state, where all markets are within an episode, and what will be done in it.

        Args:
            actions: (rows, …) elements of the action space.
        """
        self._spec = self._view.market.spec
        self._noted.append(({name: array.copy() for name, array in self._view.arrays().items()}, np.array(actions)))

    def observations(self) -> NDArray[np.float32]:
        """(T, D, rows, F) observations of the period after each of the T states noted since the last call.

        One large market holds all copies side by side: the first state D times, then the second, and so on.
        """
        periods = len(self._noted)
        draws = self._draws
        num_markets = self._view.market.num_markets
        states, actions = zip(*(noted for noted in self._noted for _ in range(draws)), strict=True)
        axes = {name: _MARKETS_AXIS.get(name, -1) for name in states[0]}
        arrays = {name: np.concatenate([state[name] for state in states], axis=axis) for name, axis in axes.items()}
        # The first row of the clock is the number of the market, which selects its random numbers.
        number_of_copy = np.tile(np.repeat(np.arange(1, draws + 1), num_markets), periods)
        arrays["clock"][0] += _COPIES_APART * number_of_copy
        self._copies = self._view.on(self._market(periods * draws * num_markets))
        self._copies.restore_arrays(arrays)
        self._copies.step(np.concatenate(actions))
        self._noted = []
        return self._copies.observe().reshape(periods, draws, self._view.num_rows, -1)

    def _market(self, size: int) -> Market:
        """The copies in the posterior draw of the states noted."""
        real = self._view.market
        market = self._copies.market
        if market is real or market.num_markets != size:
            return Market(self._spec, num_markets=size, seed=real.dynamics.seed, assumed=real.assumed)
        market.dynamics.seed = real.dynamics.seed
        if market.spec is not self._spec:
            market.spec = self._spec
            market.dynamics.move_to(self._spec)
        return market


class ExpectedValues(VecEnvWrapper):
    """Markets that look at what else could have followed, to take the noise of the next state's value out of
    the rewards of one rollout.

    Args:
        venv: The markets.
        model: Whose critic values states; it does not change during a rollout.
        draws: Number of further draws of each period.
    """

    def __init__(self, venv: MarketVecEnv, model: OnPolicyAlgorithm, draws: int) -> None:
        super().__init__(venv)
        self._markets = venv
        self._model = model
        self._next = [NextDraws(view, draws) for view in venv.learner_views]
        # What the last periods reached, (rows, F), and which rows end an episode, (rows,); the noise of those before.
        self._reached: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = []
        self._noise: list[NDArray[np.float32]] = []
        self._draws = draws

    def reset(self) -> Any:
        """Reset the markets."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Store the actions, and note in which states they are taken."""
        if any(ahead.moved for ahead in self._next):
            self._look_ahead()
        for ahead, part in zip(self._next, np.split(np.asarray(actions), self._markets.ends[:-1]), strict=True):
            ahead.note(part)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market."""
        observations, rewards, dones, infos = self.venv.step_wait()
        cut = [row for row in np.flatnonzero(dones) if infos[row]["TimeLimit.truncated"]]
        reached = np.array(observations)
        ended = dones.copy()
        for row in cut:
            reached[row] = infos[row]["terminal_observation"]
            ended[row] = False
        self._reached.append((reached, ended))
        if len(self._reached) * (self._draws + 1) * self.num_envs >= _STATES_AT_ONCE:
            self._look_ahead()
        return observations, rewards, dones, infos

    def take_noise(self) -> NDArray[np.float32]:
        """(T, rows) discounted noise in the rewards of the rollout."""
        self._look_ahead()
        return np.concatenate(self._noise)

    def _look_ahead(self) -> None:
        """Replace what the last periods reached by the noise in its value."""
        if self._reached:
            reached, ended = map(np.stack, zip(*self._reached, strict=True))
            self._reached = []
            possible = np.concatenate([ahead.observations() for ahead in self._next], axis=2)
            states = np.concatenate([reached[:, None], possible], axis=1)
            rows = states.reshape(-1, states.shape[-1])
            shaping = self._markets.shaping
            values = values_of(self._model.policy, rows)
            if shaping is not None:
                values = values + shaping.scale * shaping.potential(rows)
            values = values.reshape(states.shape[:-1])
            noise = np.where(ended, 0, values[:, 0] - values.mean(axis=1))
            self._noise.append((self._model.gamma * noise).astype(np.float32))


def values_of(policy: ActorCriticPolicy, rows: NDArray[Any]) -> NDArray[np.float32]:
    """(R,) what the critic expects from states, (R, …), on."""
    with torch.no_grad():
        return policy.predict_values(cast(torch.Tensor, policy.obs_to_tensor(rows)[0]))[:, 0].cpu().numpy()
