"""A policy that a network answers for: trained in this process or read from a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .action_layout import ActionLayout, Parts
from .catalogue import Catalogue, MarketView
from .features import feature_rows
from .protocol import Action, Policy


def action_from_parts(parts: Parts, base_price: NDArray[np.float32], view: MarketView) -> Action:
    """The action for a view from what `ActionLayout.decode` gives, whichever way the rows were laid out.

    base_price: (N,) or (E, N) currency per unit.
    """
    shape = (view.num_markets, view.catalogue.num_products)

    def spread(part: Any, *last: int) -> NDArray[np.float32] | None:
        return None if part is None else np.asarray(part).reshape(*shape, *last)

    order = spread(parts.order)
    if order is not None:
        most = view.catalogue.max_order_units
        if most is None:
            raise ValueError(
                "a policy that orders needs a catalogue with max_order_units; got none; name the scenario's"
            )
        order = np.floor(order * most + np.float32(0.5))
    return Action(
        price=(base_price * np.asarray(parts.price_multiplier).reshape(shape)).astype(np.float32),
        discount=spread(parts.discount, -1),
        recommendation=spread(parts.recommendation, -1),
        promotion=spread(parts.promotion),
        order=order,
    )


def parts_from_action(action: Action, base_price: NDArray[np.float32], catalogue: Catalogue) -> Parts:
    """The parts, (E, N, …), that `action_from_parts` would make this action of."""
    most = catalogue.max_order_units
    return Parts(
        price_multiplier=action.price / base_price,
        discount=action.discount,
        recommendation=action.recommendation,
        promotion=action.promotion,
        order=None if action.order is None or most is None else action.order / np.maximum(most, 1),
    )


@dataclass(frozen=True)
class NetworkPolicy:
    """Prices from a network.

    forward: rows of features to the decoded parts of `layout`. product_wise: a row is one product, (E * N, F), so that
    the same network prices any number of products; otherwise a row is one market, (E, N * F), without the columns that
    never change. base_price: (N,) what the network's price multiplies. base: a policy whose price is multiplied instead,
    period by period.
    """

    name: str
    forward: Callable[[NDArray[np.float32]], Parts]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    base: Policy | None = None

    def act(self, view: MarketView) -> Action:
        """Propose what the network says, without exploration."""
        rows = feature_rows(view, product_wise=self.product_wise)
        base_price = self.base_price if self.base is None else self.base.act(view).price
        return action_from_parts(self.forward(rows), base_price, view)


Memory = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class RememberingPolicy:
    """Prices from a network that looks back: at the periods before, or at what it noted itself.

    remember: (rows of features, notes) to (decoded parts, new notes); the rows lie along the notes' first axis. opening:
    the notes with which these rows begin an episode. The rest is as in `NetworkPolicy`. The notes are kept here from one
    call to the next: periods must come in order, always for the same markets, and the first period of an episode opens
    them anew.
    """

    name: str
    remember: Callable[[NDArray[np.float32], Memory], tuple[Parts, Memory]]
    opening: Callable[[NDArray[np.float32]], Memory]
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    base: Policy | None = None
    _notes: list[Memory] = field(default_factory=list, init=False, repr=False, compare=False)

    deterministic = False
    """The view alone does not fix the action: such a policy has no exact value and answers no question out of turn."""

    def act(self, view: MarketView) -> Action:
        """Propose what the network says, without exploration. Raises ValueError where periods come out of turn."""
        rows = feature_rows(view, product_wise=self.product_wise)
        opens = np.repeat(view.period == 0, len(rows) // view.num_markets)
        action, notes = self._answer(view, rows, self._notes_for(rows, opens))
        self._notes[:] = [notes]
        return action

    def answer(self, view: MarketView, notes: Memory | None) -> tuple[Action, Memory]:
        """What the network says with these notes (None opens an episode), and its new ones; nothing is kept here."""
        rows = feature_rows(view, product_wise=self.product_wise)
        return self._answer(view, rows, self.opening(rows) if notes is None else notes)

    def as_noted(self, view: MarketView) -> AsNoted:
        """This policy with what it has noted until this view of one market, the next in turn. Raises as `act` does."""
        rows = feature_rows(view, product_wise=self.product_wise)
        return AsNoted(self, self._notes_for(rows, np.repeat(view.period == 0, len(rows) // view.num_markets)))

    def _answer(self, view: MarketView, rows: NDArray[np.float32], notes: Memory) -> tuple[Action, Memory]:
        parts, notes = self.remember(rows, notes)
        base_price = self.base_price if self.base is None else self.base.act(view).price
        return action_from_parts(parts, base_price, view), notes

    def _notes_for(self, rows: NDArray[np.float32], opens: NDArray[np.bool_]) -> Memory:
        if opens.all():
            return self.opening(rows)
        if not self._notes or len(self._notes[0][0]) != len(rows):
            raise ValueError(
                f"{self.name} looks back and must see every period from the first on, always for the same markets; got "
                f"{len(rows)} rows in mid-episode; begin at period 0"
            )
        fresh = self.opening(rows)
        where = [opens.reshape(-1, *[1] * (note.ndim - 1)) for note in fresh]
        return tuple(np.where(w, new, old) for w, new, old in zip(where, fresh, self._notes[0], strict=True))


@dataclass(frozen=True)
class AsNoted:
    """A policy that looks back as it answers at one moment: with the notes of one market, whatever the view.

    Answers what it would propose if that market were in another state, all that went before being as it was.
    """

    policy: RememberingPolicy
    notes: Memory

    @property
    def name(self) -> str:
        """That of the policy."""
        return self.policy.name

    def act(self, view: MarketView) -> Action:
        """Propose what the network says with these notes, for every market."""
        notes = tuple(np.tile(note, (view.num_markets, *[1] * (note.ndim - 1))) for note in self.notes)
        return self.policy.answer(view, notes)[0]
