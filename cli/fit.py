"""`repricer fit`: fit every model and write the market they describe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_json
from ._options import emit, json_option, progress_console, say, seed_option, show

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables

_FORECASTERS = (
    "selected",
    "moving-average",
    "seasonal-naive",
    "exponential-smoothing",
    "intermittent",
    "sarimax",
    "pooled-regression",
    "lstm",
)


@click.command(name="fit")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the scenario and its report.")
@click.option("--holdout", type=click.IntRange(min=1), default=12, show_default=True, help="Weeks kept out, simulated.")
@click.option("--categories", type=click.IntRange(min=1), default=5, show_default=True, help="Categories to price.")
@click.option("--per-category", type=click.IntRange(min=2), default=6, show_default=True, help="Products in each.")
@click.option(
    "--forecaster",
    type=click.Choice(_FORECASTERS),
    default=_FORECASTERS[0],
    show_default=True,
    help="One for all products; selected: the best for each, by backtest.",
)
@click.option(
    "--promotions", is_flag=True, help="Let policies decide on displays and mailers, where they are recorded."
)
@click.option(
    "--currency", default="currency", show_default=True, help="What the money is called in tables and report."
)
@seed_option
@json_option
def command(
    dataset: Path,
    out: Path,
    holdout: int,
    categories: int,
    per_category: int,
    forecaster: str,
    promotions: bool,
    currency: str,
    seed: int,
    as_json: bool,
) -> None:
    """Fit demand, price response, trend, segments and recommender on DATASET, a folder made by `repricer data import`.

    The last weeks are kept out: the market that is written simulates them, so that its sales can be held against what
    was really sold, and the shop's own prices be compared with others.
    """
    from ..data import choose_products, load_tables
    from ..scenarios import scenario_name

    tables = load_tables(dataset)
    products = choose_products(tables, n_categories=categories, per_category=per_category)
    fit = fit_to_folder(
        tables,
        products,
        out,
        name=scenario_name(out.resolve().name),
        seed=seed,
        holdout_weeks=holdout,
        forecaster=forecaster,
        promotions=promotions,
        currency=currency,
    )
    if as_json:
        emit({"scenario": str(out), **fit})
        return
    for line in fit_lines(fit):
        say(line)
    show(_backtest_table(fit))
    show(_fidelity_table(fit))
    say(f"Scenario: {out}. Next: repricer train {out}")


def fit_to_folder(
    tables: Tables,
    products: pd.DataFrame,
    out: Path,
    *,
    name: str,
    seed: int,
    currency: str,
    holdout_weeks: int = 12,
    forecaster: str = _FORECASTERS[0],
    promotions: bool = False,
) -> dict[str, Any]:
    """Fit, check the fit against the weeks kept out, write scenario and fit report; returns the report."""
    from ..evaluation import fidelity
    from ..fitting.fit_market import fit_market
    from ..forecasting import candidates
    from ..scenarios import save_scenario

    def step(what: str) -> None:
        if progress_console.is_terminal:
            progress_console.print(f"  fitting {what} …", style="dim")

    spec, fit = fit_market(
        tables,
        products,
        name=name,
        seed=seed,
        holdout_weeks=holdout_weeks,
        currency=currency,
        forecaster=candidates(seed=seed).get(forecaster),
        promotions=promotions,
        on_step=step,
    )
    held_out = {row["forecaster"]: row["wape"] for row in fit["backtest"]}
    fit["fidelity"] = fidelity(spec, seed=seed) | {"benchmark_wape": held_out["moving-average"]}
    fit["scores"] = _scores(fit)
    save_scenario(spec, out)
    write_json(out / "fit.json", fit)
    return fit


def _scores(fit: dict[str, Any]) -> dict[str, Any]:
    """How well each model does, in a few numbers."""
    held_out = {row["forecaster"]: row["wape"] for row in fit["backtest"]}
    response = fit["price_response"]
    return {
        "forecaster": fit["chosen_forecaster"],
        "forecast_wape": held_out[fit["chosen_forecaster"]],
        "moving_average_wape": held_out["moving-average"],
        "simulated_wape": fit["fidelity"]["wape"],
        "simulated_bias": fit["fidelity"]["bias"],
        "simulated_cover80": fit["fidelity"]["calibration"]["cover80"],
        "simulated_cover95": fit["fidelity"]["calibration"]["cover95"],
        "simulated_p_value": fit["fidelity"]["calibration"]["p_value"],
        "implausible_elasticities": sum(row["implausible"] for row in response),
        "median_elasticity": sorted(row["shrunk"] for row in response)[len(response) // 2],
        "trend_error": fit["trend"]["score"],
        "trend_error_naive": fit["trend"]["naive"],
        **{name: fit[name] for name in ("segment_stability", "segment_fidelity") if name in fit},
        **fit.get("recommender", {}),
    }


def fit_lines(fit: dict[str, Any]) -> list[str]:
    """The fit report in a dozen lines."""
    s, trend, reference = fit["scores"], fit["trend"], fit["reference_effect"]
    lines = [
        f"demand: {s['forecaster']} won the backtest; error over the weeks kept out {s['forecast_wape']:.1%} of units "
        f"(moving average {s['moving_average_wape']:.1%})",
        f"price response: median elasticity {s['median_elasticity']:.2f} over {len(fit['price_response'])} products; "
        f"{s['implausible_elasticities']} of implausible sign, shrunk to their category",
        *(
            f"  {row['category'].lower()}: {row['elasticity']:.2f} (s.e. {row['se']:.2f}); "
            f"{row['outside_share']:.0%} leave without buying{' (cut to the bound)' if row['clamped'] else ''}"
            for row in fit["category_response"]
        ),
        *_exposure_lines(fit),
        f"reference price: effect {reference['coefficient']:.3f} (s.e. {reference['se']:.3f}), "
        f"{'kept' if reference['used'] else 'left out'}",
        f"trend, one week ahead: {', '.join(_trend_error(row) for row in trend['scores'])}; the market uses the {trend['used']}",
        *_customer_lines(fit),
        f"fitted market at the prices really charged: off by {s['simulated_wape']:.1%} of units a product and week, "
        f"{s['simulated_bias']:+.1%} in all; {s['simulated_cover80']:.0%} of true sales inside the simulated 80% intervals",
    ]
    return lines


def _backtest_table(fit: dict[str, Any]) -> Table:
    table = Table(title="forecasts of the weeks kept out, all steps ahead")
    table.add_column("forecaster")
    for heading in ("WAPE", "bias", "MASE", "in 80%", "in 95%", "failed fits", "products"):
        table.add_column(heading, justify="right")
    used = {row["forecaster"]: row["chosen"] for row in fit.get("selection", [])}
    for row in fit["backtest"]:
        name = row["forecaster"]
        cells = [f"{row['wape']:.1%}", f"{row['bias']:+.1%}", f"{row['mase']:.2f}"]
        cells += [f"{row['cover80']:.0%}", f"{row['cover95']:.0%}", str(row["failures"])]
        table.add_row(name, *cells, f"{used[name]:.0%}" if name in used else "")
    return table


def _fidelity_table(fit: dict[str, Any]) -> Table:
    table = Table(title="units sold in the weeks kept out, and by the fitted market at the prices really charged")
    table.add_column("product")
    for heading in ("sold", "simulated", "difference"):
        table.add_column(heading, justify="right")
    for row in fit["fidelity"]["products"]:
        sold, simulated = row["actual_units"], row["simulated_units"]
        change = f"{simulated / sold - 1:+.0%}" if sold else ""
        table.add_row(escape(row["name"]), f"{sold:,.0f}", f"{simulated:,.0f}", change)
    return table


def _exposure_lines(fit: dict[str, Any]) -> list[str]:
    if "exposure_effect" not in fit:
        return []
    effect = fit["exposure_effect"]
    return [
        f"displays and mailers: in all stores they sell {math.expm1(effect['coefficient']):+.0%} (s.e. {effect['se']:.2f} in "
        f"logs); prices alone have elasticity {effect['elasticity_alone']:.2f} (s.e. {effect['elasticity_alone_se']:.2f})"
    ]


def _trend_error(row: dict[str, Any]) -> str:
    return f"{row['candidate']} off by {row['mae']:.0f} baskets"


def _customer_lines(fit: dict[str, Any]) -> list[str]:
    if "segments" not in fit:
        return ["the sales name no customers: one segment, no personal discounts, no recommendations"]
    scores = fit["scores"]
    return [
        *(
            f"segment '{row['name']}': {row['customers']} customers, {row['spend_per_week']:.2f} a week, elasticity "
            f"{row['elasticity']:.2f} (s.e. {row['elasticity_se']:.2f})"
            for row in fit["segments"]
        ),
        f"{len(fit['segments'])} segments: stability {scores['segment_stability']:.2f} between halves of the customers; "
        f"the decision tree gives {scores['segment_fidelity']:.0%} of held-out customers their segment",
        f"recommender: recall@20 of new products {scores['recall_at_20']:.3f}, popularity "
        f"{scores['popularity_recall_at_20']:.3f}",
    ]
