"""The routes of the price list: read it, decide, make it live. Needs the `serve` extra."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from anyio import to_thread
from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from ..decision_log.transactions import LogError
from ..price_list.rows import ListError, PriceRow, Status
from .desk import Desk
from .middleware import problem
from .schemas import BodyError, ListApproval, ListDecisions, described_body, problems, read_body

_MOST = 1000


class _Wanted(BaseModel, extra="forbid"):
    """Which rows of the list, and which piece of them."""

    week: dt.date | Literal[""] = ""
    status: Status | Literal[""] = ""
    search: str = ""
    outside: bool = False
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=_MOST)] = 100


def add_desk(app: FastAPI, desk: Desk) -> None:
    """Add `GET /v1/price-list` and the admin's routes for decisions."""
    routes = _DeskRoutes(desk)
    app.get("/v1/price-list", responses=problems(409, 422), tags=["price list"])(routes.listed)
    app.post(
        "/v1/admin/price-list/decisions",
        responses=problems(409, 413, 422),
        openapi_extra=described_body(ListDecisions.__name__),
        tags=["price list"],
    )(routes.decisions)
    app.post(
        "/v1/admin/price-list/live",
        responses=problems(409, 413, 422, 503),
        openapi_extra=described_body(ListApproval.__name__),
        tags=["price list"],
    )(routes.live)


class _DeskRoutes:
    """One method per route."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def listed(self, query: Annotated[_Wanted, Query()]) -> Response:
        """Rows of the price list: those of a week, a status, with a text in zone, id, name or
        category, or outside what was mostly charged.
        """
        text = query.search.casefold()

        def wanted(row: PriceRow) -> bool:
            return (
                query.week in ("", row.week)
                and query.status in ("", row.status)
                and (not query.outside or bool(row.outside_charged))
                and (not text or text in f"{row.zone} {row.product_id} {row.product} {row.category}".casefold())
            )

        try:
            found = self._desk.shown(wanted, query.offset, query.limit)
        except ListError as error:
            return problem(409, str(error))
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def decisions(self, request: Request) -> Any:
        """Decide on rows: all decisions of the request, or none where one leaves a hard price rule."""

        def decide(body: ListDecisions) -> Response:
            rows, warnings = self._desk.decide(body.decisions, _caller(request, body.by))
            found = {"rows": [msgspec.structs.asdict(row) for row in rows], "warnings": warnings}
            return Response(msgspec.json.encode(found), media_type="application/json")

        return await _answered(request, ListDecisions, decide)

    async def live(self, request: Request) -> Any:
        """Record all decisions and write the live prices; every row must be decided and allowed."""

        def approve(body: ListApproval) -> Response:
            found = self._desk.make_live(_caller(request, body.by))
            counts = Counter(row.status for row in found.rows)
            return JSONResponse({"rows": len(found.rows), "new": found.new, "counts": counts})

        return await _answered(request, ListApproval, approve)


async def _answered(request: Request, kind: type[Any], answer: Callable[[Any], Response]) -> Response:
    """What `answer` makes of the body in a thread; one line where it cannot."""
    try:
        return await to_thread.run_sync(answer, await read_body(request, kind))
    except BodyError as error:
        return problem(422, str(error))
    except ListError as error:
        return problem(409, str(error))
    except LogError as error:
        return problem(503, f"decisions must be recorded before they are live; got {error}; try again")


def _caller(request: Request, by: str | None) -> str:
    """Who decides: the name of the API key, or the name in the request where there are no keys."""
    caller = request.scope["state"].get("caller") or by
    if not caller:
        raise ListError(["a decision must say who decides; got no name; give by"])
    return caller
