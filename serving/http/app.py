"""The price service as an ASGI application. Needs the `serve` extra.

A request goes through the `gate` to a route of `prices`, `questions`, `admin`, `desk_routes` or `page`. They answer
by the policies of the `deployment`, whose transitions are those of the `switchboard` and rows of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..bundle.files import BundleError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from ..sample_states import example_state
from .admin import Admin, Status
from .api_keys import KeyRing
from .deployment import Deployment
from .desk import Desk
from .desk_routes import DeskRoutes
from .gate import MAX_BODY, Gate
from .openapi import Call, Route, openapi
from .page import Pages
from .page.recent import RecentDecisions
from .prices import Prices
from .questions import Questions
from .rate_limit import RateLimit
from .settings import ServiceSettings
from .switchboard import DeploymentError

__all__ = ["MAX_BODY", "ServiceSettings", "create_app"]
_ASIDE = 2
"""Large requests and questions that are computed at the same time."""
_log = logging.getLogger(__name__)


class _Service(Starlette):
    """The gate, and what runs beside it."""

    gate: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.gate if scope["type"] == "http" else super().__call__)(scope, receive, send)


def create_app(
    bundle_path: str | os.PathLike[str],
    *,
    public_key: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    settings: ServiceSettings | None = None,
) -> Starlette:
    """The service of one bundle, with its `Deployment` as `app.state.deployment`.

    Args:
        bundle_path: Folder of the bundle.
        public_key: PEM file of the key that must have signed the bundle; any key by default.
        log: File or database URL of the decision log; with a log, every price is recorded before it
            is returned.
        settings: How the service runs.

    Raises:
        ValueError: The service cannot start; the message is one line.
    """
    settings = settings or ServiceSettings()
    decisions = None if log is None else DecisionLog(log)
    switches = DecisionLog(settings.switches) if decisions is None and settings.switches else decisions
    deployment = Deployment(
        bundle_path,
        public_key=public_key,
        fallback=settings.fallback,
        shadow_path=settings.shadow,
        holdout=settings.holdout,
        killed=settings.killed,
        seed=settings.seed,
        canary=settings.canary,
        log=switches,
        decides=decisions is not None,
    )
    aside, recent, status = ThreadPoolExecutor(_ASIDE, "aside"), RecentDecisions(), Status(deployment, decisions)
    parts = [
        Prices(deployment, decisions, recent, aside),
        Questions(deployment, decisions, aside),
        status,
        Admin(deployment),
        Pages(deployment, recent, price_list=settings.price_list is not None),
    ]
    if settings.price_list is not None:
        parts.append(DeskRoutes(Desk(settings.price_list, lambda: deployment.bundle, decisions)))
    routes = [route for part in parts for route in part.routes()]
    routes.append(_document(routes, deployment))
    gate = _gate(routes, deployment, settings)
    close, app_gate = _observed(gate, deployment, settings.otel)
    logs = [one for one in {decisions, switches} if one is not None]
    closing = [*(one.close for one in logs), lambda: aside.shutdown(wait=False, cancel_futures=True), close]
    app = _Service(lifespan=_lifespan(deployment, Path(bundle_path), settings.watch, closing))
    app.gate = app_gate
    app.state.deployment, app.state.decisions, app.state.status = deployment, decisions, status
    app.state.reload = lambda by: reload_quietly(deployment, by)
    return app


def _gate(routes: list[Route], deployment: Deployment, settings: ServiceSettings) -> Gate:
    return Gate(
        routes,
        keys=None if settings.keys is None else KeyRing(settings.keys),
        hosts=settings.hosts,
        limit=RateLimit(settings.rate, settings.burst),
        # With all fields and spaces, a state is longer than the example.
        state_bytes=2 * len(orjson.dumps(example_state(deployment.bundle.catalogue))),
        metrics=deployment.metrics,
    )


def _document(routes: list[Route], deployment: Deployment) -> Route:
    known: dict[str, bytes] = {}

    async def document(_: Call) -> Response:
        bundle = deployment.bundle
        if bundle.digest not in known:
            known.clear()
            known[bundle.digest] = await asyncio.to_thread(openapi, routes, bundle)
        return Response(known[bundle.digest], media_type="application/json")

    return Route("GET", "/openapi.json", document)


def _observed(gate: Gate, deployment: Deployment, otel: bool) -> tuple[Callable[[], None], ASGIApp]:
    """What ends the telemetry, and the gate within it."""
    if not otel:
        return lambda: None, gate
    from .telemetry import Telemetry

    telemetry = Telemetry(deployment.metrics)
    return telemetry.close, telemetry.around(gate)


def _lifespan(
    deployment: Deployment, path: Path, seconds: float | None, closing: list[Callable[[], None]]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What runs beside the service: it follows the switches, watches the bundle's path, if asked to, and closes
    the log at the end.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        beside = [asyncio.create_task(deployment.follow())]
        if seconds is not None:
            beside.append(asyncio.create_task(_watch(deployment, path, seconds)))
        yield
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for close in closing:
            await asyncio.to_thread(close)
        _log.info("stopped")

    return lifespan


def reload_quietly(deployment: Deployment, by: str) -> None:
    """Reload the bundle and log a failure, for callers that cannot handle one."""
    try:
        deployment.reload(by)
    except (BundleError, DeploymentError, LogError) as error:
        _log.error("reload refused", extra={"facts": {"reason": str(error)}})


async def _watch(deployment: Deployment, path: Path, seconds: float) -> None:
    """Reload the bundle when its signature changes on disk."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(seconds)
        now = _stamp(path)
        if now is not None and now != seen:
            await asyncio.to_thread(reload_quietly, deployment, "--watch")
            seen = now


def _stamp(path: Path) -> tuple[int, int] | None:
    """A value that changes when the bundle is replaced; None while there is no bundle."""
    try:
        status = (path / "manifest.sig").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
