"""The sheet of a price list's workbook in which one types a price and sees what it would sell and earn.

Its formulas have one elasticity a product and one share a category that a product takes from the others: near the listed
prices they follow the fitted market, which `repricer what-if` asks itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .rows import PriceRow

if TYPE_CHECKING:
    from ...scenarios import MarketSpec

SHEET = "What if"
_STEP, _DRAWS, _FEW = 0.05, 50, 1e-9
_HOW = (
    "Type a price into the blue column: it stands for the mean of the weeks listed, and moves all of them by the same share.",
    "An approximation: one elasticity a product, and one share a category that is taken from its other products, both at the "
    "listed prices, from the mean of the fitted market. It is good within about 10% of the listed price.",
    "It knows neither price rules nor stock nor uncertainty, and adds up prices that are tried together as if each were alone: "
    "`repricer what-if` computes them together in the fitted market, with 90% intervals.",
)
_COLUMNS = {
    "zone": ("@", 14),
    "product": ("@", 40),
    "category": ("@", 20),
    "listed price": ("#,##0.00", 11),
    "price to try": ("#,##0.00", 11),
    "listed units": ("#,##0.0", 11),
    "units": ("#,##0.0", 11),
    "revenue": ("#,##0.00", 12),
    "profit": ("#,##0.00", 12),
    "change in units": ("+#,##0.0;-#,##0.0;0", 11),
    "change in revenue": ("+#,##0.00;-#,##0.00;0", 12),
    "change in profit": ("+#,##0.00;-#,##0.00;0", 12),
    "units of other products": ("+#,##0.0;-#,##0.0;0", 12),
    "profit of other products": ("+#,##0.00;-#,##0.00;0", 12),
    "elasticity": ("0.00", 10),
    "taken from others": ("0%", 10),
    "unit cost": ("#,##0.00", 10),
    "others' unit profit": ("#,##0.00", 10),
}
_NAMES = tuple(_COLUMNS)
_HEADER = len(_HOW) + 1
_TRIED, _ELASTICITY, _TAKEN = (_NAMES.index(name) for name in ("price to try", "elasticity", "taken from others"))


class Response(NamedTuple):
    """How a product's units answer its price, at the listed prices.

    Args:
        elasticity: Relative change of its units over that of its price.
        taken: Share of the units that it wins which the other products of its category lose.
        tried: The price that was typed; None for none.
    """

    elasticity: float
    taken: float
    tried: float | None = None


Responses = Mapping[tuple[str, str], Response]
"""The responses by zone and product."""


def price_responses(spec: MarketSpec, rows: Sequence[PriceRow]) -> Responses:
    """The responses of a market at the prices of a list. Needs the `train` extra.

    Args:
        spec: The market that the list was made from.
        rows: Its rows of one zone, product by product.

    Example:
        >>> price_responses(spec, rows)["all stores", "tea"].elasticity  # doctest: +SKIP
        -2.1
    """
    from ...evaluation import what_if
    from ...scenarios.price_section import HistorySection, Prices

    names = spec.products.names
    listed = np.array([row.new_price for row in rows]).reshape(len(names), -1).T
    # At the listed prices as the plan, and without price rules, all products can be moved a step.
    history = HistorySection(price=listed) if spec.history is None else replace(spec.history, price=listed)
    free = replace(spec, prices=Prices(bounds_from_sales=names), history=history)
    own, others, units = np.zeros((3, 2, len(names)))
    for i, step in enumerate((_STEP, -_STEP)):
        table = what_if(free, listed * (1 + step), draws=min(_DRAWS, spec.num_draws)).table("product")
        own[i], others[i], units[i] = (
            table[name].to_numpy() for name in ("units_change", "units_from_others", "planned_units")
        )
    own = own - others
    moved = np.log1p(own / np.maximum(units, _FEW))
    elasticity = (moved[0] - moved[1]) / np.log((1 + _STEP) / (1 - _STEP))
    category = np.eye(len(spec.category_names))[spec.category_index]
    won, lost = ((part[1] - part[0]) @ category for part in (own, others))
    taken = np.clip(-lost / np.maximum(won, _FEW), 0, 1)[spec.category_index]
    found = zip(elasticity.tolist(), taken.tolist(), strict=True)
    return {(rows[0].zone, name): Response(*pair) for name, pair in zip(names, found, strict=True)}


def read_responses(path: Path) -> Responses:
    """The responses, with the prices typed, that the sheet of a workbook holds; none without one.

    Args:
        path: A workbook.

    Example:
        >>> read_responses(Path("nowhere.xlsx"))
        {}
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            lines = book.get_sheet_by_name(SHEET).to_python() if SHEET in book.sheet_names else []
    except (CalamineError, OSError):
        return {}
    found = {}
    for line in lines[_HEADER:]:
        tried, elasticity, taken = (line[place] for place in (_TRIED, _ELASTICITY, _TAKEN))
        if isinstance(elasticity, float) and isinstance(taken, float):
            typed = tried if isinstance(tried, float) else None
            found[str(line[0]), str(line[1])] = Response(elasticity, taken, typed)
    return found


