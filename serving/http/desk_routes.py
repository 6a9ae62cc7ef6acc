"""The routes of the price list: read it, decide, make it live."""

from __future__ import annotations

import asyncio
import datetime as dt
import reprlib
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..decision_log.transactions import LogError
from ..documents import schemas
from ..price_list.rows import ListError, PriceRow, Status
from .bodies import BodyError, ListApproval, ListDecisions, read_body
from .desk import Desk
from .gate import problem
from .openapi import Call, Route

_MOST = 1000


class Wanted(Struct, forbid_unknown_fields=True):
    """Which rows of the list, and which piece of them."""

    week: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    status: Status | Literal[""] = ""
    search: str = ""
    outside: bool = False
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=_MOST)] = 100


class DeskRoutes:
    """`GET /v1/price-list` and the admin's routes for decisions.

    Args:
        desk: The price list.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The routes."""
        own = schemas(Wanted)["Wanted"]["properties"]
        query = {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in own.items()]}
        decisions, live = ListDecisions.__name__, ListApproval.__name__
        path, refused = "/v1/admin/price-list", (409, 413, 422)
        return [
            Route("GET", "/v1/price-list", self.listed, "price list", (409, 422), more=query),
            Route("POST", f"{path}/decisions", self.decisions, "price list", refused, body=decisions),
            Route("POST", f"{path}/live", self.live, "price list", (*refused, 503), body=live),
        ]

    async def listed(self, call: Call) -> Response:
        """Rows of the price list: those of a week, a status, with a text in zone, id, name or
        category, or outside what was mostly charged.
        """
        given, week = dict(Request(call.scope).query_params), None
        try:
            query = msgspec.convert(given, Wanted, strict=False)
            week = dt.date.fromisoformat(query.week) if query.week else None
        except ValueError as error:
            strange = [name for name in given if name not in Wanted.__struct_fields__]
            name = strange[0] if strange else str(error).rpartition("$.")[2].rstrip("`") or "week"
            got = reprlib.repr(given.get(name))
            return problem(422, f"{name} in the query must be as /docs says; got {got}: {error}; fix it")
        text = query.search.casefold()

        def wanted(row: PriceRow) -> bool:
            return (
                week in (None, row.week)
                and query.status in ("", row.status)
                and (not query.outside or bool(row.outside_charged))
                and (not text or text in f"{row.zone} {row.product_id} {row.product} {row.category}".casefold())
            )

        try:
            found = await asyncio.to_thread(self._desk.shown, wanted, query.offset, query.limit)
        except ListError as error:
            return problem(409, str(error))
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def decisions(self, call: Call) -> Response:
        """Decide on rows: all decisions of the request, or none where one leaves a hard price rule."""

        def decide(body: ListDecisions) -> Response:
            rows, warnings = self._desk.decide(body.decisions, _caller(call, body.by))
            found = {"rows": [msgspec.structs.asdict(row) for row in rows], "warnings": warnings}
            return Response(msgspec.json.encode(found), media_type="application/json")

        return await _answered(call, ListDecisions, decide)

    async def live(self, call: Call) -> Response:
        """Record all decisions and write the live prices; every row must be decided and allowed."""

        def approve(body: ListApproval) -> Response:
            found = self._desk.make_live(_caller(call, body.by))
            counts = Counter(row.status for row in found.rows)
            return JSONResponse({"rows": len(found.rows), "new": found.new, "counts": counts})

        return await _answered(call, ListApproval, approve)


async def _answered(call: Call, kind: type[Any], answer: Callable[[Any], Response]) -> Response:
    """What `answer` makes of the body in a thread; one line where it cannot."""
    try:
        return await asyncio.to_thread(answer, read_body(call.body, kind))
    except BodyError as error:
        return problem(422, str(error))
    except ListError as error:
        return problem(409, str(error))
    except LogError as error:
        return problem(503, f"decisions must be recorded before they are live; got {error}; try again")


def _caller(call: Call, by: str | None) -> str:
    """Who decides: the name of the API key, or the name in the request where there are no keys."""
    caller = call.caller or by
    if not caller:
        raise ListError(["a decision must say who decides; got no name; give by"])
    return caller
