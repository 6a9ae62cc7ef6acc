"""What then sold, told over HTTP: `POST /v1/outcomes`. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, PlainValidator

from ..decision_log.log import DecisionLog
from ..decision_log.outcomes import ContradictionError, OutcomeError, outcome_of
from ..decision_log.storage import LogError
from .middleware import problem
from .schemas import examples, problems

MOST_AT_ONCE = 10_000
"""Outcomes in one request."""


class Outcome(BaseModel):
    """What one product sold after one decision."""

    request_id: str | None = Field(None, description="the answer's X-Request-Id; or name market and period")
    market: str | None = Field(None, description="market of the decision; the one that states name none of if left out")
    period: int | None = Field(
        None, description="period of the decision: the market's last one with this number is meant"
    )
    product: str = Field(description="name in the catalogue")
    units: float = Field(description="units sold; say 0 too", ge=0)
    price_paid: float | None = Field(None, description="currency per unit, mean; the price given if left out", ge=0)
    stockout: bool = Field(False, description="sold out: more would have been bought")
    segment: str | None = Field(None, description="who bought; all customers if left out")
    date: str | None = Field(None, description="day on the shop's own clock; the day of the decision (UTC) if left out")


class Outcomes(BaseModel):
    """What sold after one decision or several."""

    outcomes: list[Outcome]


class Receipt(BaseModel):
    """How many outcomes are in the log, and how many of them were new."""

    accepted: int
    new: int


# The model describes; `outcome_of` checks, so that a mistake reads the same here and at the command line.
_Described = Annotated[Any, PlainValidator(lambda body: body, json_schema_input_type=Outcomes), Body()]


def add_outcomes(app: FastAPI, decisions: DecisionLog, product: str) -> None:
    """Let the app take outcomes into the log: all of a request, or none. product: one to show in the example."""
    sold = {"period": 0, "product": product, "units": 12, "price_paid": 1.95, "date": "2024-03-04"}

    @app.post(
        "/v1/outcomes",
        response_model=Receipt,
        responses=problems(400, 409, 413, 422, 503),
        openapi_extra=examples(period={"outcomes": [sold]}),
        tags=["prices"],
    )
    async def outcomes(body: _Described) -> JSONResponse:
        """What then sold. The same told again is taken once; what says otherwise than before is refused."""
        try:
            told = [outcome_of(item) for item in _listed(body)]
            new = await asyncio.wrap_future(decisions.submit_outcomes(told))
        except OutcomeError as error:
            return problem(409 if isinstance(error, ContradictionError) else 422, str(error))
        except LogError as error:
            return problem(503, f"outcomes must be recorded before they are accepted; got {error}; try again")
        return JSONResponse({"accepted": len(told), "new": new})


def _listed(body: Any) -> list[Any]:
    found = body.get("outcomes") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(found, list) or not 0 < len(found) <= MOST_AT_ONCE:
        raise OutcomeError(
            f'outcomes must be {{"outcomes": [1 to {MOST_AT_ONCE} objects]}}; got something else; see /docs for an example'
        )
    return found
