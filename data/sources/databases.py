"""Tables of PostgreSQL and DuckDB, read in batches."""

from __future__ import annotations

import collections
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urldefrag, urlsplit

import pyarrow as pa


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a stream."""

    def __init__(self, blocks: Iterator[Any]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@contextmanager
def copied(url: str, *, head: bool = False) -> Iterator[io.BufferedReader]:
    """A table of PostgreSQL as the server writes it in CSV, while it comes.

    Args:
        url: `postgresql://USER@HOST/DATABASE#TABLE`, as libpq has it; TABLE may name its schema.
        head: Whether the header is all that is wanted.

    Raises:
        ImportError: The extra `postgres` is not installed.
        OSError: The server does not give it.
    """
    import psycopg
    from psycopg import sql

    address, table = urldefrag(url)
    select = sql.SQL("copy (select * from {}{}) to stdout (format csv, header)").format(
        sql.Identifier(*table.split(".")), sql.SQL(" limit 0" if head else "")
    )
    try:
        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            # Rows come in the same order each time, and dates as ISO 8601 has them.
            cursor.execute("set synchronize_seqscans = off")
            cursor.execute("set datestyle = 'ISO'")
            with cursor.copy(select) as blocks:
                yield io.BufferedReader(_Blocks(iter(blocks)), 1 << 20)
                # Of a header, the end is not read; the connection is not free before.
                collections.deque(blocks, maxlen=0)
    except psycopg.Error as error:
        raise OSError(str(error).splitlines()[0]) from error


@contextmanager
def arrow_reader(url: str, rows: int) -> Iterator[pa.RecordBatchReader]:
    """A table of DuckDB in batches.

    Args:
        url: `duckdb:///FILE#TABLE`, with a fourth slash before an absolute path.
        rows: Most rows of a batch.

    Raises:
        ImportError: The extra `scale` is not installed.
        OSError: There is no such file or table.
    """
    import duckdb

    split = urlsplit(url)
    table = ".".join('"' + step.replace('"', '""') + '"' for step in split.fragment.split("."))
    try:
        with duckdb.connect((split.netloc + split.path).removeprefix("/"), read_only=True) as database:
            yield database.sql(f"select * from {table}").to_arrow_reader(rows)
    except duckdb.Error as error:
        raise OSError(str(error).splitlines()[0]) from error
