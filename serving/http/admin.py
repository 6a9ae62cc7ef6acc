"""Routes for the state of the service and its switches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from ..bundle.files import BundleError
from ..decision_log.chain import ChainError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from .batching import Commits
from .bodies import BodyError, CanaryShare, HoldoutShare, Switch, Throw, read_body
from .deployment import Deployment
from .gate import problem
from .openapi import Call, Route
from .switchboard import DeploymentError

_TEXT = {"responses": {"200": {"description": "Prometheus text", "content": {"text/plain": {}}}}}


class Status:
    """Health, readiness, metrics, and which policy is active.

    Args:
        deployment: What they say it of.
        log: Where decisions are recorded.
    """

    draining = False
    """Whether the service is about to stop."""

    def __init__(self, deployment: Deployment, log: DecisionLog | None) -> None:
        self._deployment, self._log, self._commits = deployment, log, Commits()
        self._described = "", b""

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("GET", "/healthz", self.healthz, "status"),
            Route("GET", "/readyz", self.readyz, "status", (503,)),
            Route("GET", "/metrics", self.metrics, "status", more=_TEXT),
            Route("GET", "/v1/policy", self.policy, "status"),
            Route("GET", "/v1/operation", self.operation, "status"),
        ]

    async def healthz(self, _: Call) -> Response:
        """The process is running."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Call) -> Response:
        """A bundle is loaded and verified, decisions can be recorded, and the service does not stop."""
        if self.draining:
            return problem(503, "the service must not be stopping to be ready; got SIGTERM; ask another instance")
        try:
            if self._log is not None:
                await self._commits.of(self._log.submit_trial())
        except LogError as error:
            return problem(503, f"decisions must be recorded to be ready; got {error}; restore the log")
        return JSONResponse({"status": "ready", **self._deployment.digests})

    async def metrics(self, _: Call) -> Response:
        """Counters and timings for Prometheus."""
        self._deployment.record_drift()
        return Response(self._deployment.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def policy(self, _: Call) -> Response:
        """The active policy, its origin, and who signed it."""
        bundle = self._deployment.bundle
        # A manifest has thousands of numbers: to write them for each request would delay prices.
        if self._described[0] != bundle.digest:
            facts = {name: getattr(bundle, name) for name in ("scenario", "trust", "manifest")}
            text = orjson.dumps({"policy": bundle.policy.name, "bundle": bundle.digest, **facts})
            self._described = bundle.digest, text
        return Response(self._described[1], media_type="application/json")

    async def operation(self, _: Call) -> Response:
        """The position of every switch, the loaded bundles, and the active drift alarms."""
        return JSONResponse({"service": version("repricer"), **self._deployment.status()})


class Admin:
    """The switches; each route answers with the position of all switches afterwards.

    Args:
        deployment: What they switch.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def routes(self) -> list[Route]:
        """The routes."""
        why = {"reason": {"by": "Ann", "reason": "the weekly bundle"}}
        on_off = {"on": {"on": True, "reason": "prices look wrong"}, "off": {"on": False}}
        share = {"tenth": {"share": 0.1}, "none": {"share": 0}}
        refused, bare = (409, 413, 422, 503), {"requestBody": {"required": False}}
        return [
            Route(method, f"/v1/admin/{name}", answer, "admin", refused, body=kind.__name__, examples=shown, more=more)
            for method, name, answer, kind, shown, more in (
                ("POST", "reload", self.reload, Throw, why, bare),
                ("POST", "rollback", self.rollback, Throw, why, bare),
                ("PUT", "kill-switch", self.kill, Switch, on_off, {}),
                ("PUT", "holdout", self.holdout, HoldoutShare, share, {}),
                ("PUT", "canary", self.canary, CanaryShare, share, {}),
                ("POST", "promote", self.promote, Throw, why, bare),
                ("PUT", "shadow", self.shadow, Switch, on_off, {}),
            )
        ]

    async def reload(self, call: Call) -> Response:
        """Reload the bundle from its path: verify it, check its golden vectors, activate it, and
        keep the former one. With a share for canaries, it prices these markets first.
        """
        return await self._thrown(call, Throw, lambda _, by: self._deployment.reload(*by))

    async def rollback(self, call: Call) -> Response:
        """Activate the former bundle again."""
        return await self._thrown(call, Throw, lambda _, by: self._deployment.rollback(*by))

    async def kill(self, call: Call) -> Response:
        """Turn the kill switch on or off: while it is on, the fallback prices every market."""
        return await self._thrown(call, Switch, lambda body, by: self._deployment.kill(body.on, *by))

    async def holdout(self, call: Call) -> Response:
        """Set the share of markets that the fallback prices, so that the gain of the policy can be
        measured.
        """
        return await self._thrown(call, HoldoutShare, lambda body, by: self._deployment.hold_out(body.share, *by))

    async def shadow(self, call: Call) -> Response:
        """Turn shadow mode on or off: a second bundle prices every request, and its prices are only
        recorded.
        """
        return await self._thrown(call, Switch, lambda body, by: self._deployment.shadow(body.on, *by))

    async def canary(self, call: Call) -> Response:
        """Let the bundle at the path, which must be newer, price a share of the markets; with 0,
        take it back.
        """

        def change(body: CanaryShare, by: tuple[str, str]) -> None:
            if body.share:
                self._deployment.try_newer(body.share, *by)
            else:
                self._deployment.end_trial(*by)

        return await self._thrown(call, CanaryShare, change)

    async def promote(self, call: Call) -> Response:
        """Activate the canary, and keep the former bundle."""
        return await self._thrown(call, Throw, lambda _, by: self._deployment.promote(*by))

    async def _thrown(self, call: Call, kind: type[Any], throw: Callable[[Any, tuple[str, str]], Any]) -> Response:
        """Throw a switch as the body says, in a thread: a bundle takes a while to verify."""
        try:
            body = Throw() if kind is Throw and not call.body else read_body(call.body, kind)
        except BodyError as error:
            return problem(422, str(error))
        try:
            await asyncio.to_thread(throw, body, (call.caller or body.by or "unnamed", body.reason))
        except (DeploymentError, BundleError) as error:
            return problem(409, str(error))
        except (LogError, ChainError) as error:
            return problem(503, f"a switch must be recorded before it is thrown; got {error}; try again")
        return JSONResponse(self._deployment.status())
