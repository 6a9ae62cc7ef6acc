"""`repricer bench`: the speed of this machine, and predicted against realised gains."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_whole
from ..planning.progress import progress_bar, progress_console
from ._options import FILE, OUT, count_option, figures_table, json_option, output, place_option, say_aside, seed_option

if TYPE_CHECKING:
    from collections.abc import Callable


_SPEED = ("market", "learner", "serving", "gpu")
_FAMILIES = (
    "clean, seasonal, promoted, segments, stores, scarce, drifting, short, endogenous, endogenous-blind, "
    "endogenous-category, stockpiling, misspecified, regular-and-deal, nested-deals, chain-deals"
)

_INTERVALS = "Paired with the best path on the same test customers; 95% intervals over customers and training seeds."


@click.group("bench", invoke_without_command=True)
@seed_option
@json_option
@click.pass_context
def command(context: click.Context, seed: int, as_json: bool) -> None:
    """Measure the speed of the market, the learner, the price service and of learning on a GPU; or
    of one of them, or the gains.

    The figures of speed are medians in CPU seconds, on one thread, those of a GPU by the clock;
    ratios refer to a baseline measured in the same run. `repricer bench uplift` compares predicted with realised gains,
    `repricer bench estimates` estimated with true responses to regular prices.
    """
    if importlib.util.find_spec("repricer.benchmarks") is None:
        raise ValueError(
            "repricer bench must run in a checkout of the repository, which holds the benchmarks; got an installed package, "
            "which has none; clone the repository, and run make bench there"
        )
    if context.invoked_subcommand is None:
        _measure(_SPEED, as_json)


def _register(name: str, what: str) -> None:
    @command.command(name, help=f"Measure the speed of {what}.")
    @seed_option
    @json_option
    def one(seed: int, as_json: bool) -> None:
        _measure((name,), as_json)


for _name, _what in zip(_SPEED, ("the market", "the learner", "the price service", "learning on a GPU"), strict=True):
    _register(_name, _what)


def _measure(names: tuple[str, ...], as_json: bool) -> None:
    from ..benchmarks.timing import SkippedError

    tables = {}
    for one in names:
        try:
            tables[one] = importlib.import_module(f"...benchmarks.{one}", __name__).table()
        except SkippedError as reason:
            say_aside(f"{one}: {reason}")
    shown = []
    for title, rows in tables.items():
        table = figures_table(["what", "unit"], ["per second", "ratio"], title=title)
        for row in rows:
            table.add_row(row["what"], row["unit"], f"{row['per_second']:,.0f}", f"{row['ratio']:.1f}")
        shown.append(table)
    output(as_json, {"python": platform.python_version(), "machine": platform.machine(), "tables": tables}, *shown)


@command.command("light")
@click.argument("runs", type=FILE, nargs=-1)
@json_option
def light(runs: tuple[Path, ...], as_json: bool) -> None:
    """Measure smaller policies of RUNS, run folders, or of four markets on which it trains first.

    For each method of `repricer export --compress`, and for int8: parameters, bytes, latency and the share of the
    gain that is kept.
    """
    from ..benchmarks.light import show as table_of
    from ..benchmarks.light import table

    rows = table(runs)
    output(as_json, {"rows": rows}, table_of(rows))


@command.command("feedback")
@click.argument("markets", nargs=-1)
@click.option("--out", type=OUT, default="runs/feedback", show_default=True, help="Folder of the rows; resumes.")
@json_option
def feedback(markets: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Compare agents with the best path of prices by period, in MARKETS, or in all of the table.

    A path does not look at what happens: what PPO and recurrent PPO earn beyond it is what feedback earns. Beside
    them stand the best fixed prices, the shop's plan, and who knows more: the exact optimum, or the best path scaled
    for each posterior draw.
    """
    from ..benchmarks.feedback import HEADINGS, cells
    from ..benchmarks.feedback import table as table_of

    rows = table_of(markets, out, on_step=lambda step: click.echo(step, err=True))
    shown = figures_table(HEADINGS[:2], HEADINGS[2:], title="money of an episode", caption=_INTERVALS)
    for row in rows:
        shown.add_row(*cells(row))
    output(as_json, {"rows": rows}, shown)


