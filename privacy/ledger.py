"""The privacy budget of a shop's tables: what released statistics have spent of it, and the refusal when it is gone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic import write_json
from . import PrivacyError
from .access import beside

DELTA = 1e-5
"""The default limit of delta: the probability with which epsilon may fail to hold."""
# Shares of a budget add up to it but for rounding.
_BUDGET_ROUNDING = 1e-9


class Query(NamedTuple):
    """What one released statistic costs under (epsilon, delta)-differential privacy (Dwork and Roth 2014).

    Example:
        >>> Query("customers by segment", 0.25)
        Query(name='customers by segment', epsilon=0.25, delta=0.0)
    """

    name: str
    epsilon: float
    delta: float = 0.0


class PrivacyLedger:
    """The budget of a folder of tables; several processes may spend from it.

    The costs of all queries are added up (basic composition), which is never too little. A query is paid for before it
    is answered: a process that is killed in between has spent too much, never too little.

    Args:
        tables: The folder; the ledger is TABLES.privacy.json beside it, which `set_limit` makes.

    Example:
        >>> import tempfile
        >>> ledger = PrivacyLedger(Path(tempfile.mkdtemp()) / "shop")
        >>> ledger.set_limit(1.0)
        >>> ledger.spend([Query("customers", 0.75)])
        >>> ledger.left().epsilon
        0.25
    """

    def __init__(self, tables: Path) -> None:
        self.tables = tables
        # Beside the folder, which is replaced when a customer is erased.
        self.path = beside(tables, "privacy.json")

    def set_limit(self, epsilon: float, delta: float = DELTA) -> None:
        """Set, lower or raise the limit; what was spent stays.

        Args:
            epsilon: The most that all queries together may cost, above 0.
            delta: The most that their deltas may add up to, from 0 to below 1.

        Raises:
            PrivacyError: A limit is out of range.
        """
        if not 0 < epsilon < math.inf or not 0 <= delta < 1:
            must = "a privacy limit needs epsilon above 0 and delta from 0 to below 1"
            raise PrivacyError(f"{must}; got {epsilon:g} and {delta:g}; write, for example, 4 and 1e-5")
        with self._locked():
            spent = self.document()["spent"] if self.path.exists() else []
            write_json(self.path, {"limit": {"epsilon": epsilon, "delta": delta}, "spent": spent})

    def document(self) -> dict[str, Any]:
        """The limit, and every query with its cost and time, as the file holds them.

        Raises:
            PrivacyError: No limit was ever set.
        """
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            must = "a privacy budget must be set before it is spent"
            fix = f"set one: repricer data budget {self.tables} --epsilon 4"
            raise PrivacyError(f"{must}; got none for {self.tables}; {fix}") from None

    def left(self) -> Query:
        """What is left of the limit."""
        document = self.document()
        limit = document["limit"]
        spent = document["spent"]
        return Query("left", *(limit[key] - math.fsum(row[key] for row in spent) for key in ("epsilon", "delta")))

    def spend(self, queries: Sequence[Query]) -> None:
        """Record these queries, or none of them.

        Raises:
            PrivacyError: They cost more than is left, or no limit was set.
        """
        asked = Query("", math.fsum(q.epsilon for q in queries), math.fsum(q.delta for q in queries))
        with self._locked():
            document = self.document()
            left = self.left()
            if asked.epsilon > left.epsilon + _BUDGET_ROUNDING or asked.delta > left.delta * (1 + _BUDGET_ROUNDING):
                raise PrivacyError(
                    f"privacy budget of {self.tables}: epsilon {max(left.epsilon, 0):g} and delta "
                    f"{max(left.delta, 0):g} are left; got a request for {asked.epsilon:g} and {asked.delta:g}; ask for "
                    "less, or use what was already released"
                )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            rows = ({"query": q.name, "epsilon": q.epsilon, "delta": q.delta, "time": now} for q in queries)
            document["spent"] += rows
            write_json(self.path, document)

    def _locked(self) -> Any:
        from filelock import FileLock

        return FileLock(self.path.with_suffix(".lock"))
