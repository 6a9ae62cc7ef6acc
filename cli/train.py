"""`repricer train`: train a pricing policy on a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.market_folder import in_zone, part_folders, spread, zone_folders
from ..planning.progress import beside_plan, training_bar
from ._options import (
    FILE,
    OUT,
    emit,
    figures_table,
    gone_option,
    json_option,
    say,
    seed_option,
    set_option,
    setting,
    show,
)
from ._policies import policy_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..agents import Run


_ALONE = "shops fit demand together with `repricer federate`, and each trains a policy of its own; leave it out"


def _known(_context: click.Context, _option: click.Parameter, algo: str) -> str:
    """The algorithm, if there is one of this name."""
    from ..agents.algorithms import algorithm

    return algorithm(algo).name


@click.command(name="train")
@click.argument("scenario")
@click.option(
    "--algo", default="ppo", show_default=True, callback=_known, help="ppo, a2c, recurrent-ppo, sac, td3, tqc or dqn."
)
@click.option("--steps", type=click.IntRange(min=1), help="Training steps in the simulated market.  [default: 300000]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda; small networks stay on the CPU.")
@click.option("--out", "folder", type=OUT, help="Run folder; the same call resumes it.")
@click.option("--preset", type=FILE, help="File of settings, such as the best.toml of `repricer tune`.")
@click.option("--clone", "teacher", metavar="P", help="Imitate this policy first: a run folder, a bundle or a rule.")
@gone_option(
    "--log", "imitate a policy with --clone, or learn from a log alone with d3rlpy (docs/use_it_with.md)", refused=True
)
@click.option(
    "--risk",
    metavar="mean|cvar:SHARE",
    help="What counts over the posterior draws of a fitted market: the mean, or the gain in the worst draws (cvar:0.1).",
)
@click.option(
    "--assortment",
    "assortments",
    multiple=True,
    metavar="SCENARIO",
    help="Learn in this market too, say another assortment or store of the shop; repeatable.",
)
@gone_option("--shops", _ALONE, refused=True)
@gone_option("--shops-number", _ALONE, refused=True)
@gone_option("--shop-name", _ALONE, refused=True)
@gone_option("--shops-key", _ALONE, refused=True)
@gone_option("--wandb", "`wandb sync RUN/tensorboard` sends a run's figures; leave it out", refused=True)
@set_option
@seed_option
@json_option
def command(
    scenario: str, algo: str, folder: Path | None, teacher: str | None, seed: int, as_json: bool, **options: Any
) -> None:
    """Train a pricing policy on SCENARIO, a registered name or a path, and keep the best one.

    Of a catalogue in parts (`repricer fit --at-once`) one policy learns in up to eight parts, spread over
    the catalogue, and prices the products of all. Of a folder of price zones (`repricer fit --by zone`) each zone has a
    policy of its own, in a folder of --out; the same call goes on where it was interrupted.
    """
    zones = zone_folders(scenario)
    if not zones:
        run, own = _trained(scenario, algo, folder, teacher=teacher, seed=seed, **options)
        if as_json:
            emit({"run": str(own), **run.facts, "history": run.history})
            return
        for line in _lines(run, algo):
            say(line)
        say(f"Run folder: {own}. Next: repricer evaluate {scenario} --policy {own}")
        return
    folder = folder or Path("runs") / f"{Path(scenario).resolve().name}-{algo}-{seed}"
    runs = {}
    for zone, market in zones.items():
        learned = teacher and in_zone(teacher, zone)
        runs[zone], _ = _trained(str(market), algo, folder / zone, teacher=learned, seed=seed, **options)
    if as_json:
        emit({"run": str(folder), "zones": {zone: {**run.facts, "history": run.history} for zone, run in runs.items()}})
        return
    show(_zones_table(runs))
    say(f"Run folders: {folder}/ZONE. Next: repricer prices {scenario} --policy {folder} --out prices.xlsx")


def _zones_table(runs: dict[str, Run]) -> Table:
    """What each zone's policy earns on the validation customers; an episode is a run of its market."""
    figures = ("steps", "seconds", "an episode", "best fixed", "gain")
    table = figures_table(["zone"], figures, title="policies kept, on the validation customers")
    for zone, run in runs.items():
        best = run.facts["best"]
        earned = best["objective"]
        fixed = best["best_fixed"]
        gain = f"{earned / fixed - 1:+.2%}" if fixed > 0 else f"{best['gain']:+.4g}"
        cells = f"{best['steps']:,}", f"{run.facts['seconds']:.0f}", f"{earned:,.4g}", f"{fixed:,.4g}"
        table.add_row(zone, *cells, gain)
    return table


