"""What a markdown has to reach and may use for that, and the stock that is to be sold, as a table gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta

from ..serving.documents import Checked, csv_rows, fields, read, typed

_PERCENT = {"fix": "write 95% as 0.95"}
_FROM_1 = {"allowed": "a whole number from 1"}


class Terms(Checked, frozen=True):
    """Target and means of a markdown.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> Terms(sell_through=1.5)
        Traceback (most recent call last):
        ValueError: markdown: sell_through must be a number above 0 to 1; got 1.5; write 95% as 0.95
    """

    called: ClassVar[str] = "markdown"

    sell_through: Annotated[float, Meta(gt=0, le=1, description="share of the stock to sell", extra=_PERCENT)] = 0.95
    confidence: Annotated[float, Meta(ge=0, lt=1, description="probability with which it is sold")] = 0.95
    changes: Annotated[int, Meta(ge=0, description="most price changes of a product, the first included")] = 3
    salvage: Annotated[
        float, Meta(ge=-1, le=1, description="value of a unit left over, of the regular price without VAT")
    ] = 0.1


Money = Annotated[float, Meta(ge=-1e9, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=10**9, extra={"allowed": "a whole number from 0"})]


class StockRow(Checked, frozen=True):
    """The stock of one product, and what holds for it alone.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> StockRow("tea", 120, price=2.5).on_hand
        120
    """

    called: ClassVar[str] = "stock"

    product: Annotated[str, Meta(description="its id or name in the market")]
    on_hand: Annotated[int, Meta(ge=1, le=10**9, description="units to sell", extra=_FROM_1)]
    price: Annotated[Money | None, Meta(description="the price now, per unit; by default the regular one")] = None
    lowest_price: Annotated[Money | None, Meta(description="lowest price; by default that of the price rules")] = None
    salvage_value: Annotated[
        Money | None, Meta(description="worth of a unit left over, without VAT; below 0 for disposal")
    ] = None
    changes: Annotated[Count | None, Meta(description="price changes left; by default those of the terms")] = None
    sold: Annotated[Count | None, Meta(description="units sold since the markdown began, which count, too")] = None


def read_stock(path: Path) -> list[StockRow]:
    """The rows of a stock table.

    Args:
        path: A CSV file with the columns `product` and `on_hand`, and optionally the others of
            `StockRow`; an empty cell stands for the default.

    Raises:
        ValueError: The table cannot be read; one line names the row and the column.

    Example:
        >>> read_stock(Path("stock.csv"))  # doctest: +SKIP
        [StockRow(product='tea', on_hand=120, ...)]
    """
    lines = csv_rows(path, fields(StockRow), ("product", "on_hand"), ValueError)
    rows = [read(StockRow, typed(StockRow, cells), f"{path}, row {number}", ValueError) for number, cells in lines]
    if not rows:
        raise ValueError(f"{path} must have a row for each product to mark down; got none; add them")
    return rows
