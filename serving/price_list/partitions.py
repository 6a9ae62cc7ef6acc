"""Price lists as Parquet files, one folder a week, for catalogues that no spreadsheet opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...atomic import whole_folder
from .rows import COLUMNS, ListError, PriceRow, columns

_WEEK = "week"


def write_partitions(path: Path, rows: Sequence[PriceRow]) -> None:
    """Write a price list to `path`/week=YYYY-MM-DD/, completely or not at all.

    Args:
        path: The folder, which a list that is there already is replaced in.

    Raises:
        ListError: Something else is there.
    """
    import polars as pl

    if path.exists() and not (path.is_dir() and all(each.name.startswith(f"{_WEEK}=") for each in path.iterdir())):
        raise ListError([f"{path} must be a new folder or an earlier list; got something else there; name another"])
    table = pl.DataFrame(list(map(msgspec.structs.astuple, rows)), schema=_schema(), orient="row")
    with whole_folder(path) as made:
        for (week,), part in table.group_by(_WEEK, maintain_order=True):
            folder = made / f"{_WEEK}={week}"
            folder.mkdir()
            part.drop(_WEEK).write_parquet(folder / "prices.parquet")


def read_partitions(path: Path) -> list[list[Any]]:
    """The header and the cells of a price list, its weeks in order. Raises ListError."""
    import polars as pl
    from polars.exceptions import PolarsError

    if path.is_dir() and not any(path.iterdir()):
        return [list(COLUMNS)]
    try:
        files = pl.scan_parquet(path / "**/*.parquet", hive_partitioning=True, hive_schema={_WEEK: pl.Date})
        table = files.collect().sort(_WEEK, maintain_order=True)
    except (PolarsError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ListError(
            [f"{path.name} must be a folder of Parquet files; got: {reason}; write the list again"]
        ) from None
    known = [name for name in COLUMNS if name in table.columns]
    header = [*known, *(name for name in table.columns if name not in known)]
    texts = [name for name in header if table.schema[name] == pl.String]
    return [header, *map(list, table.select(header).with_columns(pl.col(texts).fill_null("")).iter_rows())]


def _schema() -> dict[str, Any]:
    import polars as pl

    kinds = {"text": pl.String, "number": pl.Float64, "date": pl.Date}
    return {column.name: kinds[column.kind] for column in columns()}
