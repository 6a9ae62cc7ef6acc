"""The page of a price list as an ASGI application of its own, beside the price service. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from ..decision_log.log import DecisionLog
from ..documents import FilePath
from ..sample_states import example_state
from .admin import FRESH_SECONDS, metrics_route, status_route
from .batching import committed
from .bundle_at_path import BundleAtPath
from .closing import is_closed
from .desk import Desk
from .desk_routes import desk_routes
from .gate import Call, Routes
from .gate.application import guarded
from .metrics import RequestCounts
from .page.assets import asset_routes
from .page.price_list import price_list_routes
from .settings import AccessSettings

_log = logging.getLogger(__name__)


def create_desk(
    price_list: FilePath,
    bundle_path: FilePath,
    *,
    public_key: FilePath | None = None,
    log: FilePath | None = None,
    jurisdictions: Sequence[str] = (),
    settings: AccessSettings | None = None,
) -> Starlette:
    """The page of a price list, and the routes that it asks.

    Args:
        price_list: The list (.csv, .xlsx), into which decisions are written.
        bundle_path: Folder of the bundle whose price rules hold.
        public_key: PEM file of the key that must have signed it; any key by default.
        log: File or database URL of the decision log, which records decisions; without one no list becomes live.
        jurisdictions: Those for which the bundle must have been made.
        settings: Who may ask.

    Raises:
        ValueError: It cannot start; the message is one line.
    """
    bundle = BundleAtPath(bundle_path, public_key, jurisdictions)
    # Where there is no list, no log is made.
    Desk(str(price_list), bundle, None)
    decisions = None if log is None else DecisionLog(log)
    desk = Desk(str(price_list), bundle, decisions)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    status = DeskStatus(desk, decisions, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if decisions is not None:
            status.is_stalled = not await is_closed(decisions)
        _log.info("stopped")

    routes = {**desk_routes(desk), **status.routes()}
    routes |= asset_routes(bundle, routes)
    routes |= price_list_routes(bundle, alone=True)
    state_bytes = 2 * len(orjson.dumps(example_state(bundle().catalogue)))
    app = guarded(routes, settings or AccessSettings(), state_bytes, RequestCounts(registry), lifespan)
    app.state.status = status
    return app


class DeskStatus:
    """Health, readiness and metrics.

    Args:
        desk: What they say it of.
        log: Where decisions are recorded.
        registry: The counts of its requests.
    """

    draining = False
    """Whether it is about to stop."""
    is_stalled = False
    """Whether it stopped though the log did not answer."""

    def __init__(self, desk: Desk, log: DecisionLog | None, registry: CollectorRegistry) -> None:
        self._desk = desk
        self._log = log
        self._registry = registry

    def routes(self) -> Routes:
        """The routes."""
        return {
            "GET /healthz": status_route(self.healthz),
            "GET /readyz": status_route(self.readyz, 409, 503),
            "GET /metrics": metrics_route(self.metrics),
        }

    async def healthz(self, _: Call) -> Response:
        """The process is running."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Call) -> Response:
        """List and bundle can be read, and decisions recorded."""
        await asyncio.to_thread(self._desk.check)
        if self._log is not None and self._log.age > FRESH_SECONDS:
            await committed(self._log.submit_trial())
        return JSONResponse({"status": "ready"})

    async def metrics(self, _: Call) -> Response:
        """Counts for Prometheus."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
