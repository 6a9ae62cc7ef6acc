"""The page for a pricing manager: current prices, their reasons, alarms and what-if."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import Request
from starlette.responses import Response

from ...decision_log.log import DecisionLog
from ..deployment import Deployment
from ..gate import Call, Endpoint, Routes
from ..prices import Recent
from .templates import page, rendered


def current_price_routes(deployment: Deployment, recent: Recent, log: DecisionLog, *, has_price_list: bool) -> Routes:
    """`GET /`.

    Args:
        deployment: Whose prices are shown.
        recent: The last decisions.
        log: Says which markets were erased meanwhile.
        has_price_list: Whether the service has the page of a price list, too.
    """

    async def manager(call: Call) -> Response:
        # Rendered by the server; JavaScript only adds the what-if curve.
        market = Request(call.scope).query_params.get("market")

        def work() -> str:
            recent.keep(log.known_markets(recent.markets))
            return _text(deployment, recent, market, has_price_list=has_price_list)

        return page(await asyncio.to_thread(work))

    return {"GET /": Endpoint(manager)}


def _text(deployment: Deployment, recent: Recent, market: str | None, *, has_price_list: bool) -> str:
    """The page of the last decision of a market, or one for the example state before any
    request.
    """
    markets = recent.markets
    bundle = deployment.bundle
    seen = markets.get(market or "") or next(iter(markets.values()), None)
    if seen is None:
        time, (_, _, decision) = None, deployment.preview(bundle.example)
    else:
        time, decision = seen
    before = {item["product"]: item["list_price"] for item in decision.state["products"]}
    changes = {item.product: item.price / before[item.product] - 1 for item in decision.answer.prices}
    shown = {"decision": decision, "answer": decision.answer, "before": before, "changes": changes, "time": time}
    shown |= {"changed": sum(abs(change) > 1e-6 for change in changes.values())}
    shown |= {"market": decision.state.get("market", "shop"), "markets": list(markets), "price_list": has_price_list}
    shown |= {"status": deployment.status(), "bundle": bundle, "scenario": bundle.manifest["scenario"]}
    # A data block is not executed, but must not end its element.
    return rendered("page", **shown, state=json.dumps(decision.state).replace("<", "\\u003c"))
