"""`repricer price`: prices from a bundle, offline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from ..pricing.wording import rule_words
from ..serving.documents import from_json
from ._options import FILE, OUT, emit, json_option, key_option, output, public_key_option

if TYPE_CHECKING:
    from ..serving import Bundle, PriceAnswer
    from ..serving.product_prices import Change, ProductPrice


@click.command("price")
@click.argument("bundle", type=FILE)
@click.option("--state", type=FILE, help="JSON file with the market's state; - reads standard input.")
@click.option("--example", is_flag=True, help="Print a state that this bundle accepts.")
@click.option("--batch", type=FILE, help="CSV file with one row per product, of one market or several.")
@click.option("--out", type=OUT, help="CSV file for the prices of --batch.")
@public_key_option
@key_option
@json_option
def command(
    bundle: Path,
    state: Path | None,
    example: bool,
    batch: Path | None,
    out: Path | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Price one market state, or a CSV file of several, with the policy in BUNDLE.

    The answer shows what the price rules changed.
    """
    from ..serving import Predictor, load_bundle
    from ..serving.decision import POLICY, preview

    if [example, state is not None, batch is not None].count(True) != 1 or (batch is None) != (out is None):
        raise click.UsageError("give --state FILE, --example, or --batch IN.csv with --out OUT.csv")
    if out is not None and out.suffix != ".csv":
        raise ValueError(f"--out must end in .csv; got '{out}'; rename it, or write a price list with repricer prices")
    loaded = load_bundle(bundle, public_key=public_key)
    if batch is not None and out is not None:
        _price_batch(loaded, batch, out, as_json)
        return
    if state is None:
        emit(loaded.example)
        return
    _, decision = preview(Predictor(loaded), POLICY, read_state(state))
    document = decision.answer.to_dict() | {"warnings": decision.warnings}
    output(as_json, document, *_parts(decision.answer, loaded), *(f"caution: {line}" for line in decision.warnings))


def _price_batch(bundle: Bundle, batch: Path, out: Path, as_json: bool) -> None:
    from ..serving import Predictor
    from ..serving.csv_batch import price_file

    markets, prices = price_file(Predictor(bundle), batch, out)
    facts = {"out": str(out), "markets": markets, "prices": prices, "bundle": bundle.digest}
    output(as_json, facts, f"{prices:,} prices of {markets:,} markets written to {out}")


def read_state(path: Path) -> Any:
    """The state in a JSON file, or on standard input for -."""
    standard_input = str(path) == "-"
    try:
        return from_json(sys.stdin.read() if standard_input else path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        name = "standard input" if standard_input else str(path)
        raise ValueError(
            f"{name} must be a state in JSON; got: {error}; `repricer price BUNDLE --example` prints one"
        ) from error


def _parts(answer: PriceAnswer, bundle: Bundle) -> Iterator[str | Table]:
    currency = bundle.manifest["scenario"]["currency"]
    title = f"{answer.scenario}, {answer.when}, policy {answer.policy}"
    promotes = answer.prices[0].promotion is not None
    orders = {"order_units": "order (units)", "express_units": "express order (units)"}
    orders = {name: words for name, words in orders.items() if getattr(answer.prices[0], name) is not None}
    more = ("promotion",) * promotes + tuple(orders.values())
    columns = ("product", "proposed", f"price ({currency})", "discounts", *more, "changed by the price rules")
    table = Table(*map(escape, columns), title=escape(title))
    for item in answer.prices:
        cells = (
            item.product,
            _number(item.proposed),
            _price(item),
            ", ".join(f"{segment} {fraction:.1%}" for segment, fraction in item.discounts.items()),
            *(("yes" if item.promotion else "no",) if promotes else ()),
            *(f"{getattr(item, name):,.0f}" for name in orders),
            "\n".join(_change(step) for step in item.trail),
        )
        table.add_row(*map(escape, cells))
    yield table
    for jurisdiction, notice in {pair: None for item in answer.prices for pair in item.notices.items()}:
        yield f"beside personal prices ({jurisdiction}): {notice}"
    for segment, product in answer.recommendations.items():
        yield f"shown to {segment}: {product or 'nothing'}"
    if answer.memory is not None:
        yield "this policy has recurrent state: copy `memory` of the answer (--json) into the next period's state"
    signer = "by the given key" if bundle.trust == "pinned" else "by its own key only: --public-key proves who made it"
    yield f"bundle {answer.bundle[:12]}, signed {signer}; {answer.milliseconds:.2f} ms"


def _price(item: ProductPrice) -> str:
    """The price, with the prior lowest price that an announced reduction must show."""
    prior = item.prior_lowest_price
    return _number(item.price) if prior is None else f"{_number(item.price)} (lowest in 30 days {_number(prior)})"


def _change(step: Change) -> str:
    """One change of a price rule; a mark changes nothing."""
    return (
        step.why
        if step.before == step.after
        else f"{rule_words(step.rule)}: {_number(step.before)} → {_number(step.after)}"
    )


def _number(value: Any) -> str:
    """A price, or the discounts of every segment."""
    if isinstance(value, list):
        return " / ".join("none" if item is None else f"{item:.1%}" for item in value)
    return "no number" if value is None else f"{value:,.6g}"
