"""`repricer data budget`: what differentially private releases have spent, and the limit."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import FILE, figures_table, json_option, output


@click.command("budget")
@click.argument("dataset", type=FILE)
@click.option("--epsilon", type=float, help="Set the limit of epsilon over all releases; what was spent stays spent.")
@click.option("--delta", type=float, help="The limit of delta that goes with it.  [default: 1e-5]")
@json_option
def command(dataset: Path, epsilon: float | None, delta: float | None, as_json: bool) -> None:
    """Show or set the privacy budget of DATASET, a folder made by `repricer data import` or `repricer cycle`.

    `repricer fit --epsilon`, and a cycle that trains, pay from it for what they publish of customers,
    and are refused when too little is left.
    """
    from ..data import DataError
    from ..data.storage import kept_file
    from ..planning.cycle.register import CYCLES
    from ..privacy.ledger import DELTA, PrivacyLedger

    if epsilon is None and delta is not None:
        raise DataError(f"--delta must come with --epsilon; got --delta {delta:g} alone; give both")
    if kept_file(dataset, "sales.parquet") is None and not (dataset / CYCLES).is_file():
        raise DataError(
            f"DATASET must hold imported tables, or the cycles of a shop; got {dataset}; make some with `repricer data "
            "import`, or `repricer cycle`"
        )
    ledger = PrivacyLedger(dataset)
    if epsilon is not None:
        ledger.set_limit(epsilon, DELTA if delta is None else delta)
    document = ledger.document()
    left = ledger.left()
    table = figures_table(["time", "query"], ["epsilon", "delta"], title="what was spent")
    for row in document["spent"]:
        table.add_row(row["time"], row["query"], f"{row['epsilon']:g}", f"{row['delta']:g}")
    limit = document["limit"]
    spent = table if document["spent"] else None
    line = f"left: epsilon {left.epsilon:g} of {limit['epsilon']:g}, delta {left.delta:g} of {limit['delta']:g}"
    output(as_json, document | {"left": {"epsilon": left.epsilon, "delta": left.delta}}, spent, line)
