"""`repricer serve`: a bundle behind HTTP."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ._options import emit, json_option, say

_FILE = click.Path(path_type=Path)


@click.command("serve")
@click.argument("bundle", type=_FILE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--log", help="Decision log: SQLite file or postgresql:// URL. No price is given that is not recorded.")
@click.option("--public-key", type=_FILE, help="PEM file of the key that must have signed the bundle.")
@json_option
def command(bundle: Path, host: str, port: int, log: str | None, public_key: Path | None, as_json: bool) -> None:
    """Answer price requests from the policy in BUNDLE: POST /v1/prices."""
    import uvicorn

    from ..serving.service import create_app

    app = create_app(bundle, public_key=public_key, log=log)
    served, url = app.state.bundle, f"http://{host}:{port}"
    if as_json:
        emit({"url": url, "policy": served.policy.name, "bundle": served.digest, "trust": served.trust})
        sys.stdout.flush()
    else:
        say(f"{served.policy.name} for {served.scenario} ({served.trust}) at {url}, described at {url}/docs")
    # The access log goes to standard output, which is the JSON document's.
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)