def _trained(
    scenario: str,
    algo: str,
    folder: Path | None,
    *,
    steps: int | None,
    assortments: tuple[str, ...],
    values: tuple[str, ...],
    teacher: str | None,
    **options: Any,
) -> tuple[Run, Path]:
    """The run of one market, and its folder."""
    from ..agents import train
    from ..agents.plan import plan_for
    from ..agents.run import keep_fit_report
    from ..scenarios import load_scenario

    scenario, *others = map(str, spread(part_folders(Path(scenario))))
    spec = load_scenario(scenario)
    seed = options["seed"]
    folder = folder or Path("runs") / f"{spec.name}-{algo}-{seed}"
    markets = [load_scenario(name) for name in (*assortments, *others)]
    given = dict(setting(v) for v in values)
    imitated = None if teacher is None else policy_of(teacher, spec, seed=seed)
    # What is wrong is refused before any progress is shown.
    risk = options["risk"]
    preset = options["preset"]
    steps = steps or 300_000
    plan_for(spec, algo, steps, seed, given | ({} if risk is None else {"risk": risk}), preset, imitated, markets)
    how = {"algo": algo, "steps": steps, "out": folder, "settings": given, "assortments": markets}
    with training_bar(f"training {spec.name}", spec.market.objective) as progress:
        run = train(spec, teacher=imitated, progress=progress, **how, **options)
    keep_fit_report(Path(scenario), folder)
    return run, folder


def _lines(run: Run, algo: str) -> Iterator[str]:
    """How the training went."""
    best = run.facts["best"]
    spec = run.spec
    # Whole rollouts, which may be a few steps more or less than was asked for.
    done = run.history[-1]["steps"] if run.history else run.facts["steps"]
    yield (
        f"Trained {algo} on {spec.name} for {done:,} steps in {run.facts['seconds']:.0f} s "
        f"on {run.facts['device']}; {run.facts['weights']:,} weights."
    )
    yield (
        f"Kept the policy of step {best['steps']:,}: "
        f"{spec.market.objective} {best['objective']:.4g} an episode on the "
        f"validation customers, best fixed price {best['best_fixed']:.4g}."
    )
    if "rows" in run.facts:
        yield f"In learning, {run.facts['rows']}."
    share = run.facts.get("teachers_share")
    if share is not None:
        parts = {"teacher": "the teacher", "imitated": "its imitation", "learned": "the best after it"}
        gains = ", ".join(f"{parts[name]} {gain:+.4g}" for name, gain in share.items())
        yield f"Gain over the best fixed price with {run.facts['teacher']}: {gains}."
    if run.facts.get("beside_plan"):
        yield beside_plan(run.facts) + "."
    if run.facts.get("kept") == "teacher":
        yield "Nothing that was learned earns as much as the teacher: its imitation is kept."
    if run.facts.get("kept") == "base-price":
        rule = run.facts["settings"]["base_price"]
        yield f"Nothing that was learned earns as much as the base price, the rule {rule}: it is kept."
    if run.facts.get("kept") == "best-fixed":
        yield "Nothing that was learned earns as much as the best fixed prices: those are kept."
    elif best["gain"] < 0:
        yield (
            f"The kept policy earns {-best['gain']:.4g} an episode less than the best fixed prices; train for more steps, "
            "or use the policy best-fixed."
        )
    gamma = run.facts["settings"].get("gamma")
    if spec.market.ending == "truncated" and spec.market.discount_factor == 1 and gamma is not None:
        yield (
            f"The market goes on for ever (ending truncated), so its future is discounted: gamma {gamma:g} a period; "
            "another one with --set gamma=."
        )
    if "worst_gain" in best:
        share = run.facts["settings"]["risk"].removeprefix("cvar:")
        gain = f"{best['worst_gain']:.4g} more than current prices on average"
        yield f"In the worst draws (share {share}) it earns {gain}."
