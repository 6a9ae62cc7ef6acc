"""The price service: an HTTP face of the predictor. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from ..bundle.files import BundleError
from ..decision_log.log import DecisionLog
from .admin import add_admin, add_status
from .api_keys import KeyRing
from .deployment import Operation
from .middleware import MAX_BODY, OPEN_PATHS, Gate
from .outcome_routes import add_outcomes
from .page import add_page
from .price_routes import add_answers
from .rate_limit import RateLimit
from .recent_decisions import Recent
from .schemas import body_schemas
from .settings import ServiceSettings

__all__ = ["MAX_BODY", "ServiceSettings", "create_app"]
_log = logging.getLogger(__name__)


class _Service(FastAPI):
    """FastAPI behind a gate, where its own middleware would stand before."""

    gate: Gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate(scope, receive, send)


def create_app(
    bundle_path: str | os.PathLike[str],
    *,
    public_key: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    settings: ServiceSettings | None = None,
) -> FastAPI:
    """The service of one bundle, with its `Operation` as `app.state.operation`. Raises ValueError where it cannot start.

    public_key: PEM file of the key that must have signed the bundle. log: file or database URL of the decision log; with one, no
    price is given that is not recorded.
    """
    settings = settings or ServiceSettings()
    keys = None if settings.keys is None else KeyRing(settings.keys)
    operation = Operation(
        bundle_path,
        public_key=public_key,
        fallback=settings.fallback,
        shadow_path=settings.shadow,
        holdout=settings.holdout,
        killed=settings.killed,
        seed=settings.seed,
    )
    decisions, recent = None if log is None else DecisionLog(log), Recent()
    app = _Service(
        title="repricer",
        version=version("repricer"),
        lifespan=_lifespan(operation, Path(bundle_path), settings.watch, decisions),
        redoc_url=None,
    )
    app.state.operation = operation
    express = add_answers(app, operation, decisions, recent)
    if decisions is not None:
        add_outcomes(app, decisions, operation.bundle.catalogue.products[0])
    add_status(app, operation)
    add_admin(app, operation)
    add_page(app, operation, recent)
    limit = RateLimit(settings.rate, settings.burst)
    app.gate = Gate(super(_Service, app).__call__, keys=keys, limit=limit, metrics=operation.metrics, express=express)
    _describe(app, operation)
    return app


def _lifespan(
    operation: Operation, path: Path, seconds: float | None, decisions: DecisionLog | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What goes on while the service runs: it watches the path, if so told, and closes the log at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = None if seconds is None else asyncio.create_task(_watch(operation, path, seconds))
        yield
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        if decisions is not None:
            decisions.close()
        _log.info("stopped")

    return lifespan


def reload_quietly(operation: Operation) -> None:
    """Reload for who cannot be told what is wrong: the log is."""
    try:
        operation.reload()
    except BundleError as error:
        _log.error("reload refused", extra={"facts": {"reason": str(error)}})


async def _watch(operation: Operation, path: Path, seconds: float) -> None:
    """Reload when the manifest's signature changes on the disk."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(seconds)
        now = _stamp(path)
        if now is not None and now != seen:
            await asyncio.to_thread(reload_quietly, operation)
            seen = now


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when another bundle takes the place; None in the instant without one."""
    try:
        status = (path / "manifest.sig").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _describe(app: FastAPI, operation: Operation) -> None:
    """Say in the description what this bundle's states are, and that a key is asked for: the gate asks."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            document.setdefault("components", {}).setdefault("schemas", {}).update(
                body_schemas(operation.bundle.catalogue)
            )
            schemes = {"key": {"type": "http", "scheme": "bearer", "description": "`repricer keys add` makes one"}}
            document["components"]["securitySchemes"] = schemes
            for path, methods in document["paths"].items():
                for method in methods.values():
                    method["security"] = [] if path in OPEN_PATHS else [{"key": []}, {}]
        return plain()

    app.openapi = openapi
