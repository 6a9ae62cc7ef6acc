"""The price service: an HTTP face of the predictor. Needs the `serve` extra."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, PlainValidator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .bundle import Bundle, load_bundle
from .decisions import DecisionLog
from .outcomes import add_outcomes
from .predictor import Predictor, PriceAnswer
from .state import MARKET, StateError, example_state
from .storage import LogError

MAX_BODY = 4 << 20
"""Most bytes of a request, enough for some ten thousand products."""


class ProductState(BaseModel):
    """One product as it stands before the prices of the period are set."""

    product: str = Field(description="name in the catalogue")
    list_price: float = Field(description="price in force now, before personal discounts, currency per unit")
    on_hand: float | None = Field(description="units in stock; null for unlimited")
    on_order: float = Field(0, description="units on the way")
    reference_price: float | None = Field(None, description="what customers remember; the list price if left out")
    last_units: float | None = Field(None, description="units sold in the period before; the forecast if left out")
    changes: int = Field(0, description="price changes in the window of the price rules; needed where they limit them")
    lowest_price_30_days: float | None = Field(None, description="lowest list price of the 30 days before, if known")


class MarketState(BaseModel):
    """The state of one market: every product of the catalogue, in any order."""

    market: str = Field(MARKET, description="name of the market, such as a store; for the log alone")
    period: int = Field(description="number of the period, from 0")
    products: list[ProductState]
    memory: str | None = Field(None, description="memory of the answer before, where there was one; not in period 0")


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


# The models describe; `market_view` checks, so that a mistake reads the same here and at the command line.
Described = Annotated[Any, PlainValidator(lambda state: state, json_schema_input_type=MarketState), Body()]


class _BodyLimit:
    """Refuses a request before it is read if it is too long, or does not say how long it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            length = Headers(scope=scope).get("content-length", "")
            if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY:
                line = f"request must state its content-length, at most {MAX_BODY}; got {length[:20] or 'none'}"
                return await _problem(413, line)(scope, receive, send)
        await self.app(scope, receive, send)


def create_app(
    bundle_path: str | os.PathLike[str],
    *,
    public_key: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
) -> FastAPI:
    """The service of one bundle. Raises BundleError where it cannot be trusted.

    public_key: PEM file of the key that must have signed the bundle. log: file or database URL of the decision log; with one, no
    price is given that is not recorded.
    """
    bundle = load_bundle(bundle_path, public_key=public_key)
    decisions = None if log is None else DecisionLog(log)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if decisions is not None:
            decisions.close()

    app = FastAPI(title="repricer", version=version("repricer"), lifespan=lifespan)
    app.state.bundle = bundle
    app.add_middleware(_BodyLimit)
    app.add_exception_handler(RequestValidationError, _malformed)
    _add_prices(app, Predictor(bundle), decisions)
    if decisions is not None:
        add_outcomes(app, decisions)
    _add_status(app, bundle)
    return app


def _add_prices(app: FastAPI, predictor: Predictor, decisions: DecisionLog | None) -> None:
    example = {"examples": {"opening": {"value": example_state(predictor.bundle.catalogue)}}}

    # In a worker thread: the log waits for the disk, and health checks must not.
    @app.post(
        "/v1/prices",
        response_model=PriceAnswer,
        responses={413: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
        openapi_extra={"requestBody": {"content": {"application/json": example}}},
    )
    def prices(state: Described) -> JSONResponse:
        """Allowed prices for one market state, with what the price rules changed."""
        request_id = str(uuid.uuid4())
        try:
            answer = predictor.price(state)
            if decisions is not None:
                decisions.record(answer, state, request_id)
        except StateError as error:
            return _problem(422, str(error))
        except LogError as error:
            return _problem(503, f"the decision must be recorded before it is given; got {error}; try again")
        return JSONResponse(answer.to_dict(), headers={"X-Request-Id": request_id})


def _add_status(app: FastAPI, bundle: Bundle) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """The bundle is loaded and verified: there is no service before it is."""
        return {"status": "ready", "bundle": bundle.digest}

    @app.get("/v1/policy")
    async def policy() -> dict[str, Any]:
        """Which policy answers, where it comes from and who vouches for it."""
        return {
            "policy": bundle.policy.name,
            "bundle": bundle.digest,
            "scenario": bundle.scenario,
            "trust": bundle.trust,
            "manifest": bundle.manifest,
        }


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    """A body that is missing or no JSON; anything else is for `market_view` to judge."""
    assert isinstance(error, RequestValidationError)
    return _problem(422, f"request must be a state in JSON; got: {error.errors()[0]['msg']}; see /docs for an example")


def _problem(status: int, line: str) -> JSONResponse:
    return JSONResponse({"detail": line}, status_code=status)
