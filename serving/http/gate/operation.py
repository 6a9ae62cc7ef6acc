"""What `/openapi.json` says of a route, declared beside the route."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import Struct


class BundleExample(NamedTuple):
    """A valid state of a bundle's market and one of its products, of which examples of bodies are made.

    Example:
        >>> BundleExample({"period": 0, "products": []}, "tea").product
        'tea'
    """

    state: Mapping[str, Any]
    product: str


Examples = Callable[[BundleExample], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the description of the API says of one route, beside its method and path.

    Attributes:
        tag: The group of routes that it belongs to.
        text: What it does; its first sentence, up to a colon, is the title.
        body: Type of the request's body; None where it has none.
        needs_body: Whether a request without a body is refused.
        query: Struct of the parameters in the query; None where it has none.
        answer: Type of the answer's JSON; None for an answer that is no JSON.
        media_type: Media type of the answer.
        refusals: Statuses of refusals that are the route's own, beside those of the gate.
        examples: Makes valid bodies, by name.
        links: Makes OpenAPI links from the answer to other routes, by name.

    Example:
        >>> Operation(tag="status", text="The process is running: it says nothing more.").title
        'The process is running'
    """

    tag: str
    text: str
    body: Any = None
    needs_body: bool = True
    query: type[Struct] | None = None
    answer: Any = dict[str, Any]
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()
    examples: Examples | None = None
    links: Examples | None = None

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        sentence = self.text.partition(". ")[0].removesuffix(".")
        return sentence.partition(":")[0]


def operation_id(method: str, path: str) -> str:
    """The name of a route in the description.

    Example:
        >>> operation_id("POST", "/v1/what-if")
        'post_v1_what_if'
    """
    return re.sub(r"\W", "_", f"{method.lower()}{path}")


def docstring(answer: Callable[..., Any]) -> str:
    """The docstring of what answers a route, on one line, as the text of its operation.

    Example:
        >>> docstring(docstring)[:13]
        'The docstring'
    """
    return " ".join((answer.__doc__ or "").split())