def add_sheet(book: Any, rows: Sequence[PriceRow], responses: Responses, bold: Any) -> None:
    """Add the sheet to a workbook of XlsxWriter, a row a zone and product whose response is known.

    Args:
        book: The workbook.
        rows: The rows of the list.
        responses: By zone and product.
        bold: Format of the header.
    """
    totals: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if (row.zone, row.product) in responses and row.expected_units:
            sums = totals.setdefault((row.zone, row.product, row.category), [0.0] * 3)
            for i, part in enumerate((row.expected_units, row.expected_revenue, row.expected_profit)):
                sums[i] += part or 0.0
    if not totals:
        return
    sheet = book.add_worksheet(SHEET)
    for number, text in enumerate(_HOW):
        sheet.write_string(number, 0, text)
    formats = [book.add_format({"num_format": form}) for form, _ in _COLUMNS.values()]
    formats[_TRIED] = book.add_format({"num_format": "#,##0.00", "bg_color": "#DDEBF7"})
    for number, (name, (_, width)) in enumerate(_COLUMNS.items()):
        sheet.write_string(_HEADER - 1, number, name, bold)
        sheet.set_column(number, number, width)
    categories: dict[tuple[str, str], list[float]] = {}
    for (zone, _, category), (units, _, profit) in totals.items():
        both = categories.setdefault((zone, category), [0.0, 0.0])
        both[0], both[1] = both[0] + units, both[1] + profit
    for line, ((zone, product, category), (units, revenue, profit)) in enumerate(totals.items(), start=_HEADER):
        all_units, all_profit = categories[zone, category]
        each = (all_profit - profit) / (all_units - units) if all_units - units > _FEW else 0.0
        response, i = responses[zone, product], line + 1
        cells = [zone, product, category, revenue / units, response.tried, units]
        cells += [f"=F{i}*IF(E{i}>0,E{i}/D{i},1)^O{i}", f"=G{i}*IF(E{i}>0,E{i},D{i})"]
        cells += [f"=G{i}*(IF(E{i}>0,E{i},D{i})-Q{i})", f"=G{i}-F{i}", f"=H{i}-F{i}*D{i}", f"=I{i}-F{i}*(D{i}-Q{i})"]
        cells += [f"=-P{i}*J{i}", f"=M{i}*R{i}", response.elasticity, response.taken, (revenue - profit) / units, each]
        for number, cell in enumerate(cells):
            _write(sheet, line, number, cell, formats[number])
    last = _HEADER + len(totals)
    sheet.write_string(last, 1, "all", bold)
    for number in range(_NAMES.index("listed units"), _ELASTICITY):
        letter = chr(ord("A") + number)
        sheet.write_formula(last, number, f"=SUM({letter}{_HEADER + 1}:{letter}{last})", formats[number])
    sheet.freeze_panes(_HEADER, 2)


def _write(sheet: Any, line: int, number: int, cell: Any, form: Any) -> None:
    """Names are text, whatever they begin with; formulas stand behind the listed units alone."""
    if number < _NAMES.index("listed price"):
        sheet.write_string(line, number, cell)
    elif isinstance(cell, str):
        sheet.write_formula(line, number, cell, form)
    elif cell is None:
        sheet.write_blank(line, number, None, form)
    else:
        sheet.write_number(line, number, cell, form)
