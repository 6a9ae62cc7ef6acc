"""`repricer serve`: answer price requests over HTTP."""

from __future__ import annotations

import functools
import gc
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..pricing.law import JURISDICTIONS
from ..serving.http.settings import ServiceSettings
from ._listening import Listening, listening_options, run
from ._options import (
    FILE,
    Number,
    declared_option,
    gone_option,
    json_option,
    key_option,
    output,
    public_key_option,
    say_aside,
    seed_option,
)

_setting = functools.partial(declared_option, ServiceSettings)


@click.command("serve")
@click.argument("bundle", type=FILE)
@listening_options(8000)
@gone_option(
    "--workers",
    "one process answers: start another service with the same --log on another port, and a proxy before both "
    "(deploy/haproxy)",
)
@gone_option(
    "--shadow", "put the other bundle on trial with a small share (PUT /v1/admin/canary): its guards compare both"
)
@gone_option("--watch", "send SIGHUP, or POST /v1/admin/reload, once the bundle is there")
@gone_option("--otel", "let OpenTelemetry's collector read /metrics (its Prometheus receiver)", is_flag=True)
@click.option(
    "--drain",
    default=0.0,
    show_default=True,
    type=Number(0, 3600),
    help="Seconds from SIGTERM, when /readyz begins to say no, to the end: time for a load balancer to see it.",
)
@click.option(
    "--log",
    help="Decision log: SQLite file or postgresql:// URL. Every price is recorded before it is returned.  "
    "[default: BUNDLE.log.db]",
)
@click.option("--switches", type=FILE, hidden=True, help="File of an earlier version that kept the switches.")
@public_key_option
@_setting("keys", type=FILE)
@_setting("hosts", "--allow-host", multiple=True, type=str)
@_setting("fallback")
@_setting("holdout")
@_setting("canary")
@_setting("jurisdictions", "--jurisdiction", multiple=True, type=click.Choice(JURISDICTIONS))
@_setting("killed", "--kill-switch")
@_setting("price_list", "--price-list", type=FILE, hidden=True)
@_setting("rate")
@click.option(
    "--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"])
)
@key_option
@seed_option
@json_option
def command(
    bundle: Path,
    listening: Listening,
    drain: float,
    log: str | None,
    switches: Path | None,
    public_key: Path | None,
    log_level: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Answer price requests with the policy in BUNDLE: POST /v1/prices, and a page at /.

    SIGHUP reloads the bundle; SIGTERM lets requests in progress finish.
    """
    listening.check(settings["keys"])
    if settings["keys"] is None and not settings["hosts"]:
        # Against DNS rebinding: a page of another site could reach the service by giving this machine's address a name
        # of its own.
        settings["hosts"] = listening.own_hosts
    log = log or f"{bundle.absolute()}.log.db"
    if settings["price_list"] is not None:
        say_aside(_desk_line(bundle, settings["price_list"]))
    _adopt(switches or Path(f"{bundle.absolute()}.switches.db"), log)
    burst = min(max(2 * settings["rate"], 1.0), 1e9)
    app = _started(bundle, public_key=public_key, log=log, settings=ServiceSettings(burst=burst, **settings))
    _reload_on_hangup(app.state.reload)
    _announce(app.state.deployment.bundle, listening.url, as_json)
    run(app, listening, log_level=log_level, drain=drain)


def _desk_line(bundle: Path, price_list: Path) -> str:
    """What serves the page of a price list from now on."""
    words = shlex.join(["repricer", "desk", str(price_list), "--bundle", str(bundle)])
    return f"serve --price-list will be gone in the next release; the page runs by itself: {words} --log LOG"


def _adopt(switches: Path, log: str) -> None:
    """Read the file in which an earlier version kept the switches, once."""
    from ..serving import DecisionLog

    if not switches.is_file():
        return
    with closing(DecisionLog(log)) as decisions:
        if decisions.adopt(switches):
            say_aside(f"the switches of {switches} are now events of {log}; that file is no longer read")


def _started(*given: Any, **more: Any) -> Any:
    """The application. What is made meanwhile stays: to look for garbage among it would take an
    eighth of the start, and during requests longer than an answer.
    """
    gc.disable()
    try:
        from ..serving.http.app import create_app
        from ..serving.http.processes import server  # noqa: F401  to be permanent, too

        app = create_app(*given, **more)
        gc.freeze()
    finally:
        gc.enable()
    return app


def _announce(served: Any, url: str, as_json: bool) -> None:
    facts = {"url": url, "policy": served.policy.name, "bundle": served.digest, "trust": served.trust}
    line = f"{served.policy.name} for {served.scenario} ({served.trust}) at {url}, documented at {url}/docs"
    output(as_json, facts, line)
    sys.stdout.flush()


def _reload_on_hangup(reload: Callable[[str], None]) -> None:
    """Reload on SIGHUP, in a thread: verifying a bundle takes a while, and requests continue meanwhile."""

    def hang_up(*_: object) -> None:
        threading.Thread(target=reload, args=("hang-up signal",), daemon=True).start()

    # Not every system has the signal, and only the main thread may set it.
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, hang_up)
