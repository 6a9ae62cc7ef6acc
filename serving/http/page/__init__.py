"""The pages for a pricing manager: current prices, their reasons, alarms, what-if; the price list;
and the API's own page. Needs the `serve` extra.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ....pricing.wording import feature_words, policy_words, rule_words
from ...decision_log.log import DecisionLog
from ...price_list.rows import STATUSES
from ..deployment import Deployment
from ..gate import Call, Routes
from ..openapi import openapi
from ..prices import Recent

_FOLDER = Path(__file__).parent
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
_POLICY += "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_HEADERS = {**_NO_SNIFFING, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
_HEADERS["Cache-Control"] = "no-store"
_ASSETS = dict.fromkeys(
    ("page.js", "price_list.js", "price_image.js", "rules.js", "summary.js", "docs.js"), "text/javascript"
)
_ASSETS |= {"page.css": "text/css", "icon.svg": "image/svg+xml"}
# Swagger UI, which needs no other origin from here; it draws its icons from data in its style
# sheet.
_SWAGGER = files("fastapi_offline") / "static"
_SWAGGER_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@cache
def _template(name: str) -> Any:
    # Not before somebody looks at the page: that would make a start a tenth longer.
    from jinja2 import Environment, FileSystemLoader

    loader = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True)
    loader.filters |= {"policy_words": policy_words, "feature_words": feature_words, "rule_words": rule_words}
    return loader.get_template(f"{name}.html.jinja")


def page_routes(deployment: Deployment, recent: Recent, paths: Collection[str], log: DecisionLog) -> Routes:
    """`GET /`, with a price list `GET /price-list`, `GET /docs`, and the files that the pages load.

    Args:
        deployment: Whose prices are shown.
        recent: The last decisions.
        paths: Those of the service, which `/openapi.json` describes.
        log: Says which markets were erased meanwhile.
    """
    described, listed = frozenset(paths), "/v1/price-list" in paths

    async def document(_: Call) -> Response:
        text = await asyncio.to_thread(openapi, deployment.bundle, described)
        return Response(text, media_type="application/json")

    async def manager(call: Call) -> Response:
        # Rendered by the server; JavaScript only adds the what-if curve.
        market = Request(call.scope).query_params.get("market")

        def rendered() -> str:
            recent.keep(log.known_markets(recent.markets))
            return _page(deployment, recent, market, price_list=listed)

        return HTMLResponse(await asyncio.to_thread(rendered), headers=_HEADERS)

    async def price_list(_: Call) -> Response:
        # JavaScript fills it from `/v1/price-list`.
        bundle = deployment.bundle
        currency = bundle.manifest["scenario"]["currency"]
        shown = {"scenario": bundle.scenario, "currency": currency, "statuses": STATUSES}
        return HTMLResponse(_template("price_list").render(**shown), headers=_HEADERS)

    assets = {_FOLDER / name: kind for name, kind in _ASSETS.items()}
    assets |= {_SWAGGER / name: kind for name, kind in _SWAGGER_ASSETS.items()}
    found = {f"GET /page/{file.name}": _static(file.read_bytes(), kind) for file, kind in assets.items()}
    docs = _HEADERS | {"Content-Security-Policy": _POLICY.replace("img-src 'self'", "img-src 'self' data:")}
    found["GET /docs"] = _static((_FOLDER / "docs.html").read_bytes(), "text/html", docs)
    found |= {"GET /": manager, "GET /openapi.json": document}
    return {**found, "GET /price-list": price_list} if listed else found


def _static(content: bytes, kind: str, headers: Mapping[str, str] = _NO_SNIFFING) -> Any:
    async def answer(_: Call) -> Response:
        return Response(content, media_type=kind, headers=headers)

    return answer


def _page(deployment: Deployment, recent: Recent, market: str | None, *, price_list: bool) -> str:
    """The page of the last decision of a market, or one for the example state before any
    request.
    """
    markets, bundle = recent.markets, deployment.bundle
    seen = markets.get(market or "") or next(iter(markets.values()), None)
    if seen is None:
        time, (_, _, decision) = None, deployment.preview(bundle.example)
    else:
        time, decision = seen
    before = {item["product"]: item["list_price"] for item in decision.state["products"]}
    changes = {item.product: item.price / before[item.product] - 1 for item in decision.answer.prices}
    shown = {"decision": decision, "answer": decision.answer, "before": before, "changes": changes, "time": time}
    shown |= {"changed": sum(abs(change) > 1e-6 for change in changes.values())}
    shown |= {"market": decision.state.get("market", "shop"), "markets": list(markets), "price_list": price_list}
    shown |= {"status": deployment.status(), "bundle": bundle, "scenario": bundle.manifest["scenario"]}
    # A data block is not executed, but must not end its element.
    return _template("page").render(**shown, state=json.dumps(decision.state).replace("<", "\\u003c"))
