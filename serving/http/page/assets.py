"""The files that pages load, and the API's own page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files

from starlette.responses import Response

from ...bundle.reading import Bundle
from ..gate import Call, Endpoint, Routes
from ..openapi import openapi
from .templates import CONTENT_POLICY, FOLDER, HEADERS, NO_SNIFFING

_ASSETS = dict.fromkeys(
    ("page.js", "price_list.js", "price_image.js", "rules.js", "summary.js", "docs.js"), "text/javascript"
)
_ASSETS |= {"page.css": "text/css", "icon.svg": "image/svg+xml"}
# Swagger UI, which needs no other origin from here; it draws its icons from data in its style
# sheet.
_SWAGGER = files("fastapi_offline") / "static"
_SWAGGER_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def asset_routes(bundle: Callable[[], Bundle], routes: Routes) -> Routes:
    """`GET /docs`, `GET /openapi.json`, and the files that the pages load.

    Args:
        bundle: Gives the bundle whose examples are shown.
        routes: Those that `/openapi.json` describes.
    """
    described = dict(routes)

    @lru_cache(maxsize=1)
    def of_bundle(found: Bundle) -> bytes:
        return openapi(found, described)

    async def document(_: Call) -> Response:
        text = await asyncio.to_thread(of_bundle, bundle())
        return Response(text, media_type="application/json")

    assets = {FOLDER / name: kind for name, kind in _ASSETS.items()}
    assets |= {_SWAGGER / name: kind for name, kind in _SWAGGER_ASSETS.items()}
    found = {f"GET /page/{file.name}": _static(file.read_bytes(), kind) for file, kind in assets.items()}
    docs = HEADERS | {"Content-Security-Policy": CONTENT_POLICY.replace("img-src 'self'", "img-src 'self' data:")}
    found["GET /docs"] = _static((FOLDER / "docs.html").read_bytes(), "text/html", docs)
    return {**found, "GET /openapi.json": Endpoint(document)}


def _static(content: bytes, kind: str, headers: Mapping[str, str] = NO_SNIFFING) -> Endpoint:
    async def answer(_: Call) -> Response:
        return Response(content, media_type=kind, headers=headers)

    return Endpoint(answer)
