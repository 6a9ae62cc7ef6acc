"""What an acceptance check is: a name, a part, a bar, and a function that measures its figure."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

_COMPARE = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


class Skip(Exception):
    """Raised by a check that this machine cannot do; the message says what it lacks."""


@dataclass(frozen=True)
class Check:
    """measure() gives the figure; `relation` and `bar` say what it must be; `unit` is for the reader."""

    part: str
    name: str
    relation: str
    bar: float
    unit: str
    measure: Callable[[], float]

    def passes(self, figure: float) -> bool:
        """Whether the figure reaches the bar."""
        return bool(_COMPARE[self.relation](figure, self.bar))


CHECKS: list[Check] = []


def check(part: str, name: str, relation: str, bar: float, unit: str = "") -> Callable:
    """Register a function as a check of this part."""

    def register(measure: Callable[[], float]) -> Callable[[], float]:
        CHECKS.append(Check(part, name, relation, bar, unit, measure))
        return measure

    return register
