"""`repricer desk`: the page on which a price list is decided."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from ..pricing.law import JURISDICTIONS
from ..serving.http.settings import AccessSettings, ServiceSettings
from ._listening import Listening, listening_options, run
from ._options import FILE, declared_option, json_option, key_option, output, public_key_option

_setting = functools.partial(declared_option, AccessSettings)


@click.command("desk")
@click.argument("price_list", metavar="LIST", type=FILE)
@click.option("--bundle", type=FILE, required=True, help="The bundle whose price rules hold.")
@listening_options(8002)
@click.option(
    "--log", help="Decision log that records decisions: SQLite file or postgresql:// URL. Needed to make a list live."
)
@public_key_option
@_setting("keys", type=FILE)
@_setting("hosts", "--allow-host", multiple=True, type=str)
@declared_option(ServiceSettings, "jurisdictions", "--jurisdiction", multiple=True, type=click.Choice(JURISDICTIONS))
@_setting("rate")
@click.option(
    "--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"])
)
@key_option
@json_option
def command(
    price_list: Path,
    bundle: Path,
    listening: Listening,
    log: str | None,
    public_key: Path | None,
    log_level: str,
    as_json: bool,
    jurisdictions: tuple[str, ...],
    **access: Any,
) -> None:
    """Show LIST, a price list of `repricer prices` or `cycle`, as a page: approve, override or postpone, and make it live.

    Decisions are checked against the price rules of --bundle at once and written into LIST, as `repricer approve` reads it.
    A list or bundle that is replaced meanwhile is read again.
    """
    from ..serving.http.desk_app import create_desk

    listening.check(access["keys"])
    if access["keys"] is None and not access["hosts"]:
        # A page of another site can give this machine's address a name of its own.
        access["hosts"] = listening.own_hosts
    burst = min(max(2 * access["rate"], 1.0), 1e9)
    app = create_desk(
        price_list,
        bundle,
        public_key=public_key,
        log=log,
        jurisdictions=jurisdictions,
        settings=AccessSettings(burst=burst, **access),
    )
    output(as_json, {"url": listening.url, "list": str(price_list)}, f"{price_list} at {listening.url}")
    sys.stdout.flush()
    run(app, listening, log_level=log_level)
