from __future__ import annotations

import datetime as dt
from typing import Any

from repricer.serving.price_list.rows import PriceRow, sealed


def make_row(**values: Any) -> PriceRow:
    """A row of the list, its proposal sealed."""
    proposal = {
        "zone": "all stores",
        "product_id": "0001",
        "product": "tea",
        "category": "drinks",
        "week": dt.date(2018, 1, 1),
        "current_price": 2.0,
        "new_price": 2.2,
        "change": 0.1,
        "reason": "Raised.",
        "check": "",
    }
    return sealed(PriceRow(**proposal | values))
