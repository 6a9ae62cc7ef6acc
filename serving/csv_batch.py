"""Prices for CSV files: one row per product in, one price per product out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..atomic import write_whole
from ..pricing import OUTSIDE_CHARGED, Catalogue
from .documents import as_number, csv_rows, fields, typed
from .market_state import MARKET, StateDocument, StateError, product_type
from .predictor import Predictor, PriceAnswer
from .recurrent_state import MEMORY

REQUIRED = ("product", "list_price", "on_hand")
WHEN = ("date", "period")
"""Columns that name the period of a row; a file has one of them."""
_FACTS = ("market", *WHEN, "regime", MEMORY, "jurisdiction")
"""Columns of the market as a whole."""
_LOYALTY = "loyalty:"
_STATES_A_BATCH = 500
_DECIDED = ("promotion", "order_units", "express_units", "prior_lowest_price", "reduction")

# What a spreadsheet may take for a formula at the start of a cell: OWASP, CSV injection.
_RISKY = tuple("=+-@\t\r\n＝＋－＠")
QUOTE = "'"


class BatchError(ValueError):
    """A file that cannot be priced; the message is one line that names the row, or its market and product."""


def price_file(predictor: Predictor, source: Path, out: Path) -> tuple[int, int]:
    """Price every row of a CSV file; the output is written completely or not at all.

    Rows of one market and period make one state. Columns are those of a product's state and `date`,
    or `period`; `market`, `regime`, `memory` and `loyalty:SEGMENT` are optional. An empty `on_hand`
    is unlimited stock; another empty cell counts as left out.

    Returns:
        Numbers of markets and of prices.

    Raises:
        BatchError: The file cannot be priced.
    """
    catalogue = predictor.bundle.catalogue
    states = _states(source, catalogue)
    answers = list(_answers(predictor, source, states))
    text = io.StringIO()
    rows = [row for pair in zip(states, answers, strict=True) for row in _rows(*pair, catalogue)]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(out, text.getvalue())
    return len(states), len(rows)


def safe_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula, with a quote before it where it needs one.

    Example:
        >>> safe_text("=9"), safe_text("tea")
        ("'=9", 'tea')
    """
    return QUOTE + text if text.startswith((*_RISKY, QUOTE)) else text


def _rows(state: dict[str, Any], answer: PriceAnswer, catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    """The cells of each product by column; empty where the policy decides no such thing, or nothing is to be marked."""
    before = {item["product"]: item["list_price"] for item in state["products"]}
    for price in answer.prices:
        shown = [segment for segment, product in answer.recommendations.items() if product == price.product]
        marks = [change.why for change in price.trail if change.rule == OUTSIDE_CHARGED]
        yield {
            "market": safe_text(state.get("market", MARKET)),
            **{name: getattr(answer, name) for name in WHEN[catalogue.calendar is None :]},
            **{"product": safe_text(price.product), "list_price": before[price.product]},
            **{"proposed": price.proposed, "price": price.price},
            **{f"discount:{segment}": share for segment, share in price.discounts.items()},
            **{"shown_to": safe_text("; ".join(shown)), "rules": " ".join(change.rule for change in price.trail)},
            "bundle": answer.bundle[:12],
            **{name: getattr(price, name) for name in _DECIDED},
            **{"notices": " ".join(price.notices.values()), "mark": " ".join(marks), MEMORY: answer.memory},
        }


def _answers(predictor: Predictor, source: Path, states: list[dict[str, Any]]) -> Iterator[PriceAnswer]:
    """The answers in the order of the states, several computed at a time."""
    for first in range(0, len(states), _STATES_A_BATCH):
        asked = []
        for state in states[first : first + _STATES_A_BATCH]:
            try:
                asked.append(predictor.read(state))
            except StateError as error:
                when = next((f", {name} {state[name]}" for name in WHEN if name in state), "")
                raise BatchError(f"{source}, market {state.get('market', MARKET)!r}{when}: {error}") from error
        yield from predictor.price_all(asked)


def _states(source: Path, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The states that the rows of a file make: one for each market and period."""
    own = product_type(catalogue)
    found = dict[Any, dict[str, Any]]()
    known = (*_FACTS, *fields(own), *(_LOYALTY + segment for segment in catalogue.segments))
    for number, row in csv_rows(source, known, REQUIRED, BatchError):
        facts = typed(StateDocument, {name: row[name] for name in _FACTS if name in row})
        loyalty = {name: as_number(cell) for name, cell in row.items() if name.startswith(_LOYALTY)}
        if loyalty:
            facts["loyalty"] = {name.removeprefix(_LOYALTY): level for name, level in loyalty.items()}
        state = found.setdefault(tuple(facts.get(name) for name in ("market", *WHEN)), {**facts, "products": []})
        if facts != {name: state[name] for name in state if name != "products"}:
            must = "must say of its market what its other rows say"
            raise BatchError(f"{source}, row {number}: {must}; got else; fix it")
        item = typed(own, {name: cell for name, cell in row.items() if name in fields(own)})
        state["products"].append({"on_hand": None} | item)
    if not found:
        raise BatchError(f"{source} must have rows under its header; got none; add the products")
    return list(found.values())
