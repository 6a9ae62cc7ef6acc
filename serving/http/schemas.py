"""What goes in and comes out over HTTP, described for OpenAPI. The checks stand with what they protect, so that a mistake
reads the same here and at the command line. Needs the `serve` extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body
from pydantic import BaseModel, Field, PlainValidator
from pydantic.json_schema import models_json_schema

from ...pricing import Catalogue
from ..market_state import MARKET
from ..predictor import PriceAnswer

MOST_STATES = 10_000
"""Markets in one request."""


Price = Annotated[float, Field(ge=1e-9, le=1e12)]
Units = Annotated[float, Field(ge=0, le=1e12)]


class ProductState(BaseModel):
    """One product as it stands before the prices of the period are set."""

    product: str = Field(description="name in the catalogue")
    list_price: Price = Field(description="price in force now, before personal discounts, currency per unit")
    on_hand: Units | None = Field(description="units in stock; null for unlimited")
    on_order: Units = Field(0, description="units on the way")
    reference_price: Price = Field(0, description="what customers remember; the list price if left out")
    last_units: Units = Field(0, description="units sold in the period before; the forecast if left out")
    competitor_price: Price | None = Field(None, description="lowest price of a rival; null or left out for none")
    changes: int = Field(
        0, ge=0, description="price changes in the window of the price rules; needed where they limit them"
    )
    lowest_price_30_days: Price | None = Field(None, description="lowest list price of the 30 days before, if known")


class MarketState(BaseModel):
    """The state of one market: every product of the catalogue, in any order."""

    market: str = Field(
        MARKET,
        min_length=1,
        max_length=200,
        description="name of the market, such as a store; keeps it in its arm of the holdout",
    )
    period: int = Field(description="number of the period, from 0")
    products: list[ProductState]
    loyalty: dict[str, float] = Field({}, description="multiplier of a segment's arrivals; 1 if left out")
    memory: str | None = Field(None, description="memory of the answer before, where there was one; not in period 0")


BODY: dict[str, list[Any]] = {"anyOf": [{"$ref": f"#/components/schemas/{MarketState.__name__}"}]}
BODY["anyOf"].append({"type": "array", "items": BODY["anyOf"][0], "minItems": 1, "maxItems": MOST_STATES})
"""The body of a price request: one state, or several."""


class Question(BaseModel):
    """A market's state and the product that the question is about."""

    state: MarketState
    product: str = Field(description="name in the catalogue")


class WhatIfQuestion(Question):
    """And the prices to try."""

    prices: list[float] | None = Field(
        None, description="currency per unit, at most 200; a grid of allowed ones if left out"
    )


class Switch(BaseModel):
    """Whether something is on."""

    on: bool


class Share(BaseModel):
    """The share of markets that the fallback answers."""

    share: float = Field(ge=0, lt=1)


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


@dataclass
class Priced(PriceAnswer):
    """The answer for one market state, and how it came about.

    request_id: names the decision. arm: "policy", or "fallback" by holdout or kill switch. warnings: what lies outside
    the range that the policy saw in training.
    """

    request_id: str
    arm: str
    warnings: list[str]


def state_schemas(catalogue: Catalogue) -> dict[str, Any]:
    """The models of a state, with the products and periods that this catalogue has."""
    _, document = models_json_schema([(MarketState, "validation")], ref_template="#/components/schemas/{model}")
    models, products = document["$defs"], list(catalogue.products)
    models["ProductState"]["properties"]["product"]["enum"] = products
    models["MarketState"]["properties"]["period"] |= {"minimum": 0, "maximum": catalogue.horizon - 1}
    models["MarketState"]["properties"]["products"] |= {"minItems": len(products), "maxItems": len(products)}
    if catalogue.change_window_periods:
        models["ProductState"]["required"].append("changes")
    if catalogue.regimes:
        models["MarketState"]["properties"]["regime"] = {"type": "string", "enum": list(catalogue.regimes)}
        models["MarketState"]["required"].append("regime")
    return models


def _as_it_is(body: Any) -> Any:
    return body


# The models describe; what answers checks.
DescribedQuestion = Annotated[Any, PlainValidator(_as_it_is, json_schema_input_type=Question), Body()]
DescribedWhatIf = Annotated[Any, PlainValidator(_as_it_is, json_schema_input_type=WhatIfQuestion), Body()]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of these statuses, beside those that every request may get."""
    return {status: {"model": Problem} for status in (*statuses, 401, 403, 429)}


def examples(**named: Any) -> dict[str, Any]:
    """Example bodies for OpenAPI."""
    listed = {name: {"value": value} for name, value in named.items()}
    return {"requestBody": {"content": {"application/json": {"examples": listed}}}}
