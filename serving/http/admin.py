"""The routes that show and throw the service's switches. Needs the `serve` extra."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ..bundle.files import BundleError
from .deployment import Operation, OperationError
from .middleware import problem
from .schemas import BodyError, HoldoutShare, Switch, described_body, problems, read_body


def add_status(app: FastAPI, operation: Operation) -> None:
    """Health, readiness, metrics, and which policy answers."""

    @app.get("/healthz", tags=["status"])
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["status"])
    async def readyz() -> dict[str, str]:
        """A bundle is loaded and verified: there is no service before one is."""
        return {"status": "ready", "bundle": operation.bundle.digest}

    @app.get(
        "/metrics",
        response_class=Response,
        responses=problems() | {200: {"content": {"text/plain": {}}, "description": "Prometheus text"}},
        tags=["status"],
    )
    async def metrics() -> Response:
        """Counts and times, for Prometheus."""
        drift = operation.slots.drift
        return Response(operation.metrics.text(drift.shares, drift.alarms), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/policy", responses=problems(), tags=["status"])
    async def policy() -> dict[str, Any]:
        """Which policy answers, where it comes from and who vouches for it."""
        bundle = operation.bundle
        return {
            "policy": bundle.policy.name,
            "bundle": bundle.digest,
            "scenario": bundle.scenario,
            "trust": bundle.trust,
            "manifest": bundle.manifest,
        }

    @app.get("/v1/operation", responses=problems(), tags=["status"])
    async def status() -> dict[str, Any]:
        """How the switches stand, which bundles there are, and what raises the drift alarm."""
        return {"service": version("repricer"), **operation.status()}


def add_admin(app: FastAPI, operation: Operation) -> None:
    """The switches; each answers with how they stand after it."""

    @app.post("/v1/admin/reload", responses=problems(409, 413), tags=["admin"])
    def reload() -> Any:
        """Read the bundle's path again: verify it, ask its golden vectors, let it answer, and keep the former."""
        return _thrown(operation, operation.reload)

    @app.post("/v1/admin/rollback", responses=problems(409, 413), tags=["admin"])
    def rollback() -> Any:
        """Let the former bundle answer again."""
        return _thrown(operation, operation.rollback)

    @app.put(
        "/v1/admin/kill-switch",
        responses=problems(413, 422),
        openapi_extra=described_body(Switch.__name__, on={"on": True}, off={"on": False}),
        tags=["admin"],
    )
    async def kill(request: Request) -> Any:
        """Let the fallback answer everything, or no longer."""
        return await _set(operation, request, Switch, lambda body: operation.kill(body.on))

    @app.put(
        "/v1/admin/holdout",
        responses=problems(409, 413, 422),
        openapi_extra=described_body(HoldoutShare.__name__, tenth={"share": 0.1}, none={"share": 0}),
        tags=["admin"],
    )
    async def holdout(request: Request) -> Any:
        """The share of markets that the fallback answers, so that the policy's worth can be measured."""
        return await _set(operation, request, HoldoutShare, lambda body: operation.hold_out(body.share))

    @app.put(
        "/v1/admin/shadow",
        responses=problems(409, 413, 422),
        openapi_extra=described_body(Switch.__name__, on={"on": True}, off={"on": False}),
        tags=["admin"],
    )
    async def shadow(request: Request) -> Any:
        """Let the second bundle answer beside the active one, unused but recorded, or no longer."""
        return await _set(operation, request, Switch, lambda body: operation.shadow(body.on))


async def _set(operation: Operation, request: Request, kind: type[Any], change: Callable[[Any], Any]) -> JSONResponse:
    """Change a switch as the body says, in a thread: a bundle takes a while to verify."""
    try:
        body = await read_body(request, kind)
    except BodyError as error:
        return problem(422, str(error))
    return await to_thread.run_sync(_thrown, operation, lambda: change(body))


def _thrown(operation: Operation, switch: Any) -> JSONResponse:
    try:
        switch()
    except (OperationError, BundleError) as error:
        return problem(409, str(error))
    return JSONResponse(operation.status())
