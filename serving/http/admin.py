"""Routes for the state of the service and its switches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any

import msgspec
import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from ..bundle.reading import Bundle
from ..decision_log.log import DecisionLog
from .batching import committed
from .bodies import CanaryShare, Certificate, HoldoutShare, Promotion, Rollback, Switch, Throw, read_body
from .deployment import Deployment
from .gate import Call, Routes, problem

FRESH_SECONDS = 1.0
"""Seconds for which what was written says that decisions can be recorded."""


class Status:
    """Health, readiness, metrics, and which policy is active.

    Args:
        deployment: What they say it of.
        log: Where decisions are recorded.
    """

    draining = False
    """Whether the service is about to stop."""
    is_stalled = False
    """Whether it stopped though the log did not answer."""

    def __init__(self, deployment: Deployment, log: DecisionLog) -> None:
        self._deployment, self._log = deployment, log

    def routes(self) -> Routes:
        """The routes."""
        paths = ("healthz", "readyz", "metrics", "v1/policy", "v1/operation")
        return {f"GET /{path}": getattr(self, path.rpartition("/")[2]) for path in paths}

    async def healthz(self, _: Call) -> Response:
        """The process is running."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Call) -> Response:
        """A bundle is loaded and verified, decisions can be recorded, and the service does not stop."""
        if self.draining:
            return problem(503, "the service must not be stopping to be ready; got SIGTERM; ask another instance")
        if self._log.age > FRESH_SECONDS:  # else a decision was the trial
            await committed(self._log.submit_trial())
        trial = self._deployment.slots.trial
        canary = None if trial is None else trial.predictor.bundle.digest
        return JSONResponse({"status": "ready", "bundle": self._deployment.bundle.digest, "canary": canary})

    async def metrics(self, _: Call) -> Response:
        """Counters and timings for Prometheus."""
        slots, certificate = self._deployment.slots, self._deployment.positions.certificate
        return Response(self._deployment.metrics.text(slots, certificate), media_type=CONTENT_TYPE_LATEST)

    async def policy(self, _: Call) -> Response:
        """The active policy, its origin, and who signed it."""
        return Response(_described(self._deployment.bundle), media_type="application/json")

    async def operation(self, _: Call) -> Response:
        """The position of every switch, the loaded bundles, and the active drift alarms."""
        return JSONResponse({"service": version("repricer"), **self._deployment.status()})


@lru_cache(maxsize=1)
def _described(bundle: Bundle) -> bytes:
    """A manifest has thousands of numbers: to write them for each request would delay prices."""
    facts = {name: getattr(bundle, name) for name in ("scenario", "trust", "manifest")}
    return orjson.dumps({"policy": bundle.policy.name, "bundle": bundle.digest, **facts})


def _facts(body: Certificate) -> dict[str, Any]:
    """A certificate as plain JSON, without who puts it on record."""
    return {name: value for name, value in msgspec.to_builtins(body).items() if name not in Throw.__struct_fields__}


def switch_routes(deployment: Deployment, operator: Executor) -> Routes:
    """The routes of the switches; each answers with the position of all switches afterwards.

    Args:
        deployment: Whose switches they are.
        operator: Where they are thrown: as a bundle takes a while to verify, and uploads never hold a kill switch up.
    """

    async def thrown(kind: type[Any], throw: Callable[..., Any], call: Call) -> Response:
        body = kind() if kind in (Throw, Promotion, Rollback) and not call.body else read_body(call.body, kind)
        by = call.caller or body.by or "unnamed"
        await asyncio.get_running_loop().run_in_executor(operator, throw, body, by, body.reason)
        return JSONResponse(deployment.status())

    switches: dict[str, tuple[type[Any], Callable[..., Any]]] = {
        "POST /v1/admin/reload": (Throw, lambda _, *by: deployment.reload(*by)),
        "POST /v1/admin/rollback": (Rollback, lambda body, *by: deployment.rollback(*by, to=body.bundle)),
        "POST /v1/admin/promote": (Promotion, lambda body, *by: deployment.promote(*by, unjudged=body.unjudged)),
        "PUT /v1/admin/kill-switch": (Switch, lambda body, *by: deployment.kill(body.on, *by)),
        "PUT /v1/admin/holdout": (HoldoutShare, lambda body, *by: deployment.hold_out(body.share, *by)),
        "PUT /v1/admin/canary": (CanaryShare, lambda body, *by: deployment.try_newer(body.share, *by)),
        "PUT /v1/admin/certificate": (Certificate, lambda body, *by: deployment.certify(_facts(body), *by)),
    }
    return {route: partial(thrown, *how) for route, how in switches.items()}
