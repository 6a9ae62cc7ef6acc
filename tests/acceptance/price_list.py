"""The price list: 100,000 rows go to a file and back in seconds, and come back as they were."""

from __future__ import annotations

import datetime as dt
import functools
import random
import tempfile
import time
from pathlib import Path

from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import PriceRow, sealed

from .checks import check

ROWS, WEEKS = 100_000, 12
_ENDINGS = ("csv", "xlsx")


@functools.cache
def rows() -> list[PriceRow]:
    """A list as large as that of a chain, its texts and figures as a market's."""
    draw = random.Random(0)

    def money() -> float:
        return round(draw.uniform(1, 500), 2)

    return [
        sealed(
            PriceRow(
                zone=f"zone {n // (ROWS // 4)}",
                product_id=f"{5_000_000 + n // WEEKS}",
                product=f"=Mainstream white bread 20 OZ ({n // WEEKS})",
                category=f"category {n % 40}",
                week=dt.date(2018, 1, 1) + dt.timedelta(7 * (n % WEEKS)),
                current_price=money(),
                new_price=money(),
                change=round(draw.uniform(-0.3, 0.3), 6),
                reason=f"Raised {n % 300 / 10}%: a 10% higher price is expected to lose {n % 40}% of its units.",
                **{
                    name: -money() if name == "profit_low" else money()
                    for part in ("units", "revenue", "profit")
                    for name in (f"expected_{part}", f"{part}_low", f"{part}_high")
                },
                parameter_share=round(draw.random(), 4),
                outside_charged="outside what was mostly charged: 1.50 to 2.30" if n % 9 == 0 else "",
                lowest_price_30_days=money(),
                check="",
            )
        )
        for n in range(ROWS)
    ]


@functools.cache
def round_trip(ending: str) -> tuple[float, int]:
    """Seconds to write the list and to read it back, the better of two, and the rows that changed."""
    seconds, changed = [], ROWS
    with tempfile.TemporaryDirectory() as folder:
        path, wanted = Path(folder) / f"prices.{ending}", rows()
        for _ in range(2):
            started = time.perf_counter()
            write_list(path, wanted)
            back = read_list(path)
            seconds.append(time.perf_counter() - started)
            changed = sum(one != other for one, other in zip(wanted, back, strict=True))
    return min(seconds), changed


for _ending in _ENDINGS:
    check("weeks", f"price list: {ROWS:,} rows to .{_ending} and back", "<=", 5, "s")(
        functools.partial(lambda ending: round_trip(ending)[0], _ending)
    )


@check("weeks", "price list: rows that come back changed", "==", 0)
def changed_rows() -> float:
    """Over both kinds of file."""
    return sum(round_trip(ending)[1] for ending in _ENDINGS)
