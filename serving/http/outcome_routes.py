"""`POST /v1/outcomes`: the sales that followed a decision. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ..decision_log.log import DecisionLog
from ..decision_log.outcomes import ContradictionError, OutcomeError, outcome_of
from ..decision_log.transactions import LogError
from .middleware import problem
from .schemas import MOST_OUTCOMES, BodyError, Outcomes, Receipt, content, described_body, json_body, problems

OUTCOMES = "report_outcomes"
"""How the description of the interface calls the operation."""


def add_outcomes(app: FastAPI, decisions: DecisionLog, product: str) -> None:
    """Let the app take outcomes into the log: all of a request, or none."""
    sold = {"period": 0, "product": product, "units": 12, "price_paid": 1.95, "date": "2024-03-04"}

    @app.post(
        "/v1/outcomes",
        operation_id=OUTCOMES,
        responses=problems(409, 413, 422, 503) | {200: content(Receipt.__name__)},
        openapi_extra=described_body(Outcomes.__name__, period={"outcomes": [sold]}),
        tags=["prices"],
    )
    async def outcomes(request: Request) -> JSONResponse:
        """Report what sold. A repeated report counts once; one that contradicts an earlier report
        is refused.
        """
        try:
            reported = [outcome_of(item) for item in _listed(await json_body(request))]
            new = await asyncio.wrap_future(decisions.submit_outcomes(reported))
        except (OutcomeError, BodyError) as error:
            return problem(409 if isinstance(error, ContradictionError) else 422, str(error))
        except LogError as error:
            return problem(503, f"outcomes must be recorded before they are accepted; got {error}; try again")
        return JSONResponse({"accepted": len(reported), "new": new})


def _listed(body: Any) -> list[Any]:
    found = body.get("outcomes") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(found, list) or not 0 < len(found) <= MOST_OUTCOMES:
        raise OutcomeError(
            f'outcomes must be {{"outcomes": [1 to {MOST_OUTCOMES} objects]}}; got something else; '
            "see /docs for an example"
        )
    return found
