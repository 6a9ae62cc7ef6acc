"""`repricer export`: a training run as a signed bundle."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import emit, json_option, say, seed_option

_FILE = click.Path(path_type=Path)


@click.command("export")
@click.argument("run", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="New folder, or a bundle to replace.")
@click.option("--key", type=_FILE, help="Ed25519 private key (PEM) that signs [default: OUT.key.pem, made if missing].")
@seed_option
@json_option
def command(run: Path, out: Path, key: Path | None, seed: int, as_json: bool) -> None:
    """Write the policy that RUN learned as a bundle: ONNX, price rules, catalogue, golden vectors, signature."""
    from ..agents import load_run
    from ..serving import export, load_bundle
    from ..serving.signing import own_key_paths

    bundle = load_bundle(export(load_run(run), out, key=key, seed=seed))
    private, public = own_key_paths(out) if key is None else (key, None)
    if as_json:
        facts = {"bundle": str(out), "digest": bundle.digest, "policy": bundle.policy.name, "key": str(private)}
        emit(facts | {"public_key": None if public is None else str(public)})
        return
    say(f"written to {out}: {bundle.policy.name} for {bundle.scenario}, {bundle.digest[:12]}; signed by {private}")
    if public is not None:
        say(f"keep {private} secret and away from the server; load the bundle with --public-key {public}")
