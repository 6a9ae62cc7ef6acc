"""The bodies of the HTTP interface: their OpenAPI schemas, from the declarations that check them.

Needs the `serve` extra.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import Request
from msgspec import Meta, MsgspecError, Raw, Struct, defstruct
from msgspec.json import Decoder

from ...pricing import Catalogue
from ..answers.answer import LONGEST, Answer
from ..decision_log.outcomes import ReportedOutcome
from ..documents import Document, Name, from_json, read, schemas
from ..explanation.sentences import Explanation
from ..explanation.what_if import MOST_PRICES, WhatIf
from ..market_state import state_type
from ..predictor import PriceAnswer
from ..price_list.rows import Price, Status, Text
from .settings import Share

T = TypeVar("T", bound=Struct)
MOST_STATES = 10_000
"""Markets in one request."""
MOST_OUTCOMES = 10_000
"""Outcomes in one request."""
_several = Decoder(Annotated[list[Raw], Meta(max_length=MOST_STATES)])
_SHORTEST = 8
"""Bytes of a field of a state, with its comma, at the least."""


class BodyError(ValueError):
    """The body of a request that cannot be read; the message is one line."""


class Throw(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who throws a switch, and why."""

    by: Annotated[Text, Meta(description="who; with API keys, the name of the key counts")] = ""
    reason: Annotated[Text, Meta(description="why, for the log")] = ""


class Switch(Throw, forbid_unknown_fields=True):
    """Whether something is on."""

    on: Annotated[bool, Meta(description="true turns it on, false off")]


class HoldoutShare(Throw, forbid_unknown_fields=True):
    """The share of markets that the fallback prices."""

    share: Annotated[Share, Meta(description="share of the markets that the fallback prices")]


class CanaryShare(Throw, forbid_unknown_fields=True):
    """The share of markets that a newer bundle prices."""

    share: Annotated[Share, Meta(description="share of the markets for the bundle at the path; 0 takes it back")]


class Outcomes(Struct, forbid_unknown_fields=True):
    """What sold after one decision or several."""

    outcomes: Annotated[list[ReportedOutcome], Meta(min_length=1, max_length=MOST_OUTCOMES)]


class ListDecision(Document, frozen=True, forbid_unknown_fields=True):
    """What is decided about one row of the price list."""

    zone: Annotated[Name, Meta(description="zone of the row")]
    product: Annotated[Name, Meta(description="product of the row")]
    week: Annotated[dt.date, Meta(description="week of the row, YYYY-MM-DD")]
    status: Annotated[Status, Meta(description="what is decided; `proposed` takes a decision back")]
    decided_price: Annotated[Price | None, Meta(description="for overridden: the price, currency per unit")] = None
    decision_reason: Annotated[Text, Meta(description="why; needed for overridden and postponed")] = ""


class ListDecisions(Struct, forbid_unknown_fields=True):
    """Decisions about several rows, all or none."""

    decisions: Annotated[list[ListDecision], Meta(min_length=1, max_length=MOST_OUTCOMES)]
    by: Annotated[Name | None, Meta(description="who decides; with API keys, the name of the key counts")] = None


class ListApproval(Struct, forbid_unknown_fields=True):
    """Who makes the price list live."""

    by: Annotated[Name | None, Meta(description="who decides; with API keys, the name of the key counts")] = None


class Problem(Struct):
    """What is wrong, in one line."""

    detail: str


@dataclass
class Receipt:
    """How many outcomes are in the log, and how many of them were new."""

    accepted: int
    new: int


@dataclass
class Priced(PriceAnswer):
    """The answer for one market state, and how it came about.

    request_id: names the decision. arm: "policy", "canary" for a newer bundle on trial, or
    "fallback" by holdout or kill switch. warnings: one line for each feature outside the range that
    the policy saw in training.
    """

    request_id: str
    arm: str
    warnings: list[str]


