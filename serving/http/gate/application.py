"""Starlette's application of some routes behind all checks."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Lifespan

from ..api_keys import KeyRing
from ..metrics import RequestCounts
from ..settings import AccessSettings
from .calls import RequestRecorder, Routes, starlette_routes
from .checks import KnownCaller, KnownHost, OneReading, OwnBodies, RateLimit, ShortHeaders
from .problems import handlers


def guarded(
    routes: Routes, settings: AccessSettings, state_bytes: int, counts: RequestCounts, lifespan: Lifespan[Any]
) -> Starlette:
    """The application: a request is recorded, checked, and then answered by its route.

    Args:
        routes: What answers.
        settings: Say which API keys there are, which hosts may be named, and how often a caller may ask.
        state_bytes: Size of a body with one state; a larger body counts as several requests.
        counts: Count the requests.
        lifespan: What runs beside requests.

    Raises:
        KeyFileError: The API keys cannot be read.
    """
    found = starlette_routes(routes)
    # Starlette makes its middleware at the first request: what can be wrong is read now.
    keys = None if settings.keys is None else KeyRing(settings.keys)
    limit = RateLimit(settings.rate, settings.burst)
    middleware = [
        Middleware(RequestRecorder, counts=counts, paths={route.path for route in found}),
        Middleware(OneReading),
        Middleware(KnownHost, hosts=settings.hosts),
        Middleware(ShortHeaders),
        Middleware(KnownCaller, keys=keys, limit=limit, state_bytes=state_bytes),
        Middleware(OwnBodies),
    ]
    app = Starlette(routes=found, middleware=middleware, exception_handlers=handlers(), lifespan=lifespan)
    app.router.redirect_slashes = False
    return app
