"""`repricer export`: write a training run as a signed bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import emit, episodes_option, json_option, say, seed_option, setting

if TYPE_CHECKING:
    from ..agents import Run

_FILE = click.Path(path_type=Path)


@click.command("export")
@click.argument("run", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="New folder, or a bundle to replace.")
@click.option("--key", type=_FILE, help="Ed25519 private key (PEM) that signs [default: OUT.key.pem, made if missing].")
@click.option("--scenario", help="Scenario that a Stable-Baselines3 archive was trained on; only for RUN.zip.")
@click.option("--algo", help="Algorithm that it was trained with; only for RUN.zip.")
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="KEY=VALUE",
    help="Training setting, such as product_wise=true; only for RUN.zip.",
)
@episodes_option
@seed_option
@json_option
def command(
    run: Path,
    out: Path,
    key: Path | None,
    scenario: str | None,
    algo: str | None,
    values: tuple[str, ...],
    episodes: int,
    seed: int,
    as_json: bool,
) -> None:
    """Write the policy that RUN learned as a bundle: ONNX, price rules, catalogue, golden vectors,
    signature.

    RUN is a run folder, or an archive written by Stable-Baselines3's model.save, of which only
    tensors and plain JSON are read: its pickles are never executed. The policy is evaluated first,
    and the figures go into the manifest.
    """
    from ..evaluation import evaluate
    from ..serving import export, load_bundle
    from ..serving.bundle.signing import own_key_paths

    learned = _run(run, scenario, algo, values)
    judged = evaluate(learned.spec, [learned.policy], episodes=episodes, seed=seed).to_dict()
    bundle = load_bundle(export(replace(learned, evaluation=judged), out, key=key, seed=seed))
    private, public = own_key_paths(out) if key is None else (key, None)
    if as_json:
        facts = {"bundle": str(out), "digest": bundle.digest, "policy": bundle.policy.name, "key": str(private)}
        emit(facts | {"public_key": None if public is None else str(public)})
        return
    for line in not_recommended(judged, learned.policy.name):
        say(line)
    say(f"written to {out}: {bundle.policy.name} for {bundle.scenario}, {bundle.digest[:12]}; signed by {private}")
    if public is not None:
        say(f"keep {private} secret and off the server; load the bundle with --public-key {public}")


def not_recommended(judged: dict[str, Any], policy: str) -> list[str]:
    """A line where the evaluation recommends other prices than those of the policy that a bundle holds.

    Args:
        judged: As `Comparison.to_dict` gives it.
        policy: Name of the learned policy.
    """
    found = judged.get("uncertainty")
    if found is None or found["recommended"] == policy:
        return []
    if found["recommended"] is None:
        return ["note: the bundle holds the learned prices; no change of the current prices is recommended"]
    return [f"note: the bundle holds the learned prices; {found['words']} are recommended"]


def _run(path: Path, scenario: str | None, algo: str | None, values: tuple[str, ...]) -> Run:
    from ..agents import load_archive, load_run

    if path.suffix == ".zip":
        if scenario is None or algo is None:
            raise click.UsageError("an archive does not safely tell what it was trained on: give --scenario and --algo")
        return load_archive(path, scenario, algo=algo, settings=dict(setting(value) for value in values))
    if scenario is not None or algo is not None or values:
        raise click.UsageError(
            "a run folder has its own scenario and algorithm: --scenario, --algo and --set are for RUN.zip"
        )
    return load_run(path)
