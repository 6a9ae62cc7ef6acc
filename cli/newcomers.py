"""`repricer newcomers`: what to expect of products that were not sold yet."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_table
from ._options import FILE, OUT, check_table_path, json_option, output, say_aside, tables_options
from ._tables import read_frame

_SIMILAR_SHOWN = 5


@click.command("newcomers")
@click.argument("tables", type=FILE)
@click.option(
    "--products", type=FILE, required=True, help="New products: product, category, regular_price, name, text."
)
@click.option(
    "--text",
    type=click.Choice(["words", "meaning", "none"]),
    default="words",
    show_default=True,
    help="What of names and texts is used: their words, or embeddings, which know like words (extra `text`).",
)
@click.option("--vectors", type=FILE, help="Your own vectors of products, known and new: product and numbers.")
@click.option("--out", type=OUT, help="File for the result (.csv or .parquet).")
@tables_options
@json_option
def command(tables: Path, products: Path, text: str, vectors: Path | None, out: Path | None, as_json: bool) -> None:
    """Forecast the weekly units of new products, and name the three products sold that are most like each.

    TABLES is a folder made by `repricer data import`, with products. The forecast is for the regular
    price, in the week after the tables: the mean, and an 80% interval of a week's units. Text and
    vectors are used as far as they improve the forecast of known products left out.
    """
    import pandas as pd

    from ..data import load_tables
    from ..forecasting.cold_start import forecast_new
    from ..forecasting.product_vectors import own_vectors

    if out:
        check_table_path("--out", out)
    new = read_frame("--products", products)
    own = own_vectors(read_frame("--vectors", vectors)) if vectors else None
    shop = load_tables(tables)
    say_aside(f"learning from the products sold, to forecast {len(new):,} new ones")
    found = forecast_new(shop, new, text=None if text == "none" else text, vectors=own)
    # One row a new product, with the columns nearest_1, nearest_2, nearest_3.
    alike = found.nearest.pivot(index="product", columns="rank", values="nearest").add_prefix("nearest_").reset_index()
    rows = found.units.merge(alike, on="product").rename(columns={"q0.1": "low", "q0.5": "median", "q0.9": "high"})
    if out:
        write_table(rows, out)
    strange = sorted(set(new["category"]) - set(found.known["category"]))
    document = {"known": len(found.known), "weights": found.weights, "unknown_categories": strange}
    document |= {"unseen_words": found.unseen, "products": rows.to_dict("records")}
    shown = Table("product", "units a week", "80% of weeks", "most like")
    name_of = found.known.set_index("product").get("name", pd.Series(dtype=str)).fillna("")
    for row in rows.to_dict("records"):
        nearest = (str(value) for key, value in row.items() if str(key).startswith("nearest_"))
        named = "\n".join(f"{product} {name_of.get(product, '')}".strip() for product in nearest)
        mean = f"{row['mean']:,.1f}"
        interval = f"{row['low']:,.0f} to {row['high']:,.0f}"
        shown.add_row(escape(row["product"]), mean, interval, escape(named))
    lines = [f"learned from {len(found.known):,} products that came 12 weeks ago or more and sell in half of the weeks"]
    for name, weight in found.weights.items():
        use = f"used, weight {weight:g}" if weight else "not used; they tell nothing beside category and price"
        lines.append(f"{name}: {use}")
    if text == "words" and found.weights[text] and found.unseen:
        some = ", ".join(
            f"{product} ({' '.join(words)})" for product, words in [*found.unseen.items()][:_SIMILAR_SHOWN]
        )
        lines.append(f"words that none of them has make the interval too narrow: {some}; try --text meaning")
    if strange:
        lines.append(f"none of them is in {', '.join(strange)}: such a forecast is of an average category")
    output(as_json, document, shown, *lines, f"written to {out}" if out else None)
