"""Policies backed by a neural network, trained in this process or read from a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .action_layout import ActionLayout, ActionParts
from .catalogue import Catalogue
from .features import feature_rows
from .observed import MarketView
from .protocol import Action, Policy


def action_from_parts(parts: ActionParts, base_price: NDArray[np.float32], view: MarketView) -> Action:
    """The action for a view from decoded network outputs.

    Args:
        parts: what `ActionLayout.decode` returns, with one row per product or one row per market.
        base_price: (N,) or (E, N) currency per unit; the price is this times the multiplier.
        view: the E markets that the rows describe.

    Returns:
        The action, before the guardrails.

    Raises:
        ValueError: the parts hold orders, but the catalogue has no `max_order_units` or `max_express_units`.

    Example:
        >>> import repricer
        >>> market = repricer.Market("stationary-logit", num_markets=2)
        >>> parts = ActionParts(price_multiplier=np.array([1.0, 0.5], np.float32))
        >>> action_from_parts(parts, market.view.catalogue.regular_price, market.view).price.shape
        (2, 1)
    """
    shape = (view.num_markets, view.catalogue.num_products)

    def spread(part: Any, *last: int) -> NDArray[np.float32] | None:
        return None if part is None else np.asarray(part).reshape(*shape, *last)

    def units(part: Any, limit: str) -> NDArray[np.float32] | None:
        most = getattr(view.catalogue, limit)
        if part is None:
            return None
        if most is None:
            raise ValueError(f"a policy that orders needs a catalogue with {limit}; got none; name the scenario's")
        return np.floor(np.asarray(part).reshape(shape) * most + np.float32(0.5))

    return Action(
        price=(base_price * np.asarray(parts.price_multiplier).reshape(shape)).astype(np.float32),
        discount=spread(parts.discount, -1),
        recommendation=spread(parts.recommendation, -1),
        promotion=spread(parts.promotion),
        order=units(parts.order, "max_order_units"),
        express=units(parts.express, "max_express_units"),
    )


def parts_from_action(action: Action, base_price: NDArray[np.float32], catalogue: Catalogue) -> ActionParts:
    """The inverse of `action_from_parts`: the parts, (E, N, …), that decode to this action.

    Args:
        action: what a teacher policy proposed for E markets.
        base_price: (N,) or (E, N) currency per unit, which the network's price multiplies.
        catalogue: holds the largest orders.

    Example:
        >>> import repricer
        >>> view = repricer.Market("stationary-logit").view
        >>> parts = parts_from_action(Action(view.list_price), view.catalogue.regular_price, view.catalogue)
        >>> parts.price_multiplier.tolist()
        [[1.0]]
    """

    def share(units: NDArray[np.float32] | None, most: NDArray[np.float32] | None) -> NDArray[np.floating] | None:
        return None if units is None or most is None else units / np.maximum(most, 1)

    return ActionParts(
        price_multiplier=action.price / base_price,
        discount=action.discount,
        recommendation=action.recommendation,
        promotion=action.promotion,
        order=share(action.order, catalogue.max_order_units),
        express=share(action.express, catalogue.max_express_units),
    )


def _around(policy: NetworkPolicy | RecurrentPolicy, parts: ActionParts, view: MarketView) -> Action:
    """The action whose prices multiply the policy's `base_price`, or those of its `base`."""
    if policy.base is None:
        return action_from_parts(parts, policy.base_price, view)
    planned = policy.base.act(view)
    follows = np.asarray(parts.price_multiplier).reshape(planned.price.shape) == 1
    action = action_from_parts(parts, policy.layout.around(planned.price, policy.base_price, follows), view)
    return replace(
        action,
        promotion=action.promotion if planned.promotion is None else planned.promotion,
        recommendation=scores_beside(planned.recommendation, action.recommendation),
        deal=planned.deal,
    )


