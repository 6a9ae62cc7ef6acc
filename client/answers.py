"""What a client answers: prices and where they came from, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["service", "local", "last-known"]
"""The service, in whose log the decision is; the bundle at hand; an earlier answer of the service."""


class RefusedError(ValueError):
    """A request that the service, or the bundle at hand, refuses: a wrong state, a wrong key. The message is its line.

    Example:
        >>> RefusedError(422, "state must have period; got none; add it").status
        422
    """

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class UnansweredError(OSError):
    """The service is away, and nothing at hand may answer in its place; the message is one line.

    Example:
        >>> raise UnansweredError("a price needs the service, a bundle or a last known price; got none")
        Traceback (most recent call last):
        repricer.client.answers.UnansweredError: a price needs the service, a bundle or a last known price; got none
    """


@dataclass(frozen=True)
class AnsweredPrices:
    """The answer for one market state.

    Attributes:
        source: Where it came from.
        answer: The answer as `POST /v1/prices` gives it, plain JSON.
        reason: Why it is not from the service; empty where it is.
        age_seconds: Since the service last said what it rests on: 0 from the service; of a local answer, since the
            switches were heard, infinite where they never were; of a last known price, since it was given.

    Example:
        >>> answer = {"request_id": "7", "prices": [{"product": "tea", "price": 3.5}]}
        >>> priced = AnsweredPrices("last-known", answer, "the service does not answer", 12.0)
        >>> priced.prices, priced.request_id
        ({'tea': 3.5}, None)
    """

    source: Source
    answer: Mapping[str, Any]
    reason: str
    age_seconds: float

    @property
    def prices(self) -> dict[str, float]:
        """The allowed price of each product, currency per unit."""
        return {item["product"]: item["price"] for item in self.answer["prices"]}

    @property
    def request_id(self) -> str | None:
        """The decision of the log that outcomes are reported of; None where the log has none of this answer."""
        return self.answer["request_id"] if self.source == "service" else None
