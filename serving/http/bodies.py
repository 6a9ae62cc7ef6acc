"""The bodies of the HTTP interface: the declarations that check them. Needs the `serve` extra."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, TypeVar

import orjson
from msgspec import Meta, Struct

from ..answers.answer import LONGEST
from ..decision_log.outcomes import ReportedOutcome
from ..documents import SCHEMA_REFERENCE, Document, Name, from_json, read
from ..explanation import LEAST_PRICE, MOST_PRICE, MOST_PRICES
from ..price_list.image import Standing
from ..price_list.rows import Price, Status, Text
from .settings import Share

T = TypeVar("T", bound=Struct)
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", extra={"allowed": "64 hexadecimal digits"})]
MOST_STATES = 10_000
"""Markets in one request."""
MOST_OUTCOMES = 10_000
"""Outcomes in one request."""


class BodyError(ValueError):
    """The body of a request that cannot be read; the message is one line."""


def _of_bundle(name: str) -> Meta:
    """What is checked later, by the bundle that prices: the API's description names its schema."""
    return Meta(extra_json_schema={"$ref": SCHEMA_REFERENCE.format(name=name)})


State = Annotated[Any, _of_bundle("MarketState")]
Product = Annotated[Any, _of_bundle("Product")]
States = Annotated[
    State | Annotated[list[State], Meta(min_length=1, max_length=MOST_STATES)],
    Meta(description="One state, or several in 4 MiB."),
]
_TRIED_PRICE = Annotated[float, Meta(ge=LEAST_PRICE, le=MOST_PRICE)]
_TRIED = Meta(min_length=1, max_length=MOST_PRICES)


class Question(Struct, forbid_unknown_fields=True):
    """Which price is to be explained."""

    state: State
    product: Product


class WhatIfQuestion(Question, forbid_unknown_fields=True):
    """At which prices a product's sales are asked."""

    prices: Annotated[
        Annotated[list[_TRIED_PRICE], _TRIED] | None,
        Meta(description="prices to try, currency per unit; a grid of allowed ones if left out"),
    ] = None


class CustomerQuestion(Struct, forbid_unknown_fields=True):
    """What a customer asks about a price."""

    question: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST,
            description="what the customer asks, in their words",
            extra={"allowed": f"text of 1 to {LONGEST} characters", "fix": "shorten or fill it"},
        ),
    ]
    state: State
    product: Annotated[Product | None, Meta(description="the product, where the question need not name it")] = None


class Receipt(Struct):
    """How many outcomes are in the log, and how many of them were new."""

    accepted: int
    new: int


class Throw(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who throws a switch, and why."""

    by: Annotated[Text, Meta(description="who; with API keys, the name of the key counts")] = ""
    reason: Annotated[Text, Meta(description="why, for the log")] = ""


class Rollback(Throw, forbid_unknown_fields=True):
    """Which bundle takes over again."""

    bundle: Annotated[
        Digest | None, Meta(description="its digest; by default the one that was active before, once")
    ] = None


class Promotion(Throw, forbid_unknown_fields=True):
    """How the bundle on trial takes over."""

    unjudged: Annotated[bool, Meta(description="whether it does though the guard `money` cannot judge")] = False


class Switch(Throw, forbid_unknown_fields=True):
    """Whether something is on."""

    on: Annotated[bool, Meta(description="true turns it on, false off")]


class HoldoutShare(Throw, forbid_unknown_fields=True):
    """The share of markets that the fallback prices."""

    share: Annotated[Share, Meta(description="share of the markets that the fallback prices")]


class CanaryShare(Throw, forbid_unknown_fields=True):
    """The share of markets that a newer bundle prices."""

    share: Annotated[Share, Meta(description="share of the markets for the bundle at the path; 0 takes it back")]


Ratio = Annotated[float, Meta(ge=0, le=1)]


class Certificate(Throw, forbid_unknown_fields=True):
    """What is certified of the policy's prices against those of the fallback, from the sales of both arms."""

    state: Annotated[
        Literal["waiting", "certified", "stopped"],
        Meta(description="not certified yet; certified; given up, as the loss is probably larger"),
    ]
    loss: Annotated[Ratio, Meta(description="largest loss of money that a certificate allows, a share")]
    confidence: Annotated[Ratio, Meta(description="confidence of the lower bound")]
    policy_share: Annotated[Ratio, Meta(description="share of the markets that the policy prices from now on")]
    date: Annotated[dt.date, Meta(description="last day whose sales were read, YYYY-MM-DD")]
    analysis: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the analysis as it was fixed before the sales")
    ]
    lower_bound: Annotated[
        float | None, Meta(description="of the relative gain in money, a share; null while none can be computed")
    ] = None
    estimate: Annotated[float | None, Meta(description="of the relative gain in money, a share")] = None