def scores_beside(
    planned: NDArray[np.float32] | None, learned: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    """The recommendation scores of a plan, which those of a network raise or lower; each may be None.

    Args:
        planned: (E, N, K) those of the policy that a network is around.
        learned: (E, N, K) those of the network.

    Example:
        >>> scores_beside(np.array([[[0.5]]]), np.array([[[-0.25]]])).tolist()
        [[[0.25]]]
    """
    if planned is None or learned is None:
        return learned if planned is None else planned
    return planned + learned


@dataclass(frozen=True)
class NetworkPolicy:
    """Prices from a feed-forward network.

    Args:
        name: how tables and logs call the policy.
        forward: maps rows of features to the decoded parts of `layout`.
        layout: the columns of the network's output.
        base_price: (N,) currency per unit, which the network's price multiplies.
        product_wise: True for one row per product, (E * N, F), so that one network prices any
            number of products; False for one row per market, (E, N * F), without the columns that
            never change.
        base: a policy whose price is multiplied in place of `base_price`, period by period; where
            it promotes, its promotions are those of the policy; where it recommends, the network's scores come on top.

    Example:
        >>> import repricer
        >>> view = repricer.Market("stationary-logit").view
        >>> layout = ActionLayout(0.5, 2.0)
        >>> def forward(rows):
        ...     return layout.decode(np.zeros((len(rows), 1), np.float32))
        >>> policy = NetworkPolicy("untrained", forward, layout, view.catalogue.regular_price, product_wise=True)
        >>> bool((policy.act(view).price == view.catalogue.regular_price).all())
        True
    """

    name: str
    forward: Callable[[NDArray[np.float32]], ActionParts]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    base: Policy | None = None

    def act(self, view: MarketView) -> Action:
        """Propose the network's prices, without exploration."""
        return self.propose(view, feature_rows(view, product_wise=self.product_wise))

    def propose(self, view: MarketView, rows: NDArray[np.float32]) -> Action:
        """As `act`, for a view whose rows of features are known."""
        return _around(self, self.forward(rows), view)


RecurrentState = tuple[NDArray[np.float32], ...]
"""Hidden state of a network, or a window of past features: arrays whose first axis is the rows."""
WINDOW = "window"


def initial_recurrent_state(rows: NDArray[np.float32], shapes: Mapping[str, tuple[int, ...]]) -> RecurrentState:
    """The recurrent state in which rows begin an episode.

    Args:
        rows: (R, F) features of the first period.
        shapes: the parts of the state by name, with their shape for one row: `window`, (periods,
            F), holds the features of earlier periods and starts with the first row repeated; every
            other part, such as the `hidden` and `cell` state of an LSTM, starts at zero.

    Example:
        >>> rows = np.array([[1.0, 2.0]], np.float32)
        >>> initial_recurrent_state(rows, {"window": (2, 2)})[0].tolist()
        [[[1.0, 2.0], [1.0, 2.0]]]
        >>> [part.shape for part in initial_recurrent_state(rows, {"hidden": (1, 8), "cell": (1, 8)})]
        [(1, 1, 8), (1, 1, 8)]
    """
    return tuple(
        np.repeat(rows[:, None], shape[0], axis=1) if name == WINDOW else np.zeros((len(rows), *shape), np.float32)
        for name, shape in shapes.items()
    )


def restarted_state(state: RecurrentState, starts: NDArray[np.bool_], initial: RecurrentState) -> RecurrentState:
    """The recurrent state, with the initial one in the rows (R,) where an episode starts.

    Example:
        >>> state, initial = (np.ones((2, 1)),), (np.zeros((2, 1)),)
        >>> restarted_state(state, np.array([True, False]), initial)[0].tolist()
        [[0.0], [1.0]]
    """
    where = [starts.reshape(-1, *[1] * (part.ndim - 1)) for part in initial]
    return tuple(np.where(w, new, old) for w, new, old in zip(where, initial, state, strict=True))


@dataclass(frozen=True)
class RecurrentPolicy:
    """Prices from a network that uses earlier periods: an LSTM, or a window of past features.

    The policy keeps the recurrent state between calls of `act`: periods must come in order and
    always for the same markets. The first period of an episode resets the state.

    Args:
        name: how tables and logs call the policy.
        step: maps (rows of features, recurrent state) to (decoded parts, new recurrent state).
        initial_state: maps rows of features to the state in which they begin an episode.
        layout: as in `NetworkPolicy`, like the parameters behind it.
        base_price: (N,) currency per unit.
        product_wise: one row per product, or one row per market.
        base: a policy whose price is multiplied in place of `base_price`.

    Example:
        A network that starts at the base price and raises the price by 1% a period:

        >>> import repricer
        >>> market = repricer.Market("stationary-logit")
        >>> def step(rows, state):
        ...     return ActionParts(price_multiplier=1.01 ** state[0]), (state[0] + 1,)
        >>> def initial_state(rows):
        ...     return (np.zeros(len(rows), np.float32),)
        >>> regular = market.view.catalogue.regular_price
        >>> policy = RecurrentPolicy("rising", step, initial_state, ActionLayout(0.5, 2.0), regular, True)
        >>> first = policy.act(market.view).price
        >>> _ = market.step(policy.act(market.view))
        >>> bool((policy.act(market.view).price > first).all())
        True
    """

    name: str
    step: Callable[[NDArray[np.float32], RecurrentState], tuple[ActionParts, RecurrentState]]
    initial_state: Callable[[NDArray[np.float32]], RecurrentState]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    base: Policy | None = None
    _states: list[RecurrentState] = field(default_factory=list, init=False, repr=False, compare=False)

    deterministic = False
    """The view alone does not fix the action, so the policy has no exact value and cannot answer
    out of order.
    """

    def act(self, view: MarketView) -> Action:
        """Propose the network's prices, without exploration.

        Raises:
            ValueError: the periods do not come in order, or the markets changed.
        """
        action, state = self.answer(view, *self._seen(view))
        self._states[:] = [state]
        return action

    def answer(
        self, view: MarketView, state: RecurrentState | None, rows: NDArray[np.float32] | None = None
    ) -> tuple[Action, RecurrentState]:
        """The action and the new state, given a state (None for the initial one); the policy's
        own state stays.

        Args:
            view: of the markets to act for.
            state: the recurrent state of these markets.
            rows: the view's rows of features, where they are known.
        """
        if rows is None:
            rows = feature_rows(view, product_wise=self.product_wise)
        parts, state = self.step(rows, self.initial_state(rows) if state is None else state)
        return _around(self, parts, view), state

    def at_state(self, view: MarketView) -> PolicyAtState:
        """This policy with its present state fixed.

        Args:
            view: of one market, the next one in order.

        Raises:
            ValueError: as `act` does.
        """
        return PolicyAtState(self, self._seen(view)[0])

    def _seen(self, view: MarketView) -> tuple[RecurrentState, NDArray[np.float32]]:
        """The state in which the markets of a view are, and their rows of features."""
        rows = feature_rows(view, product_wise=self.product_wise)
        starts = np.repeat(view.period == 0, len(rows) // view.num_markets)
        if starts.all():
            return self.initial_state(rows), rows
        if not self._states or len(self._states[0][0]) != len(rows):
            raise ValueError(
                f"{self.name} is recurrent and must see every period from the first on, always for the same markets; "
                f"got {len(rows)} rows in mid-episode; begin at period 0"
            )
        return restarted_state(self._states[0], starts, self.initial_state(rows)), rows


@dataclass(frozen=True)
class PolicyAtState:
    """A recurrent policy whose state is fixed at that of one market, whatever the view.

    It answers what the policy would propose if that market were in another condition now, with
    the same past.

    Args:
        policy: the recurrent policy.
        state: the fixed state, for the rows of one market.

    Example:
        `RecurrentPolicy.at_state` makes one:

        >>> import repricer
        >>> view = repricer.Market("stationary-logit").view
        >>> def step(rows, state):
        ...     return ActionParts(price_multiplier=np.ones(len(rows), np.float32)), state
        >>> regular = view.catalogue.regular_price
        >>> policy = RecurrentPolicy("regular", step, lambda rows: (rows,), ActionLayout(0.5, 2.0), regular, True)
        >>> policy.at_state(view).act(view).price.shape
        (1, 1)
    """

    policy: RecurrentPolicy
    state: RecurrentState

    @property
    def name(self) -> str:
        """The name of the policy."""
        return self.policy.name

    def act(self, view: MarketView) -> Action:
        """Propose the network's prices for every market of the view, each in the fixed state."""
        state = tuple(np.tile(part, (view.num_markets, *[1] * (part.ndim - 1))) for part in self.state)
        return self.policy.answer(view, state)[0]
