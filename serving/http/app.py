"""The price service as an ASGI application. Needs the `serve` extra.

A request goes through the `gate` to a route of `prices`, `questions`, `admin`, `desk_routes` or `page`. They answer
by the policies of the `deployment`, whose transitions are those of the `switchboard` and events of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from starlette.applications import Starlette

from ..bundle.files import BundleError, read_files
from ..decision_log.log import DecisionLog, temporary_log
from ..decision_log.storage import LogError
from ..documents import FilePath
from ..sample_states import example_state
from .admin import Status, switch_routes
from .canary.guards import GuardRules
from .closing import is_closed
from .deployment import Deployment
from .desk import Desk
from .desk_routes import desk_routes
from .gate.application import guarded
from .gate.checks import MAX_BODY
from .page.assets import asset_routes
from .page.current_prices import current_price_routes
from .page.price_list import price_list_routes
from .prices import PriceRoutes, Recent
from .questions import question_routes
from .settings import ServiceSettings
from .switchboard import DeploymentError

__all__ = ["MAX_BODY", "ServiceSettings", "create_app"]
_ASIDE = 2
"""Large requests and questions that are computed at the same time."""
_OPERATOR = 4
"""Switches that are thrown at the same time, one of them by what other instances threw."""
_log = logging.getLogger(__name__)


def create_app(
    bundle_path: FilePath,
    *,
    public_key: FilePath | None = None,
    log: FilePath | None = None,
    settings: ServiceSettings | None = None,
    guards: GuardRules | None = None,
) -> Starlette:
    """The service of one bundle, with its `Deployment` as `app.state.deployment`.

    Args:
        bundle_path: Folder of the bundle.
        public_key: PEM file of the key that must have signed the bundle; any key by default.
        log: File or database URL of the decision log, in which every price is recorded before it is returned; by
            default a temporary file, which ends with the process.
        settings: How the service runs.
        guards: What the guards of a newer bundle on trial judge by.

    Raises:
        ValueError: The service cannot start; the message is one line.
    """
    settings = settings or ServiceSettings()
    if log is None or ("://" not in str(log) and not Path(log).is_file()):
        read_files(Path(bundle_path))  # where there is no bundle, no log is made
    decisions = temporary_log() if log is None else DecisionLog(log)
    deployment = Deployment(bundle_path, settings, public_key=public_key, log=decisions, guards=guards)
    aside = ThreadPoolExecutor(_ASIDE, "aside")
    operator = ThreadPoolExecutor(_OPERATOR, "operator")
    recent = Recent()
    status = Status(deployment, decisions)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(deployment.follow(operator))
        yield
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        status.is_stalled = not await is_closed(decisions)
        for pool in (aside, operator):
            pool.shutdown(wait=False, cancel_futures=True)
        _log.info("stopped")

    routes = {**PriceRoutes(deployment, decisions, recent, aside).routes(), **status.routes()}
    routes |= switch_routes(deployment, operator)
    routes |= question_routes(deployment, decisions, aside)
    has_list = settings.price_list is not None
    if settings.price_list is not None:
        routes |= desk_routes(Desk(settings.price_list, lambda: deployment.bundle, decisions))
    routes |= asset_routes(lambda: deployment.bundle, routes)
    routes |= current_price_routes(deployment, recent, decisions, has_price_list=has_list)
    if has_list:
        routes |= price_list_routes(lambda: deployment.bundle, alone=False)
    # With all fields and spaces, a state is longer than the example.
    state_bytes = 2 * len(orjson.dumps(example_state(deployment.bundle.catalogue)))
    app = guarded(routes, settings, state_bytes, deployment.metrics.requests, lifespan)
    app.state.deployment = deployment
    app.state.decisions = decisions
    app.state.status = status
    app.state.reload = lambda by: reload_quietly(deployment, by)
    return app


def reload_quietly(deployment: Deployment, by: str) -> None:
    """Reload the bundle and log a failure, for callers that cannot handle one."""
    try:
        deployment.reload(by)
    except (BundleError, DeploymentError, LogError) as error:
        _log.error("reload refused", extra={"facts": {"reason": str(error)}})
