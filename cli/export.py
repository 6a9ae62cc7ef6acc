"""`repricer export`: write a training run as a signed bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_whole
from ..planning.progress import progress_bar
from ._options import (
    FILE,
    OUT,
    Number,
    count_option,
    episodes_option,
    gone_option,
    json_option,
    key_option,
    output,
    say,
    seed_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..agents import Run
    from ..scenarios import MarketSpec
    from ..serving.exporter.holding import Holding

_NO_POSTERIOR = (
    "--policy recommended needs a market with a posterior, as fit writes it; got one without; give --policy learned"
)
_ARCHIVE = (
    "of a model that Stable-Baselines3 saved, load it with its class and export `repricer.policy_from(model, SCENARIO)`"
)


@click.command("export")
@click.argument("run", type=FILE)
@click.option("--out", type=OUT, required=True, help="New folder, or a bundle to replace.")
@click.option("--key", type=FILE, help="Ed25519 private key (PEM) that signs [default: OUT.key.pem, made if missing].")
@click.option(
    "--policy",
    "prices",
    type=click.Choice(["recommended", "learned", "best-fixed", "regular", "current"]),
    help="Which prices the bundle holds.  [default: recommended, where the market has a posterior; else learned]",
)
@click.option(
    "--scenario",
    help="Another market of the shop, such as a part of its catalogue, whose products the policy of RUN prices.",
)
@gone_option("--algo", _ARCHIVE, refused=True)
@gone_option("--set", _ARCHIVE, refused=True, multiple=True)
@click.option(
    "--compress",
    "method",
    type=click.Choice(["small", "tree", "prune"]),
    help="Put a smaller policy in the place of the learned one: a small network, a decision tree, whose rules are written to "
    "OUT.rules.txt, or the network without its weakest units.",
)
@click.option(
    "--size",
    type=Number(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Parameters of the smaller network, as a share of the learned one's.",
)
@count_option("--leaves", 16, "Most leaves of the tree.", least=2)
@click.option(
    "--least-kept",
    "least",
    type=float,
    default=0.95,
    show_default=True,
    help="Refuse a smaller policy that keeps less of the gain over the best fixed prices.",
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
    encrypt: bool,
    method: str | None,
    episodes: int,
    seed: int,
    as_json: bool,
    **limits: Any,
) -> None:
    """Write the recommended prices, or the policy that RUN learned, as a bundle: ONNX, price rules,
    catalogue, golden vectors, signature.

    RUN is a run folder. The policy is evaluated first, and the figures go into the manifest. Where the market has a posterior, the evaluation also
    recommends prices: the learned ones, the best fixed ones, a blend of either with the current
    prices, or no change, which makes a bundle of the current prices.
    """
    from ..evaluation import evaluate
    from ..serving import export, load_bundle
    from ..serving.bundle.files import own_key_paths
    from ..serving.exporter.holding import Holding, holds_line

    learned = _run(run, scenario, seed)
    rules = None
    _check_asked(learned.spec, prices, out, key)
    if method == "tree" and encrypt:
        raise ValueError("--compress tree writes its rules as plain text; got --encrypt; give --compress small")
    if method is not None:
        if prices not in (None, "recommended"):
            _check_learned(Holding(prices))
        learned, rules = _compressed(learned, method, limits | {"seed": seed}, (lambda _: None) if as_json else say)
    comparison = evaluate(learned.spec, [learned.policy], episodes=episodes, seed=seed).to_dict()
    holding = holding_of(prices, comparison)
    if method is not None:
        _check_learned(holding)
    judged = replace(learned, evaluation=comparison)
    bundle = load_bundle(export(judged, out, holding=holding, key=key, seed=seed, encrypt=encrypt))
    private, public = own_key_paths(out) if key is None else (key, None)
    if rules is not None:
        write_whole(out.with_name(f"{out.name}.rules.txt"), rules)
    facts = {"bundle": str(out), "digest": bundle.digest, "policy": bundle.policy.name, "key": str(private)}
    facts |= {"holds": bundle.manifest["holds"], "public_key": public and str(public)}
    line = f"written to {out}: {bundle.policy.name} for {bundle.scenario}, {bundle.digest[:12]}; signed by {private}"
    secret = f"keep {private} secret and off the server; load the bundle with --public-key {public}" if public else None
    output(as_json, facts, holds_line(bundle.manifest), line, secret)


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
        raise ValueError(_NO_POSTERIOR)
    if prices in (None, "recommended"):
        return best
    found = Holding(prices)
    same = (found.prices, found.toward_current) == (best.prices, best.toward_current)
    return replace(found, recommended=None if best.recommended is None else same)


def _check_asked(spec: MarketSpec, prices: str | None, out: Path, key: Path | None) -> None:
    """What would otherwise be refused after the evaluation."""
    from ..serving.bundle.files import check_target, read_private_key
    from ..serving.exporter.holding import Holding, check_orders

    check_target(out)
    if key is not None:
        read_private_key(key)
    if prices == "recommended" and not spec.num_draws:
        raise ValueError(_NO_POSTERIOR)
    if prices not in (None, "recommended"):
        check_orders(spec, Holding(prices))


def _check_learned(holding: Holding) -> None:
    if not holding.learned:
        which = ", which are recommended" * bool(holding.recommended)
        raise ValueError(f"--compress is for learned prices; got {holding.words}{which}; give --policy learned")


def _compressed(run: Run, method: str, given: dict[str, Any], tell: Callable[[str], None]) -> tuple[Run, str | None]:
    """A smaller policy in the place of the learned one, and the rules of a tree."""
    from ..serving.exporter.compression import compress

    with progress_bar(f"rounds of {method}", counted=True) as bar:
        task = bar.add_task("", total=None)
        done = compress(run, method, on_round=lambda n, of: bar.update(task, completed=n, total=of), **given)
    tell(done.words)
    return done.run, done.rules


def _run(path: Path, scenario: str | None, seed: int) -> Run:
    from ..agents import load_run
    from ..agents.run import kept_fit_record
    from ..scenarios import load_scenario

    if path.suffix == ".zip":
        raise ValueError(f"RUN must be a run folder; got {path}; {_ARCHIVE}")
    run = load_run(path)
    if scenario is None:
        return run
    return run.in_market(load_scenario(scenario), seed=seed, refit=kept_fit_record(Path(scenario)))