@command.command("uplift")
@count_option("--shops", 6, "Number of shops.")
@click.option("--truth", metavar="FAMILY", default="clean", show_default=True, help=f"What the shops are: {_FAMILIES}.")
@click.option("--products", type=int, default=12, show_default=True, help="12 in 2 categories, or 30 in 5.")
@click.option("--weeks", type=click.IntRange(min=1), help="Weeks of history.  [default: 104; short: 40]")
@click.option(
    "--bounds",
    default="free",
    show_default=True,
    help="Price bounds: free (.5 to 1.3 of regular), default (of fit), charged, charged+10% or charged+20% (and beyond).",
)
@click.option("--steps", type=int, default=20_000, show_default=True, help="Training steps.")
@click.option("--forecaster", default="moving-average", show_default=True, help="Demand model, as for `repricer fit`.")
@click.option("--out", type=OUT, default="runs/uplift", show_default=True, help="Folder of the results; resumes.")
@place_option
@click.option("--jobs", type=click.IntRange(min=1), help="Processes on this machine.  [default: one per core]")
@seed_option
@json_option
def uplift(shops: int, out: Path, on: str, jobs: int | None, seed: int, as_json: bool, **given: Any) -> None:
    """Compare predicted with realised gains on synthetic shops whose customers are known.

    Each shop writes its tables as CSV files. They are imported, a market is fitted, a policy is
    trained and evaluated, and the recommended prices are charged in the true market, for which
    expected profit is known. Gains are over regular prices, in the weeks of the fitted market; for
    regular-and-deal, nested-deals and chain-deals, over the shop's current prices with their deals.
    """
    from ..benchmarks.uplift import StudySettings, run_study, summarise
    from ..benchmarks.uplift.study import plot_gains
    from ..jobs import Place

    place = Place.asked(on, jobs)
    settings = StudySettings(**given)
    with progress_bar("shops", counted=True) as bar:
        rows = run_study(settings, range(seed, seed + shops), out, place=place, on_shop=_moving(bar, _gain_line))
    summary = summarise(rows)
    chart = out / f"{settings.truth}-{settings.products}-{settings.bounds}.svg"
    title = f"{settings.truth}: {len(rows)} shops of {settings.products} products"
    write_whole(chart, plot_gains(rows, title).svg)
    document = {"settings": settings.to_dict(), "shops": rows, "summary": summary, "plot": str(chart)}
    table = figures_table(
        [],
        _FIGURES,
        title="predicted and realised gain",
        caption="Covered: realised gain within the predicted 90% interval (below it, above it). Factor: how many times as wide the "
        "intervals would have to be for 90% of the shops with a change. Of best: mean realised gain over that of the best prices "
        "within the same price rules. Halves: predicted gain over current prices by the half of the sales "
        "that found the prices, and by the other half. Share: realised profit over theirs; regular, current: that of "
        "regular and of current prices. Loses: realised profit more than 1% below that of regular prices, below that of "
        "current prices. No change: current prices recommended.",
    )
    table.add_row(*(form.format(**summary) for form in _FIGURES.values()))
    output(as_json, document, *settings.lines(), table, f"Results: {out}. Plot: {chart}")


