"""The page of a price list, on which the desk decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response

from ...bundle.reading import Bundle
from ...price_list.rows import STATUSES
from ..gate import Call, Endpoint, Routes
from .templates import page, rendered


def price_list_routes(bundle: Callable[[], Bundle], *, alone: bool) -> Routes:
    """`GET /price-list`; alone, also `GET /`.

    Args:
        bundle: Gives the bundle whose price rules hold.
        alone: Whether there is no page of current prices beside it.
    """

    def work() -> str:
        # JavaScript fills it from `/v1/price-list`.
        found = bundle()
        currency = found.manifest["scenario"]["currency"]
        return rendered("price_list", scenario=found.scenario, currency=currency, statuses=STATUSES, alone=alone)

    async def price_list(_: Call) -> Response:
        return page(await asyncio.to_thread(work))

    paths = ("/price-list", "/") if alone else ("/price-list",)
    return {f"GET {path}": Endpoint(price_list) for path in paths}
