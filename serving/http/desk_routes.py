"""The routes of the price list: read it, decide, make it live."""

from __future__ import annotations

import asyncio
import reprlib
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from ..price_list.rows import ListError, PriceRow, Status
from .bodies import BodyError, ListApproval, ListDecisions, read_body
from .desk import Desk
from .gate import Call, Routes

_MOST = 1000


class Wanted(Struct, forbid_unknown_fields=True):
    """Which rows of the list, and which piece of them."""

    week: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    status: Status | Literal[""] = ""
    search: str = ""
    outside: bool = False
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=_MOST)] = 100

    def __call__(self, row: PriceRow) -> bool:
        """Whether a row is one of them."""
        return (
            self.week in ("", str(row.week))
            and self.status in ("", row.status)
            and (not self.outside or bool(row.outside_charged))
            and self.search.casefold() in f"{row.zone} {row.product_id} {row.product} {row.category}".casefold()
        )


class DeskRoutes:
    """`GET /v1/price-list` and the admin's routes for decisions.

    Args:
        desk: The price list.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Routes:
        """The routes; each works in a thread."""

        def aside(work: Callable[[Call], Any]) -> Any:
            async def answer(call: Call) -> Response:
                found = await asyncio.to_thread(work, call)
                return Response(msgspec.json.encode(found), media_type="application/json")

            return answer

        return {
            "GET /v1/price-list": aside(self.listed),
            "POST /v1/admin/price-list/decisions": aside(self.decisions),
            "POST /v1/admin/price-list/live": aside(self.live),
        }

    def listed(self, call: Call) -> dict[str, Any]:
        """Rows of the price list: those of a week, a status, with a text in zone, id, name or
        category, or outside what was mostly charged.
        """
        given = dict(Request(call.scope).query_params)
        try:
            wanted = msgspec.convert(given, Wanted, strict=False)
        except ValueError as error:
            strange = [key for key in given if key not in Wanted.__struct_fields__]
            name = strange[0] if strange else str(error).rpartition("$.")[2].rstrip("`")
            got = reprlib.repr(given.get(name))
            raise BodyError(f"{name} in the query must be as /docs says; got {got}: {error}; fix it") from None
        return self._desk.shown(wanted, wanted.offset, wanted.limit)

    def decisions(self, call: Call) -> dict[str, Any]:
        """Decide on rows: all decisions of the request, or none where one leaves a hard price rule."""
        body = read_body(call.body, ListDecisions)
        rows, warnings = self._desk.decide(body.decisions, _caller(call, body.by))
        return {"rows": [msgspec.structs.asdict(row) for row in rows], "warnings": warnings}

    def live(self, call: Call) -> dict[str, Any]:
        """Record all decisions and write the live prices; every row must be decided and allowed."""
        found = self._desk.make_live(_caller(call, read_body(call.body, ListApproval).by))
        return {"rows": len(found.rows), "new": found.new, "counts": Counter(row.status for row in found.rows)}


def _caller(call: Call, by: str | None) -> str:
    """Who decides: the name of the API key, or the name in the request where there are no keys."""
    caller = call.caller or by
    if not caller:
        raise ListError(["a decision must say who decides; got no name; give by"])
    return caller