@command.command("estimates")
@count_option("--shops", 6, "Number of shops.")
@click.option("--products", type=int, default=12, show_default=True, help="12 in 2 categories, or 30 in 5.")
@click.option("--weeks", type=click.IntRange(min=1), help="Weeks of history.  [default: 104]")
@click.option("--out", type=OUT, default="runs/estimates", show_default=True, help="Folder of the results; resumes.")
@place_option
@click.option("--jobs", type=click.IntRange(min=1), help="Processes on this machine.  [default: one per core]")
@seed_option
@json_option
def estimates(shops: int, out: Path, on: str, jobs: int | None, seed: int, as_json: bool, **given: Any) -> None:
    """Compare estimated with true responses to regular prices, in chains with frequent deals that stores sit out.

    The shops are those of `repricer bench uplift --truth chain-deals`. Stores are compared with each other twice: as
    `repricer fit` does, which leaves out the weeks in which most stores are on deal, and with these weeks.
    """
    from ..benchmarks.uplift import StudySettings, run_estimates, summarise_estimates
    from ..benchmarks.uplift.history import CHAIN_DEALS
    from ..jobs import Place

    place = Place.asked(on, jobs)
    settings = StudySettings(CHAIN_DEALS, **given)
    with progress_bar("shops", counted=True) as bar:
        rows = run_estimates(
            settings, range(seed, seed + shops), out, place=place, on_shop=_moving(bar, _estimate_line)
        )
    summary = summarise_estimates(rows)
    table = figures_table(
        ["shop"],
        ["true", "estimate", "with the chain's deals", "response", "90% interval", "holds it"],
        title="response to regular prices",
        caption="Elasticities of a product's share of its category, between stores, one a category: true, as `repricer fit` "
        "estimates them, and if weeks in which most stores are on deal were not left out. Response: the true own-price "
        "elasticity, the mean over all products, and its 90% interval in the fitted demand.",
    )
    for row in rows:
        between = [", ".join(f"{value:.2f}" for value in row[name]) for name in ("true", "estimate", "without")]
        low, high = row["interval90"]
        holds = "yes" if row["covered"] else "no"
        table.add_row(str(row["seed"]), *between, f"{row['response']:.2f}", f"{low:.2f} to {high:.2f}", holds)
    document = {"settings": settings.to_dict(), "shops": rows, "summary": summary}
    output(as_json, document, table, _ESTIMATES.format(**summary), f"Results: {out}")


_ESTIMATES = (
    "Mean error of the estimate: {error:.2f} (with its sign {bias:+.2f}); with the weeks of the chain's deals {error_without:.2f} "
    "({bias_without:+.2f}). The interval holds the true response in {covered} of {shops} shops."
)


def _moving(bar: Any, line: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any], int, int], None]:
    """A callback that moves the bar; without a terminal, a line on stderr per shop."""
    task = bar.add_task("shops", total=None)

    def on_shop(row: dict[str, Any], done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not progress_console.is_terminal:
            click.echo(f"{done} of {total}: {row['truth']} {row['seed']}: {line(row)}", err=True)

    return on_shop


def _gain_line(row: dict[str, Any]) -> str:
    low, high = row["interval90"]
    return (
        f"predicted {row['predicted']:+.1%} ({low:+.1%} to {high:+.1%}), realised {row['realised']:+.1%}, "
        f"share of optimum {row['share_of_optimum']:.1%}"
    )


def _estimate_line(row: dict[str, Any]) -> str:
    low, high = row["interval90"]
    return f"response {row['response']:.2f}, estimated {low:.2f} to {high:.2f}"


_FIGURES = {
    "shops": "{shops}",
    "predicted": "{predicted:+.1%}",
    "realised": "{realised:+.1%}",
    "lowest": "{worst_realised:+.1%}",
    "|error|": "{absolute_error:.1%}",
    "covered": "{covered} ({below}, {above})",
    "factor": "{interval_factor:.2f}",
    "of best": "{share_of_best_gain:.0%}",
    "halves": "{own_half:+.1%}, {other_half:+.1%}",
    "share": "{share_of_optimum:.1%}",
    "worst": "{worst_share:.1%}",
    "regular": "{regular_share:.1%}",
    "current": "{own_share:.1%}",
    "loses": "{lose_to_regular}, {lose_to_own}",
    "no change": "{refused}",
    "CPU s": "{cpu_seconds:.0f}",
}
"""The figures of some shops, by heading."""
