"""`repricer data sentiment`: reviews and news as weekly signals."""

from __future__ import annotations

from pathlib import Path

import click

from ..atomic import write_table
from ..planning.progress import progress_bar
from ._options import FILE, OUT, check_table_path, json_option, output
from ._tables import read_frame


@click.command("sentiment")
@click.argument("reviews", type=FILE)
@click.option("--out", type=OUT, required=True, help="File for the signals (.csv or .parquet).")
@click.option("--by-product", is_flag=True, help="Add the signals of each product (column product).")
@json_option
def command(reviews: Path, out: Path, by_product: bool, as_json: bool) -> None:
    """Turn the texts in REVIEWS into weekly signals for `repricer data alarms` and `fit`.

    REVIEWS is a CSV, XLSX or Parquet file with date, text and, optionally, product. The signals are
    `sentiment`, the mean score of a week's texts from -1 to 1, and `negative_texts`, how many were
    negative. Texts must be in English; no other language is supported, and texts that do not look
    English are left out. Needs the `text` extra.
    """
    from ..forecasting.sentiment import weekly_sentiment

    check_table_path("--out", out)
    texts = read_frame("REVIEWS", reviews)
    with progress_bar() as bar:
        task = bar.add_task("scoring texts", total=1.0)
        found = weekly_sentiment(texts, by_product=by_product, progress=lambda share: bar.update(task, completed=share))
    write_table(found.signals.assign(date=found.signals["date"].dt.strftime("%Y-%m-%d")), out)
    counts = {"texts": found.texts, "not_english": found.foreign, "open_week": found.open_week}
    lines = [f"{found.texts:,} texts make {len(found.signals):,} values, written to {out}"]
    if found.foreign:
        lines.append(
            f"{found.foreign:,} texts are left out: they are not in English, and no other language is supported"
        )
    if found.open_week:
        lines.append(f"{found.open_week:,} texts are left out: their week is not over")
    output(as_json, {"out": str(out), "signals": len(found.signals), **counts}, *lines)
