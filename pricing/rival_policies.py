"""Rules that react to a rival's price: competitors in the market, and baselines for
the shop itself.

`view.competitor_price` is the price of the other side. A rule that learns keeps two numbers per
product between periods in the market's state; the market then calls its `learn` after each period.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from importlib.metadata import entry_points
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .backend import ONE, ZERO, smaller, where
from .observed import MarketView
from .protocol import Action, Policy

Floats = NDArray[np.float32]


def reduced(rival, factor, step):
    """The rival's price times a factor, less a step."""
    return rival * factor - step


def bounded(rival, low, high, step):
    """The rival's price less a step while it lies in (low, high], else `high`."""
    return where((rival > low) & (rival <= high), rival - step, high)


def cycled(rival, regular, cost, step):
    """The rival's price less a step, or the regular price where that would not exceed the unit cost."""
    lower = smaller(rival, regular) - step
    return where(lower > cost, lower, regular)


def turned(direction, profit, before):
    """The direction of the next step: the last one, reversed where profit fell."""
    ahead = where(direction == ZERO, ONE, direction)
    return where((direction != ZERO) & (profit < before), -ahead, ahead)


@runtime_checkable
class LearningPolicy(Policy, Protocol):
    """A policy that learns while the market runs; what it remembers is part of the market's state.

    Example:
        >>> isinstance(competitor("learning:0.1"), LearningPolicy), isinstance(competitor("match"), LearningPolicy)
        (True, False)
    """

    def learn(self, view: MarketView, price: Floats, profit: Floats) -> Floats:
        """The new memory, (E, N, 2), after charging `price` (E, N) and earning `profit` (E, N), in currency."""
        ...


def _rival_price(view: MarketView) -> Floats:
    """The rival's price, or the regular price where there is no rival."""
    if view.competitor_price is None:
        return np.broadcast_to(view.catalogue.regular_price, view.list_price.shape)
    return np.where(np.isfinite(view.competitor_price), view.competitor_price, view.catalogue.regular_price)


@dataclass(frozen=True)
class Stay:
    """Keeps the current price: a rival that never reacts."""

    name: str = "fixed"

    def act(self, view: MarketView) -> Action:
        """Propose the current price."""
        return Action(view.list_price)


@dataclass(frozen=True)
class Undercut:
    """The rival's price less a step: currency per unit, or a fraction of the rival's price where `relative`."""

    step: float
    relative: bool = False

    @property
    def name(self) -> str:
        """`undercut:STEP`."""
        return f"undercut:{self.step:.6g}" if not self.relative else f"undercut:{self.step:.6%}"

    @property
    def terms(self) -> tuple[np.float32, np.float32]:
        """The factor of the rival's price, and what is then subtracted."""
        return (np.float32(1 - self.step), np.float32(0)) if self.relative else (np.float32(1), np.float32(self.step))

    def act(self, view: MarketView) -> Action:
        """Propose a price below the rival's."""
        return Action(self.below(_rival_price(view)))

    def below(self, rival: Floats) -> Floats:
        """These prices less the step."""
        return reduced(rival, *self.terms)


@dataclass(frozen=True)
class Match:
    """The rival's price."""

    name: str = "match"

    def act(self, view: MarketView) -> Action:
        """Propose the rival's price."""
        return Action(_rival_price(view).astype(np.float32))


@dataclass(frozen=True)
class _Rule:
    """A rule that is named by its kind and its numbers."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """`KIND:NUMBER:…`."""
        return ":".join([self.kind, *(f"{number:g}" for number in astuple(self))])


@dataclass(frozen=True)
class TwoBound(_Rule):
    """Undercuts while the rival's price lies in (low, high], else charges `high`; all in currency per unit."""

    kind: ClassVar[str] = "two-bound"
    low: float
    high: float
    step: float

    def act(self, view: MarketView) -> Action:
        """Propose an undercut or the high price."""
        low, high, step = np.array([self.low, self.high, self.step], np.float32)
        return Action(bounded(_rival_price(view), low, high, step))


@dataclass(frozen=True)
class EdgeworthCycle(_Rule):
    """Lowers its own last price by a step while that lies in (low, high], else charges `high`; all in currency per unit.

    A rival that answers the last period's price charges what follows from one's own last price: this undercuts it.
    """

    kind: ClassVar[str] = "cycle"
    low: float
    high: float
    step: float

    def act(self, view: MarketView) -> Action:
        """Propose a step down or the high price."""
        low, high, step = np.array([self.low, self.high, self.step], np.float32)
        return Action(bounded(view.list_price, low, high, step))


