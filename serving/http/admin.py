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
from .gate import Answer, Call, Endpoint, Operation, Routes, docstring, problem

FRESH_SECONDS = 1.0
"""Seconds for which what was written says that decisions can be recorded."""


def status_route(answer: Answer, *refusals: int) -> Endpoint:
    """A route that says how the service is, as its docstring describes it."""
    return Endpoint(answer, Operation(tag="status", text=docstring(answer), refusals=refusals))


def metrics_route(answer: Answer) -> Endpoint:
    """A route for Prometheus, which reads text."""
    return Endpoint(answer, Operation(tag="status", text=docstring(answer), answer=None, media_type="text/plain"))


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
        self._deployment = deployment
        self._log = log

    def routes(self) -> Routes:
        """The routes."""
        return {
            "GET /healthz": status_route(self.healthz),
            "GET /readyz": status_route(self.readyz, 503),
            "GET /metrics": metrics_route(self.metrics),
            "GET /v1/policy": status_route(self.policy),
            "GET /v1/operation": status_route(self.operation),
        }

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
        slots = self._deployment.slots
        certificate = self._deployment.positions.certificate
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


_switch = partial(Operation, tag="admin", refusals=(409, 503))
_WHY = {"reason": {"by": "Ann", "reason": "the weekly bundle"}}
_EXAMPLE_SHARES = {"tenth": {"share": 0.1}, "none": {"share": 0}}
_CERTIFIED = {
    "state": "certified",
    "loss": 0.02,
    "confidence": 0.95,
    "policy_share": 0.75,
    "date": "2026-03-01",
    "analysis": "0" * 64,
    "lower_bound": -0.013,
    "estimate": 0.031,
    "by": "repricer certify",
}
RELOAD = _switch(
    text="Reload the bundle from its path: verify it, check its golden vectors, activate it, and keep the former one. "
    "With a share for canaries, it prices these markets first.",
    body=Throw,
    needs_body=False,
    examples=lambda _: _WHY,
)
ROLLBACK = _switch(
    text="Activate an earlier bundle again: by default the one that was active before; the one that it leaves is taken "
    "back. A second rollback must name its bundle.",
    body=Rollback,
    needs_body=False,
    examples=lambda _: _WHY,
)
PROMOTE = _switch(
    text="Activate the canary, and keep the former bundle.",
    body=Promotion,
    needs_body=False,
    examples=lambda _: _WHY,
)
KILL_SWITCH = _switch(
    text="Turn the kill switch on or off: while it is on, the fallback prices every market.",
    body=Switch,
    examples=lambda _: {"on": {"on": True, "reason": "prices look wrong"}, "off": {"on": False}},
)
HOLDOUT = _switch(
    text="Set the share of markets that the fallback prices, so that the gain of the policy can be measured.",
    body=HoldoutShare,
    examples=lambda _: _EXAMPLE_SHARES,
)
CANARY = _switch(
    text="Let the bundle at the path, which must be newer, price a share of the markets; with 0, take it back.",
    body=CanaryShare,
    examples=lambda _: _EXAMPLE_SHARES,
)
CERTIFICATE = _switch(
    text="Record what is certified of the policy's prices; switches nothing by itself.",
    body=Certificate,
    examples=lambda _: {"certified": _CERTIFIED},
)


def switch_routes(deployment: Deployment, operator: Executor) -> Routes:
    """The routes of the switches; each answers with the position of all switches afterwards.

    Args:
        deployment: Whose switches they are.
        operator: Where they are thrown: as a bundle takes a while to verify, and uploads never hold a kill switch up.
    """

    async def thrown(operation: Operation, throw: Callable[..., Any], call: Call) -> Response:
        may_be_empty = not operation.needs_body
        body = operation.body() if may_be_empty and not call.body else read_body(call.body, operation.body)
        by = call.caller or body.by or "unnamed"
        await asyncio.get_running_loop().run_in_executor(operator, throw, body, by, body.reason)
        return JSONResponse(deployment.status())

    def switch(throw: Callable[..., Any], operation: Operation) -> Endpoint:
        return Endpoint(partial(thrown, operation, throw), operation)

    return {
        "POST /v1/admin/reload": switch(lambda _, *by: deployment.reload(*by), RELOAD),
        "POST /v1/admin/rollback": switch(lambda body, *by: deployment.rollback(*by, to=body.bundle), ROLLBACK),
        "POST /v1/admin/promote": switch(lambda body, *by: deployment.promote(*by, unjudged=body.unjudged), PROMOTE),
        "PUT /v1/admin/kill-switch": switch(lambda body, *by: deployment.kill(body.on, *by), KILL_SWITCH),
        "PUT /v1/admin/holdout": switch(lambda body, *by: deployment.hold_out(body.share, *by), HOLDOUT),
        "PUT /v1/admin/canary": switch(lambda body, *by: deployment.try_newer(body.share, *by), CANARY),
        "PUT /v1/admin/certificate": switch(lambda body, *by: deployment.certify(_facts(body), *by), CERTIFICATE),
    }
