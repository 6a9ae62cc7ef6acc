"""Transactions in a process of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..helper_process import HelperError, HelperProcess
from .engine import engine_of, url_of
from .transactions import LogError, Transactions, Work


class WriterProcess:
    """As `Transactions`, in a process of its own.

    Args:
        place: A path or a URL of a log that is ready.
    """

    def __init__(self, place: str | os.PathLike[str], name: str) -> None:
        self._name = name
        self._process = HelperProcess(_transactions, os.fspath(place), name)

    def run(self, works: Sequence[Work]) -> list[Any]:
        """As `Transactions.run`; all work and its results are pickled.

        Raises:
            LogError: Nothing can be written now, or the process has ended.
        """
        try:
            return self._process.call(Transactions.run, works)
        except HelperError as error:
            raise LogError(f"decision log {self._name}: the process that writes it has ended") from error

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _transactions(place: str, name: str) -> Transactions:
    return Transactions(engine_of(url_of(place)), name)