@dataclass(frozen=True)
class Edgeworth(_Rule):
    """Undercuts step by step down to the unit cost, then returns to the regular price.

    Maskin and Tirole (1988), A Theory of Dynamic Oligopoly II, Econometrica
    56(3): Edgeworth cycles.
    """

    kind: ClassVar[str] = "edgeworth"
    step: float

    def act(self, view: MarketView) -> Action:
        """Propose an undercut, or the regular price where the undercut would not cover the unit cost."""
        regular = view.catalogue.regular_price
        cost = view.catalogue.shelf_cost
        return Action(cycled(_rival_price(view), regular, cost, np.float32(self.step)))


@dataclass(frozen=True)
class DerivativeFollower(_Rule):
    """Moves its price by a step in the direction that last raised profit, and reverses
    when profit falls.

    Greenwald and Kephart (1999), Shopbots and Pricebots, IJCAI: the derivative-following pricebot.
    Memory: the direction (-1 or 1; 0 before the first move) and the profit of the last period.
    """

    kind: ClassVar[str] = "learning"
    step: float

    def act(self, view: MarketView) -> Action:
        """Propose the next step."""
        if view.memory is None:
            return Action(view.list_price)
        return Action((view.list_price + view.memory[..., 0] * np.float32(self.step)).astype(np.float32))

    def learn(self, view: MarketView, price: Floats, profit: Floats) -> Floats:
        """Keep the direction if profit did not fall, else reverse it."""
        memory = view.memory if view.memory is not None else np.zeros((*price.shape, 2), np.float32)
        direction = turned(memory[..., 0], profit, memory[..., 1])
        return np.stack([direction, profit], axis=-1).astype(np.float32)


def _undercut(step: str) -> Policy:
    return Undercut(_number(step[:-1]) / 100, relative=True) if step.endswith("%") else Undercut(_number(step))


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < np.inf:
        raise ValueError
    return number


def _numbers(kind: Callable[..., Policy]) -> Callable[..., Policy]:
    return lambda *texts: kind(*map(_number, texts))


_BUILT_IN: dict[str, tuple[str, Callable[..., Policy]]] = {
    "fixed": ("fixed", lambda: Stay()),
    "undercut": ("undercut:STEP or undercut:PERCENT%", _undercut),
    "match": ("match", lambda: Match()),
    "two-bound": ("two-bound:LOW:HIGH:STEP", _numbers(TwoBound)),
    "cycle": ("cycle:LOW:HIGH:STEP", _numbers(EdgeworthCycle)),
    "edgeworth": ("edgeworth:STEP", _numbers(Edgeworth)),
    "learning": ("learning:STEP", _numbers(DerivativeFollower)),
}


@functools.cache
def _extensions() -> dict[str, Callable[..., Policy]]:
    return {point.name: point.load() for point in entry_points(group="repricer.competitors")}


def competitor(rule: str) -> Policy:
    """The policy of a rule, built in or registered by an extension.

    An extension registers, under the entry point group `repricer.competitors`, a function from the
    arguments as text to a Policy.

    Args:
        rule: `NAME` or `NAME:ARGUMENT:…`.

    Raises:
        ValueError: the rule is unknown, or its arguments are not numbers of at least 0.

    Example:
        >>> competitor("undercut:5%").name
        'undercut:5.000000%'
    """
    name, *arguments = str(rule).split(":")
    if name in _extensions():
        return _extensions()[name](*arguments)
    return built_in_rule(rule, also=_extensions())


def built_in_rule(rule: str, *, also: Iterable[str] = ()) -> Policy:
    """As `competitor`, for the rules of this package only: no extension is loaded.

    Args:
        rule: `NAME` or `NAME:ARGUMENT:…`.
        also: further names to list in the error message.

    Raises:
        ValueError: as `competitor` does.

    Example:
        >>> built_in_rule("two-bound:4:9:0.1").high
        9.0
    """
    name, *arguments = str(rule).split(":")
    known = [*(usage for usage, _ in _BUILT_IN.values()), *also]
    if name not in _BUILT_IN:
        raise ValueError(f"rule must be one of {', '.join(known)}; got '{rule}'; choose one of them")
    usage, build = _BUILT_IN[name]
    try:
        return build(*arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"rule {name} must be written {usage}, numbers >= 0; got '{rule}'; fix it") from error
