"""`repricer explain`: why a policy charges one price, or what it does as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import FILE, count_option, figures_table, json_option, output, seed_option
from ._policies import policy_of
from .price import read_state
from .report import read_fit

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation import PriceExplanation
    from ..pricing import MarketView
    from ..scenarios import MarketSpec

_PRICES_LISTED = 15


@click.command("explain")
@click.argument("scenario")
@click.option("--policy", required=True, metavar="P", help="Run folder, bundle or rule.")
@click.option("--product", help="Name of the product [default: the first].")
@count_option("--period", 0, "Period, counted from 0.", least=0)
@click.option("--date", help="Any day of the period, YYYY-MM-DD, instead of its number; where SCENARIO has a calendar.")
@count_option("--market", 0, "Number of the test episode.", least=0)
@click.option("--state", type=FILE, help="JSON file with a market state instead; - reads standard input.")
@click.option("--fit", type=FILE, help="Fit report of the scenario [default: SCENARIO/fit.json, where there is one].")
@click.option("--tree", is_flag=True, help="Explain the whole policy by a decision tree instead of one price.")
@count_option("--depth", 3, "Levels of the tree.")
@seed_option
@json_option
def command(scenario: str, policy: str, tree: bool, depth: int, seed: int, as_json: bool, **asked: Any) -> None:
    """Explain what policy P charges in SCENARIO.

    Shows what each group of inputs adds to the price that the policy proposes in an ordinary
    market; the parts add up exactly. Then what the price rules changed, what would sell at other
    prices, with intervals, and what the best of them would earn. The state is that of a period of a
    test episode that the policy has priced so far, or of a file as `repricer price` reads it. The
    recurrent state of a policy that has one is held fixed.

    With --tree, a decision tree that imitates the policy over all its episodes, and how closely
    it does so.
    """
    from ..evaluation import surrogate_tree
    from ..scenarios import load_scenario

    spec = load_scenario(scenario)
    chosen = policy_of(policy, spec, seed=seed)
    if not tree:
        _one_price(spec, chosen, Path(scenario), seed, as_json, **asked)
        return
    found = surrogate_tree(chosen, spec, max_depth=depth, seed=seed)
    head = f"{policy} in {spec.name}: price over regular price, by a tree fitted to {found.rows:,} prices"
    line = f"The tree explains {found.fidelity:.1%} of the price variation (R² on markets it was not fitted to)."
    output(as_json, {"scenario": spec.name} | found.to_dict(), head, found.text.rstrip(), line)


def _one_price(
    spec: MarketSpec,
    policy: Any,
    folder: Path,
    seed: int,
    as_json: bool,
    *,
    product: str | None,
    period: int,
    date: str | None,
    market: int,
    state: Path | None,
    fit: Path | None,
) -> None:
    from ..evaluation import explain

    if date is not None:
        period = _period(spec, date)
    error = _elasticity_error(read_fit(folder, fit), product or spec.products.names[0])
    given = {"view": _view(spec, state), "period": period, "market": market, "elasticity_error": error}
    explanation = explain(spec, policy, product=product, seed=seed, **given)
    tables = _contributions(explanation), _curve(explanation)
    output(as_json, explanation.to_dict(), *tables, *explanation.sentences)


def _period(spec: MarketSpec, date: str) -> int:
    if spec.calendar is None:
        raise ValueError(f"--date needs a market with a calendar; got {spec.name}; give --period")
    return spec.calendar.period(date)


def _view(spec: MarketSpec, state: Path | None) -> MarketView | None:
    from ..envs import catalogue_of
    from ..serving.market_state import market_view

    return None if state is None else market_view(catalogue_of(spec), read_state(state))


def _elasticity_error(fit: dict[str, Any] | None, product: str) -> float | None:
    """The standard error of the product's elasticity in the fit report."""
    rows = [] if fit is None else fit.get("price_response", [])
    return next((row["elasticity_se"] for row in rows if product in (row["product"], row.get("name"))), None)


def _contributions(explanation: PriceExplanation) -> Table:
    from rich.markup import escape

    found = explanation.contributions
    title = f"{explanation.product}, {explanation.when}: what moved the price"
    without = [name for name, amount in found.inputs.items() if amount == 0]
    caption = f"No effect: {', '.join(without)}." if without else None
    table = figures_table(["input"], [explanation.spec.market.currency], title=escape(title), caption=caption)
    table.add_row(f"{escape(explanation.policy)} in an ordinary market", f"{found.baseline:,.4f}", end_section=True)
    for name, amount in sorted(found.inputs.items(), key=lambda item: -abs(item[1])):
        if amount:
            table.add_row(name, f"{amount:+,.4f}")
    table.add_row("price rules", f"{explanation.rules:+,.4f}", end_section=True)
    table.add_row("price charged", f"{explanation.price:,.4f}")
    return table


def _curve(explanation: PriceExplanation) -> Table:
    """Some prices of the curve, among them the one charged and the best."""
    import numpy as np

    curve = explanation.curve
    best = explanation.now.price
    headings = ("price", "units demanded", "80%", "95%", explanation.spec.market.objective)
    table = figures_table((), headings, title=f"The same {explanation.spec.market.period} at other prices")
    some = np.linspace(0, curve.price.size - 1, min(_PRICES_LISTED, curve.price.size)).round().astype(int)
    for i in np.unique([*some.tolist(), curve.charged, int(curve.objective.argmax())]):
        mark = (" charged" if i == curve.charged else "") + (" best" if curve.price[i] == best else "")
        spans = (f"{low:.0f} to {high:.0f}" for low, high in (both[:, i] for both in curve.interval.values()))
        table.add_row(f"{curve.price[i]:,.4g}{mark}", f"{curve.units[i]:,.4g}", *spans, f"{curve.objective[i]:,.4g}")
    return table
