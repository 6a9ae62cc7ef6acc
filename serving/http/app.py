"""The price service as an ASGI application. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import reprlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from ...pricing import RecurrentPolicy
from ..bundle.files import BundleError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from ..sample_states import example_state
from .admin import add_admin, add_status
from .answering.recent_decisions import RecentDecisions
from .api_keys import KeyRing
from .deployment import Deployment
from .desk import Desk
from .desk_routes import add_desk
from .middleware import MAX_BODY, OPEN_PATHS, Endpoint, Gate, failure, problem
from .outcome_routes import add_outcomes
from .page import add_page
from .price_routes import add_answers
from .processes.aside import Aside
from .rate_limit import RateLimit
from .schemas import body_schemas
from .settings import ServiceSettings
from .switches import Switches
from .what_if_form import add_form

__all__ = ["MAX_BODY", "ServiceSettings", "create_app"]
_log = logging.getLogger(__name__)


class _Service(FastAPI):
    """FastAPI behind the `Gate`."""

    gate: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate(scope, receive, send)


def create_app(
    bundle_path: str | os.PathLike[str],
    *,
    public_key: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    settings: ServiceSettings | None = None,
    apart: bool = False,
) -> FastAPI:
    """The service of one bundle, with its `Deployment` as `app.state.deployment`.

    Args:
        bundle_path: Folder of the bundle.
        public_key: PEM file of the key that must have signed the bundle; any key by default.
        log: File or database URL of the decision log; with a log, every price is recorded before it
            is returned.
        settings: How the service runs.
        apart: Write the log, and compute large requests, in processes of their own, which take a
            second to start.

    Raises:
        ValueError: The service cannot start; the message is one line.
    """
    settings = settings or ServiceSettings()
    deployment = Deployment(
        bundle_path,
        public_key=public_key,
        fallback=settings.fallback,
        shadow_path=settings.shadow,
        holdout=settings.holdout,
        killed=settings.killed,
        seed=settings.seed,
    )
    aside = Aside(apart)
    decisions, recent = None if log is None else DecisionLog(log, apart=apart), RecentDecisions()
    switches = Switches(deployment, decisions, settings.switches, settings.canary)
    app = _Service(
        title="repricer",
        version=version("repricer"),
        lifespan=_lifespan(switches, Path(bundle_path), settings.watch, decisions, aside),
        # The page adds its own, without another origin.
        docs_url=None,
        redoc_url=None,
        # A redirection would quote the caller's Host.
        redirect_slashes=False,
    )
    app.add_exception_handler(Exception, _failed)
    app.add_exception_handler(RequestValidationError, _misread)
    app.state.deployment, app.state.reload = deployment, functools.partial(reload_quietly, switches)
    app.state.draining, app.state.close = False, lambda: None
    express = add_answers(app, deployment, decisions, recent, aside)
    if decisions is not None:
        add_outcomes(app, decisions, deployment.bundle.catalogue.products[0])
    add_status(app, deployment, decisions)
    add_admin(app, deployment, switches)
    if settings.price_list is not None:
        add_desk(app, Desk(settings.price_list, lambda: deployment.bundle, decisions))
    add_form(app, deployment)
    add_page(app, deployment, recent, price_list=settings.price_list is not None)
    app.gate = _gate(app, deployment, settings, express)
    _describe(app, deployment)
    return app


def _gate(app: _Service, deployment: Deployment, settings: ServiceSettings, express: dict[str, Endpoint]) -> ASGIApp:
    """What requests pass through on their way to the application."""
    gate = Gate(
        super(_Service, app).__call__,
        keys=None if settings.keys is None else KeyRing(settings.keys),
        hosts=settings.hosts,
        limit=RateLimit(settings.rate, settings.burst),
        # With all fields and spaces, a state is longer than the example.
        state_bytes=2 * len(orjson.dumps(example_state(deployment.bundle.catalogue))),
        metrics=deployment.metrics,
        express=express,
    )
    if not settings.otel:
        return gate
    from .telemetry import Telemetry

    telemetry = Telemetry(deployment.metrics)
    app.state.close = telemetry.close
    return telemetry.around(gate)


def _failed(request: Request, _: Exception) -> Response:
    return failure(request.scope["state"]["request_id"])


def _misread(_: Request, error: Any) -> Response:
    """The framework's own refusal of a query, in one line."""
    first = error.errors()[0]
    name, got = first["loc"][1], reprlib.repr(first["input"])
    return problem(422, f"{name} in the query must be as /docs says; got {got}: {first['msg']}; fix it")


def _lifespan(
    switches: Switches, path: Path, seconds: float | None, decisions: DecisionLog | None, aside: Aside
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What runs beside the service: it watches the bundle's path, if asked to, and closes the log
    at the end.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.create_task(_record_drift(app.state.deployment)), asyncio.create_task(switches.follow())]
        if seconds is not None:
            beside.append(asyncio.create_task(_watch(app.state.reload, path, seconds)))
        yield
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        switches.close()
        if decisions is not None:
            decisions.close()
        aside.close()
        await asyncio.to_thread(app.state.close)
        _log.info("stopped")

    return lifespan


def reload_quietly(switches: Switches, by: str) -> None:
    """Reload the bundle and log a failure, for callers that cannot handle one."""
    try:
        switches.renew(by)
    except (BundleError, LogError) as error:
        _log.error("reload refused", extra={"facts": {"reason": str(error)}})


async def _record_drift(deployment: Deployment) -> None:
    """Keep the drift alarms in the metrics, which another worker may be asked for."""
    while True:
        deployment.record_drift()
        await asyncio.sleep(1)


async def _watch(reload: Callable[[str], None], path: Path, seconds: float) -> None:
    """Reload the bundle when its signature changes on disk."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(seconds)
        now = _stamp(path)
        if now is not None and now != seen:
            await asyncio.to_thread(reload, "--watch")
            seen = now


def _stamp(path: Path) -> tuple[int, int] | None:
    """A value that changes when the bundle is replaced; None while there is no bundle."""
    try:
        status = (path / "manifest.sig").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _describe(app: FastAPI, deployment: Deployment) -> None:
    """Add the schemas of this bundle's states, and the API keys that the gate asks for, to the
    OpenAPI document.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document, bundle = plain(), deployment.bundle
            document.setdefault("components", {}).setdefault("schemas", {}).update(
                body_schemas(bundle.catalogue, isinstance(bundle.policy, RecurrentPolicy))
            )
            schemes = {"key": {"type": "http", "scheme": "bearer", "description": "`repricer keys add` makes one"}}
            document["components"]["securitySchemes"] = schemes
            for path, methods in document["paths"].items():
                for method in methods.values():
                    method["security"] = [] if path in OPEN_PATHS else [{"key": []}, {}]
        return plain()

    app.openapi = openapi
