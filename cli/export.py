"""`repricer export`: a training run as a signed bundle."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command("export")
@click.argument("run", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="New folder, or a bundle to replace.")
@click.option("--key", type=_FILE, help="Ed25519 private key (PEM) that signs [default: OUT.key.pem, made if missing].")
@click.option("--seed", default=0, show_default=True, help="Picks the market states of the golden vectors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(run: Path, out: Path, key: Path | None, seed: int, as_json: bool) -> None:
    """Write the policy that RUN learned as a bundle: ONNX, price rules, catalogue, golden vectors, signature."""
    from ..agents import load_run
    from ..serving import export, load_bundle
    from ..serving.signing import own_key_paths

    bundle = load_bundle(export(load_run(run), out, key=key, seed=seed))
    private, public = own_key_paths(out) if key is None else (key, None)
    if as_json:
        facts = {"bundle": str(out), "digest": bundle.digest, "policy": bundle.policy.name, "key": str(private)}
        click.echo(json.dumps(facts | {"public_key": None if public is None else str(public)}))
        return
    click.echo(
        f"written to {out}: {bundle.policy.name} for {bundle.scenario}, {bundle.digest[:12]}; signed by {private}"
    )
    if public is not None:
        click.echo(f"keep {private} secret and away from the server; load the bundle with --public-key {public}")
