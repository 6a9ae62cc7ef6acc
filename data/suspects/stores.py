"""Stores of further tables that no sale names, as another spelling makes them."""

from __future__ import annotations

from collections import Counter

import polars as pl

_NAMED = 5


class Stores:
    """How many rows each table has of each store, from rows that come some at a time.

    Example:
        >>> stores = Stores()
        >>> for table, names in (("sales", ["N1", "S1"]), ("stock", ["N1", "n1", "n1"])):
        ...     stores.see(table, pl.DataFrame({"store": names}))
        >>> stores.notes()
        ['stock: 2 rows of stores that no sale names, n1; if they sell, name them as the sales do']
    """

    def __init__(self) -> None:
        self._rows = dict[str, Counter[str]]()

    def see(self, table: str, rows: pl.DataFrame) -> None:
        """Count rows of a table."""
        if "store" in rows:
            names, counts = rows["store"].drop_nulls().cast(pl.String).value_counts().get_columns()
            self._rows.setdefault(table, Counter()).update(dict(zip(names, counts, strict=True)))

    def notes(self) -> list[str]:
        """A sentence on each table with such stores; none where the sales name no stores."""
        known, found = self._rows.get("sales"), []
        for table, rows in self._rows.items() if known else ():
            strange = sorted(set(rows) - set(known or ()))
            if strange:
                words = ", ".join(strange[:_NAMED]) + f" and {len(strange) - _NAMED} more" * (len(strange) > _NAMED)
                count = sum(rows[name] for name in strange)
                found.append(
                    f"{table}: {count:,} row{'s' * (count > 1)} of stores that no sale names, {words}; if they sell, "
                    "name them as the sales do"
                )
        return found