def body_schemas(catalogue: Catalogue, recurrent: bool) -> dict[str, Any]:
    """The schemas of all bodies and answers, by name, with the products and periods of this catalogue.

    Args:
        catalogue: That of the bundle.
        recurrent: Whether its policy has recurrent state.
    """
    state = state_type(catalogue)
    name = Annotated[Literal[catalogue.products], Meta(description="its name in the catalogue")]
    tried = Annotated[
        list[Annotated[float, Meta(ge=1e-6, le=1e9)]],
        Meta(min_length=1, max_length=MOST_PRICES),
    ]
    prices = Annotated[
        tried | None, Meta(description="prices to try, currency per unit; a grid of allowed ones if left out")
    ]
    question = defstruct("Question", [("state", state), ("product", name)], forbid_unknown_fields=True)
    what_if = defstruct("WhatIfQuestion", [("prices", prices, None)], bases=(question,), forbid_unknown_fields=True)
    text = Annotated[str, Meta(min_length=1, max_length=LONGEST, description="what the customer asks, in their words")]
    meant = Annotated[name | None, Meta(description="the product, where the question need not name it")]
    desk = defstruct(
        "CustomerQuestion", [("question", text), ("state", state), ("product", meant, None)], forbid_unknown_fields=True
    )
    answers = (Problem, Receipt, Priced, Explanation, WhatIf, Answer)
    shop = (Outcomes, Throw, Switch, HoldoutShare, CanaryShare, ListDecisions, ListApproval)
    found = schemas(state, question, what_if, desk, *shop, *answers)
    own = found["MarketState"]
    # A state names its period in one way.
    if catalogue.calendar is None:
        del own["properties"]["date"]
    else:
        own["oneOf"] = [{"required": ["date"]}, {"required": ["period"]}]
    if not recurrent:
        own["properties"]["memory"] = {"type": "null", "description": own["properties"]["memory"]["description"]}
    return found


def described_body(schema: str, **examples: Any) -> dict[str, Any]:
    """The body of a route for OpenAPI: the name of its schema, and examples by name."""
    return _body({"$ref": f"#/components/schemas/{schema}"}, examples)


def described_states(most_bytes: int, state: dict[str, Any], **examples: Any) -> dict[str, Any]:
    """The body of a price request for OpenAPI: one state, or several.

    Args:
        most_bytes: What a body may hold.
        state: An example, of which the description says how many fit.
        examples: Bodies by name.
    """
    fit = min(MOST_STATES, most_bytes // len(orjson.dumps(state)))
    one = {"$ref": "#/components/schemas/MarketState"}
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_STATES}
    body = _body({"anyOf": [one, several]}, examples)
    body["requestBody"]["description"] = f"One state, or several in {most_bytes:,} bytes: {fit:,} like the example."
    return body


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    listed = {name: {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": schema, "examples": listed}}
    return {"requestBody": {"required": True, "content": content}}


def content(schema: dict[str, Any] | str) -> dict[str, Any]:
    """A response for OpenAPI: its schema, or the name of that. The framework would make a model of
    it for every route and status, which takes longer than reading a bundle.
    """
    found = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema
    return {"content": {"application/json": {"schema": found}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of these statuses, beside those that every request may get."""
    return dict.fromkeys((*statuses, 401, 403, 415, 421, 429), content(Problem.__name__))


def parsed(body: bytes) -> Any:
    """The JSON of a body, in which no object names a key twice. Raises BodyError."""
    try:
        data = orjson.loads(body)
        # The fast parser keeps the last of equal keys. A key has one colon, so that as many colons
        # as keys rule that out.
        colons = body.count(b":")
        return data if colons == _outer_keys(data) or colons == _num_keys(data) else from_json(body)
    except (ValueError, RecursionError) as error:
        raise BodyError(f"request must be JSON; got: {str(error)[:100]}; see /docs for an example") from error


def parsed_apart(body: bytes) -> Any:
    """As `parsed`, but several states are parsed one by one, for another thread than the event
    loop's: no thread can run while one document is parsed. Raises BodyError.
    """
    # Elements that short are no states, and would take more memory one by one.
    if body.count(b",") * _SHORTEST > len(body):
        return parsed(body)
    try:
        return [parsed(bytes(one)) for one in _several.decode(body)]
    except (MsgspecError, RecursionError, BodyError):
        return parsed(body)


def _outer_keys(data: Any) -> int:
    """The number of keys of a state, in a tenth of the time that `_num_keys` takes; of another
    document, at most that.
    """
    if type(data) is list:
        return sum(map(_outer_keys, data))
    if type(data) is not dict:
        return 0
    found = len(data)
    for value in data.values():
        if type(value) is dict:
            found += len(value)
        elif type(value) is list and set(map(type, value)) == {dict}:
            found += sum(map(len, value))
    return found


def _num_keys(data: Any) -> int:
    if type(data) is dict:
        return len(data) + sum(map(_num_keys, data.values()))
    return sum(map(_num_keys, data)) if type(data) is list else 0


async def json_body(request: Request) -> Any:
    """The JSON of a request's body. Raises BodyError."""
    return parsed(await request.body())


async def read_body(request: Request, kind: type[T]) -> T:
    """The body of a request as such a struct. Raises BodyError."""
    return read(kind, await json_body(request), "request", BodyError)
