"""`repricer export`: write a training run as a signed bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import emit, episodes_option, json_option, key_option, say, seed_option, setting

if TYPE_CHECKING:
    from ..agents import Run
    from ..serving.exporter.holding import Holding

_FILE = click.Path(path_type=Path)


@click.command("export")
@click.argument("run", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="New folder, or a bundle to replace.")
@click.option("--key", type=_FILE, help="Ed25519 private key (PEM) that signs [default: OUT.key.pem, made if missing].")
@click.option(
    "--policy",
    "prices",
    type=click.Choice(["recommended", "learned", "best-fixed", "regular", "current"]),
    help="Which prices the bundle holds.  [default: recommended, where the market has a posterior; else learned]",
)
@click.option("--scenario", help="Scenario that a Stable-Baselines3 archive was trained on; only for RUN.zip.")
@click.option("--algo", help="Algorithm that it was trained with; only for RUN.zip.")
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="KEY=VALUE",
    help="Training setting, such as product_wise=true; only for RUN.zip.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt the bundle with the key of --key-from.")
@key_option
@episodes_option
@seed_option
@json_option
def command(
    run: Path,
    out: Path,
    key: Path | None,
    prices: str | None,
    scenario: str | None,
    algo: str | None,
    values: tuple[str, ...],
    encrypt: bool,
    episodes: int,
    seed: int,
    as_json: bool,
) -> None:
    """Write the recommended prices, or the policy that RUN learned, as a bundle: ONNX, price rules,
    catalogue, golden vectors, signature.

    RUN is a run folder, or an archive written by Stable-Baselines3's model.save, of which only
    tensors and plain JSON are read: its pickles are never executed. The policy is evaluated first,
    and the figures go into the manifest. Where the market has a posterior, the evaluation also
    recommends prices: the learned ones, the best fixed ones, a blend of either with the current
    prices, or no change, which makes a bundle of the current prices.
    """
    from ..evaluation import evaluate
    from ..serving import export, load_bundle
    from ..serving.bundle.signing import own_key_paths

    learned = _run(run, scenario, algo, values)
    comparison = evaluate(learned.spec, [learned.policy], episodes=episodes, seed=seed).to_dict()
    holding = holding_of(prices, comparison)
    judged = replace(learned, evaluation=comparison)
    bundle = load_bundle(export(judged, out, holding=holding, key=key, seed=seed, encrypt=encrypt))
    private, public = own_key_paths(out) if key is None else (key, None)
    if as_json:
        facts = {"bundle": str(out), "digest": bundle.digest, "policy": bundle.policy.name, "key": str(private)}
        facts["holds"] = bundle.manifest["holds"]
        emit(facts | {"public_key": None if public is None else str(public)})
        return
    say(holds_line(bundle.manifest))
    say(f"written to {out}: {bundle.policy.name} for {bundle.scenario}, {bundle.digest[:12]}; signed by {private}")
    if public is not None:
        say(f"keep {private} secret and off the server; load the bundle with --public-key {public}")


def holding_of(prices: str | None, comparison: dict[str, Any]) -> Holding:
    """What `--policy` means: which prices a bundle holds, and whether they are
    the recommended ones.

    Args:
        prices: The option; None for its default.
        comparison: As `Comparison.to_dict` gives it.
    """
    from ..serving.exporter.holding import Holding, recommended_holding

    best = recommended_holding(comparison)
    if prices == "recommended" and best.recommended is None:
        raise ValueError(
            "--policy recommended needs a market with a posterior, as fit writes it; got one without; give --policy learned"
        )
    if prices in (None, "recommended"):
        return best
    found = Holding(prices)
    same = (found.prices, found.toward_current) == (best.prices, best.toward_current)
    return replace(found, recommended=None if best.recommended is None else same)


def holds_line(manifest: dict[str, Any]) -> str:
    """Which prices a bundle holds, in one line.

    Args:
        manifest: The bundle's.
    """
    holds, judged = manifest["holds"], manifest["evaluation"].get("uncertainty")
    if holds["recommended"] and holds["prices"] == "current":
        return "the bundle holds your current prices: no change is recommended"
    if holds["recommended"] is not False:
        return f"the bundle holds {holds['words']}" + ", which are recommended" * bool(holds["recommended"])
    other = judged["words"] if judged["recommended"] else "no change"
    return f"note: the bundle holds {holds['words']}; recommended: {other}"


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