class Outcomes(Struct, forbid_unknown_fields=True):
    """What sold after one decision or several."""

    outcomes: Annotated[list[ReportedOutcome], Meta(min_length=1, max_length=MOST_OUTCOMES)]


class ListDecision(Document, frozen=True, forbid_unknown_fields=True):
    """What is decided about one row of the price list."""

    zone: Annotated[Name, Meta(description="zone of the row")]
    product: Annotated[Name, Meta(description="product of the row")]
    week: Annotated[dt.date, Meta(description="week of the row, YYYY-MM-DD")]
    seen: Annotated[
        Name, Meta(description="`seen` of the row as `/v1/price-list` gave it: none decides on another row")
    ]
    status: Annotated[Status, Meta(description="what is decided; `proposed` takes a decision back")]
    decided_price: Annotated[Price | None, Meta(description="for overridden: the price, currency per unit")] = None
    decision_reason: Annotated[Text, Meta(description="why; needed for overridden and postponed")] = ""


class ProductListDecision(Document, frozen=True, forbid_unknown_fields=True):
    """What is decided about a product of the price list, in the weeks that are named."""

    zone: Annotated[Name, Meta(description="zone of the product")]
    product: Annotated[Name, Meta(description="the product")]
    weeks: Annotated[
        dict[str, Name],
        Meta(
            min_length=1,
            max_length=MOST_OUTCOMES,
            description="by week, YYYY-MM-DD, `seen` of its row as `/v1/price-list` gave it: none decides on another row",
        ),
    ]
    status: Annotated[Status, Meta(description="what is decided; `proposed` takes a decision back")]
    decided_price: Annotated[
        Price | None, Meta(description="for overridden: the price in the weeks without a deal, currency per unit")
    ] = None
    decision_reason: Annotated[Text, Meta(description="why; needed for overridden and postponed")] = ""


class ListApproval(Struct, forbid_unknown_fields=True, kw_only=True):
    """Who makes the price list live."""

    by: Annotated[Name | None, Meta(description="who decides; with API keys, the name of the key counts")] = None


class ListDecisions(ListApproval, forbid_unknown_fields=True):
    """Decisions about several rows or products, all or none."""

    decisions: Annotated[list[ListDecision], Meta(max_length=MOST_OUTCOMES)] = []
    products: Annotated[list[ProductListDecision], Meta(max_length=MOST_OUTCOMES)] = []


class OverridePrice(ListApproval, forbid_unknown_fields=True):
    """A price that is typed for a row or a product of the price list, to learn what it costs."""

    zone: Annotated[Name, Meta(description="zone of the row")]
    product: Annotated[Name, Meta(description="product of the row")]
    price: Annotated[Price, Meta(description="the price, currency per unit")]
    week: Annotated[
        dt.date | None,
        Meta(
            description="week of the row, YYYY-MM-DD; null for the weeks of the product without a deal that are not decided, "
            "or where all are, for all of these"
        ),
    ] = None


class ItemDecisions(ListApproval, forbid_unknown_fields=True):
    """Which products are key-value items, all decisions or none."""

    items: Annotated[
        dict[str, Standing],
        Meta(min_length=1, max_length=MOST_OUTCOMES, description="what is decided, by id; `proposed` takes it back"),
    ]


def parsed(body: bytes) -> Any:
    """The JSON of a body, in which no object names a key twice. Raises BodyError."""
    try:
        data = orjson.loads(body)
        # The fast parser keeps the last of equal keys. A key has one colon, so that as many colons
        # as keys rule that out.
        return data if body.count(b":") == num_keys(data) else from_json(body)
    except (ValueError, RecursionError) as error:
        raise BodyError(f"request must be JSON; got: {str(error)[:100]}; see /docs for an example") from error


def num_keys(data: Any) -> int:
    """The number of keys in all objects."""
    if type(data) is dict:
        return len(data) + sum(num_keys(value) for value in data.values() if type(value) in (dict, list))
    return sum(num_keys(value) for value in data if type(value) in (dict, list)) if type(data) is list else 0


def read_body(body: bytes, kind: type[T]) -> T:
    """The JSON of a body as such a struct. Raises BodyError."""
    return read(kind, parsed(body), "request", BodyError)
