"""Routes for the state of the service and its switches. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ..bundle.files import BundleError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from .deployment import Deployment, DeploymentError
from .middleware import problem
from .schemas import (
    BodyError,
    CanaryShare,
    HoldoutShare,
    Problem,
    Switch,
    Throw,
    content,
    described_body,
    problems,
    read_body,
)
from .switches import Switches

_PATIENCE = 2
"""Seconds in which the log must have recorded a trial."""
_OBJECT = content({"type": "object"})


def add_status(app: FastAPI, deployment: Deployment, decisions: DecisionLog | None) -> None:
    """Add health, readiness, metrics, and which policy is active."""

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses={200: _OBJECT}, tags=["status"])
    async def healthz() -> JSONResponse:
        """The process is running."""
        return JSONResponse({"status": "ok"})

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", responses={200: _OBJECT, 503: content(Problem.__name__)}, tags=["status"])
    async def readyz() -> JSONResponse:
        """A bundle is loaded and verified, decisions can be recorded, and the service does not stop."""
        if app.state.draining:
            return problem(503, "the service must not be stopping to be ready; got SIGTERM; ask another instance")
        try:
            if decisions is not None:
                await asyncio.wait_for(asyncio.wrap_future(decisions.submit_trial()), _PATIENCE)
        except (LogError, TimeoutError) as error:
            reason = str(error) or f"no answer of the log in {_PATIENCE} s"
            return problem(503, f"decisions must be recorded to be ready; got {reason}; restore the log")
        return JSONResponse({"status": "ready", **deployment.digests})

    @app.get(
        "/metrics",
        response_class=Response,
        responses=problems() | {200: {"content": {"text/plain": {}}, "description": "Prometheus text"}},
        tags=["status"],
    )
    async def metrics() -> Response:
        """Counters and timings for Prometheus."""
        deployment.record_drift()
        return Response(deployment.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/policy", responses=problems() | {200: _OBJECT}, tags=["status"])
    async def policy() -> JSONResponse:
        """The active policy, its origin, and who signed it."""
        bundle = deployment.bundle
        facts = {name: getattr(bundle, name) for name in ("scenario", "trust", "manifest")}
        return JSONResponse({"policy": bundle.policy.name, "bundle": bundle.digest, **facts})

    @app.get("/v1/operation", responses=problems() | {200: _OBJECT}, tags=["status"])
    async def status() -> JSONResponse:
        """The position of every switch, the loaded bundles, and the active drift alarms."""
        return JSONResponse({"service": version("repricer"), **deployment.status()})


def add_admin(app: FastAPI, deployment: Deployment, switches: Switches) -> None:
    """Add the switches; each route answers with the position of all switches afterwards."""
    routes = _SwitchRoutes(deployment, switches)
    why = described_body(Throw.__name__, reason={"by": "Ann", "reason": "the weekly bundle"})
    why["requestBody"]["required"] = False
    on_off = described_body(Switch.__name__, on={"on": True, "reason": "prices look wrong"}, off={"on": False})
    share = described_body(HoldoutShare.__name__, tenth={"share": 0.1}, none={"share": 0})
    tried = described_body(CanaryShare.__name__, tenth={"share": 0.1}, none={"share": 0})
    refused = problems(409, 413, 422, 503)
    for add, name, route, body, responses in (
        (app.post, "reload", routes.reload, why, refused),
        (app.post, "rollback", routes.rollback, why, refused),
        (app.put, "kill-switch", routes.kill, on_off, problems(413, 422, 503)),
        (app.put, "holdout", routes.holdout, share, refused),
        (app.put, "canary", routes.canary, tried, refused),
        (app.post, "promote", routes.promote, why, refused),
        (app.put, "shadow", routes.shadow, on_off, refused),
    ):
        add(f"/v1/admin/{name}", responses=responses, openapi_extra=body, tags=["admin"])(route)


class _SwitchRoutes:
    """One method per route."""

    def __init__(self, deployment: Deployment, switches: Switches) -> None:
        self._deployment, self._switches = deployment, switches

    async def reload(self, request: Request) -> JSONResponse:
        """Reload the bundle from its path: verify it, check its golden vectors, activate it, and
        keep the former one. With a share for canaries, it prices these markets first.
        """
        return await self._thrown(request, Throw, lambda _, by, reason: self._switches.renew(by, reason))

    async def rollback(self, request: Request) -> JSONResponse:
        """Activate the former bundle again."""
        return await self._switched(request, Throw, "bundle", lambda _: self._deployment.rollback())

    async def kill(self, request: Request) -> JSONResponse:
        """Turn the kill switch on or off: while it is on, the fallback prices every market."""
        return await self._switched(request, Switch, "kill_switch", lambda body: self._deployment.kill(body.on))

    async def holdout(self, request: Request) -> JSONResponse:
        """Set the share of markets that the fallback prices, so that the gain of the policy can be
        measured.
        """
        return await self._switched(
            request, HoldoutShare, "holdout", lambda body: self._deployment.hold_out(body.share)
        )

    async def shadow(self, request: Request) -> JSONResponse:
        """Turn shadow mode on or off: a second bundle prices every request, and its prices are only
        recorded.
        """
        return await self._switched(request, Switch, "shadow", lambda body: self._deployment.shadow(body.on))

    async def canary(self, request: Request) -> JSONResponse:
        """Let the bundle at the path, which must be newer, price a share of the markets; with 0,
        take it back.
        """

        def change(body: CanaryShare) -> None:
            if not body.share:
                self._deployment.end_trial()
            elif not self._deployment.try_newer(body.share):
                raise DeploymentError("a canary needs a newer bundle at the path; got the active one; export it first")

        return await self._switched(request, CanaryShare, "canary", change)

    async def promote(self, request: Request) -> JSONResponse:
        """Activate the canary, and keep the former bundle."""
        return await self._switched(request, Throw, "bundle", lambda _: self._deployment.promote())

    async def _switched(
        self, request: Request, kind: type[Any], switch: str, change: Callable[[Any], Any]
    ) -> JSONResponse:
        def throw(body: Any, by: str, reason: str) -> None:
            self._switches.throw(switch, lambda: change(body), by, reason)

        return await self._thrown(request, kind, throw)

    async def _thrown(self, request: Request, kind: type[Any], throw: Callable[[Any, str, str], Any]) -> JSONResponse:
        """Throw a switch as the body says, in a thread: a bundle takes a while to verify."""
        try:
            bare = kind is Throw and not await request.body()
            body = Throw() if bare else await read_body(request, kind)
        except BodyError as error:
            return problem(422, str(error))
        by = request.scope["state"].get("caller") or body.by or "unnamed"
        try:
            await to_thread.run_sync(throw, body, by, body.reason)
        except (DeploymentError, BundleError) as error:
            return problem(409, str(error))
        except LogError as error:
            return problem(503, f"a switch must be recorded before it is thrown; got {error}; try again")
        return JSONResponse(self._deployment.status())
