"""The pages for a pricing manager: current prices, their reasons, alarms, what-if; the price list;
and the API's own page. Needs the `serve` extra.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from ....pricing import RULES
from ....pricing.wording import feature_words, policy_words, rule_words
from ...price_list.rows import STATUSES
from ..answering.recent_decisions import RecentDecisions
from ..deployment import Deployment

_FOLDER = Path(__file__).parent
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_LIST_ASSETS = {"price_list.js": "text/javascript"}
# Swagger UI, which needs no other origin from here; it draws its icons from data in its style
# sheet.
_SWAGGER, _DOCS_POLICY = files("fastapi_offline") / "static", _POLICY.replace("img-src 'self'", "img-src 'self' data:")
_SWAGGER_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@cache
def _template(name: str) -> Any:
    # Not before somebody looks at the page: that would make a start a tenth longer.
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    loader = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=select_autoescape(default=True, default_for_string=True)
    )
    loader.filters |= {"policy_words": policy_words, "feature_words": feature_words}
    return loader.get_template(f"{name}.html.jinja")


def add_page(app: FastAPI, deployment: Deployment, recent: RecentDecisions, *, price_list: bool) -> None:
    """Add `GET /`, with a price list `GET /price-list`, `GET /docs`, and the files that
    the pages load.
    """

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        """The page, rendered by the server; JavaScript only adds the what-if curve."""
        shown = _shown(deployment, recent, request.query_params.get("market"))
        return HTMLResponse(_template("page").render(**shown, price_list=price_list), headers=_HEADERS)

    if price_list:
        _add_list_page(app, deployment)
    for name, kind in (_ASSETS | (_LIST_ASSETS if price_list else {})).items():
        _add_asset(app, _FOLDER / name, kind)
    _add_docs_page(app)


def _add_list_page(app: FastAPI, deployment: Deployment) -> None:
    @app.get("/price-list", include_in_schema=False)
    def page() -> HTMLResponse:
        """The page of the price list, which JavaScript fills from `/v1/price-list`."""
        scenario = deployment.bundle.manifest["scenario"]
        shown = {"scenario": deployment.bundle.scenario, "currency": scenario["currency"], "statuses": STATUSES}
        return HTMLResponse(_template("price_list").render(**shown), headers=_HEADERS)


def _add_docs_page(app: FastAPI) -> None:
    content = (_FOLDER / "docs.html").read_text(encoding="utf-8")

    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        """The API with its schemas, by Swagger UI."""
        return HTMLResponse(content, headers=_HEADERS | {"Content-Security-Policy": _DOCS_POLICY})

    _add_asset(app, _FOLDER / "docs.js", "text/javascript")
    for name, kind in _SWAGGER_ASSETS.items():
        _add_asset(app, _SWAGGER / name, kind)


def _add_asset(app: FastAPI, file: Traversable, kind: str) -> None:
    content = file.read_bytes()

    @app.get(f"/page/{file.name}", include_in_schema=False)
    async def asset() -> Response:
        return Response(content, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


def _shown(deployment: Deployment, recent: RecentDecisions, market: str | None) -> dict[str, Any]:
    """The template's values: the last decision of a market, or one for the example state before any
    request.
    """
    markets, bundle = recent.markets, deployment.bundle
    seen = markets.get(market or "") or next(iter(markets.values()), None)
    if seen is None:
        time, (_, _, decision) = None, deployment.preview(bundle.example)
    else:
        time, decision = seen
    before = {item["product"]: item["list_price"] for item in decision.state["products"]}
    rows = [
        {
            "price": item,
            "before": before[item.product],
            "change": item.price / before[item.product] - 1,
            "trail": [(change, rule_words(change.rule)) for change in item.trail],
        }
        for item in decision.answer.prices
    ]
    status = deployment.status()
    return {
        "answer": decision.answer,
        "arm": decision.arm,
        "warnings": decision.warnings,
        "rows": rows,
        "changed": sum(abs(row["change"]) > 1e-6 for row in rows),
        "time": time,
        "market": decision.state.get("market", "shop"),
        "markets": list(markets),
        "status": status,
        "currency": bundle.manifest["scenario"]["currency"],
        "period": bundle.manifest["scenario"]["period"],
        "objective": bundle.manifest["objective"],
        "has_response": bundle.response is not None,
        "rules": RULES,
        # A data block is not executed, but must not end its element.
        "state": json.dumps(decision.state).replace("<", "\\u003c"),
    }
