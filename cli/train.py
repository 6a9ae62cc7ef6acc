"""`repricer train`: learn prices in a scenario."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import emit, json_option, say, seed_option, setting, training_bar


@click.command(name="train")
@click.argument("scenario")
@click.option("--algo", default="ppo", show_default=True, help="Learning algorithm.")
@click.option("--steps", type=click.IntRange(min=1), default=300_000, show_default=True, help="Rows to learn from.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda; small networks stay on the CPU.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Run folder; the same call resumes it.")
@click.option(
    "--preset", type=click.Path(path_type=Path), help="File of settings, such as the best.toml of `repricer tune`."
)
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Override a preset's value; repeatable.")
@seed_option
@json_option
def command(
    scenario: str,
    algo: str,
    steps: int,
    device: str,
    folder: Path | None,
    preset: Path | None,
    values: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Learn prices in SCENARIO, a registered name or a path, and keep the best policy."""
    from ..agents import train
    from ..scenarios import load_scenario

    spec = load_scenario(scenario)
    folder = folder or Path("runs") / f"{spec.name}-{algo}-{seed}"
    with training_bar(f"training {spec.name}", spec.market.objective) as progress:
        run = train(
            spec,
            algo=algo,
            steps=steps,
            seed=seed,
            device=device,
            out=folder,
            settings=dict(setting(v) for v in values),
            preset=preset,
            progress=progress,
        )
    if as_json:
        emit({"run": str(folder), **run.facts, "history": run.history})
        return
    best = run.facts["best"]
    say(
        f"Trained {algo} on {spec.name} for {steps:,} steps in {run.facts['seconds']:.0f} s "
        f"on {run.facts['device']}; {run.facts['weights']:,} weights."
    )
    say(
        f"Kept the policy of step {best['steps']:,}: {spec.market.objective} {best['objective']:.4g} an episode on the "
        f"validation customers, best fixed price {best['best_fixed']:.4g}."
    )
    say(f"Run folder: {folder}. Next: repricer evaluate {scenario} --policy {folder}")
