"""The routes of the price list: read it, decide, make it live."""

from __future__ import annotations

import asyncio
import reprlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from ..price_list.rows import ListError, PriceRow, Status
from .bodies import BodyError, ItemDecisions, ListApproval, ListDecisions, OverridePrice, read_body
from .desk import Desk, shown_product, shown_row
from .gate import Call, Endpoint, Operation, Routes, docstring

_MOST_LISTED = 1000


class Wanted(Struct, forbid_unknown_fields=True):
    """Which rows of the list, or products with such a row, and which piece of them."""

    week: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    status: Status | Literal[""] = ""
    search: str = ""
    outside: bool = False
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=_MOST_LISTED)] = 100
    by: Literal["week", "product"] = "week"

    def __call__(self, row: PriceRow) -> bool:
        """Whether a row is one of them."""
        return (
            self.week in ("", str(row.week))
            and self.status in ("", row.status)
            and (not self.outside or bool(row.outside_charged))
            and self.search.casefold() in f"{row.zone} {row.product_id} {row.product} {row.category}".casefold()
        )


def desk_routes(desk: Desk) -> Routes:
    """`GET /v1/price-list` and the admin's routes for decisions about a price list; each works in a thread."""

    def listed(call: Call) -> dict[str, Any]:
        """The price list by week or by product: rows of the list, those of a week, a status, with a text in zone, id, name
        or category, or outside what was mostly charged. With by=product, products that have such a row, each with all its
        rows, its regular price old and new, what becomes of its deals, what it changes and what leaving it costs; with the
        first ones, the summary of the list from LIST.summary.json. With the first rows or products comes what each price
        rule costs, where LIST.rules.json lies beside the list.
        """
        given = dict(Request(call.scope).query_params)
        try:
            wanted = msgspec.convert(given, Wanted, strict=False)
        except ValueError as error:
            strange = [key for key in given if key not in Wanted.__struct_fields__]
            name = strange[0] if strange else str(error).rpartition("$.")[2].rstrip("`")
            got = reprlib.repr(given.get(name))
            raise BodyError(f"{name} in the query must be as /docs says; got {got}: {error}; fix it") from None
        find = desk.products if wanted.by == "product" else desk.shown
        return find(wanted, wanted.offset, wanted.limit)

    def decided(call: Call) -> dict[str, Any]:
        """Decide on rows or products: all decisions of the request, or none where one leaves a hard price rule. A decision
        about a product is for the weeks that it names; an overridden price then holds in those without a deal, and those
        with one are approved.
        """
        body = read_body(call.body, ListDecisions)
        if not body.decisions and not body.products:
            raise BodyError(
                "decisions in the request must be about a row or a product; got none; give decisions or products"
            )
        found = desk.decide(body.decisions, _caller(call, body.by), body.products)
        products = list(map(shown_product, found.products))
        return {"rows": list(map(shown_row, found.rows)), "products": products, "warnings": found.warnings}

    def priced(call: Call) -> Any:
        """What a typed price costs: what one that is typed for a row, or for the weeks of a product without a deal, is
        expected to cost against the proposed one, and the price rules that it leaves; nothing is decided.
        """
        return desk.priced(read_body(call.body, OverridePrice))

    def image(_: Call) -> dict[str, Any]:
        """Key-value items and price index of the list: the items with their reasons and decisions, and the path of the
        basket index by zone and reference.
        """
        return msgspec.structs.asdict(desk.image())

    def items_decided(call: Call) -> dict[str, Any]:
        """Confirm or reject key-value items of the list: all decisions of the request or none; who decided is recorded when
        the list becomes live.
        """
        body = read_body(call.body, ItemDecisions)
        return {"key_items": desk.decide_items(body.items, _caller(call, body.by))}

    def live(call: Call) -> dict[str, Any]:
        """Record all decisions and write the live prices; every row must be decided and allowed."""
        by = _caller(call, read_body(call.body, ListApproval).by)
        found = desk.make_live(by, is_known=call.caller is not None)
        return {"rows": len(found.rows), "new": found.new, "counts": Counter(row.status for row in found.rows)}

    async def aside(work: Callable[[Call], Any], call: Call) -> Response:
        found = await asyncio.to_thread(work, call)
        return Response(msgspec.json.encode(found), media_type="application/json")

    def route(work: Callable[[Call], Any], *refusals: int, **takes: Any) -> Endpoint:
        operation = Operation(tag="price list", text=docstring(work), refusals=refusals, **takes)
        return Endpoint(partial(aside, work), operation)

    admin = "POST /v1/admin/price-list"
    return {
        "GET /v1/price-list": route(listed, 409, query=Wanted),
        "GET /v1/price-list/image": route(image, 409),
        f"{admin}/decisions": route(decided, 409, body=ListDecisions),
        f"{admin}/live": route(live, 409, 503, body=ListApproval),
        f"{admin}/cost": route(priced, 409, body=OverridePrice),
        f"{admin}/key-items": route(items_decided, 409, body=ItemDecisions),
    }


def _caller(call: Call, by: str | None) -> str:
    """Who decides: the name of the API key, or the name in the request where there are no keys."""
    caller = call.caller or by
    if not caller:
        raise ListError(["a decision must say who decides; got no name; give by"])
    return caller
