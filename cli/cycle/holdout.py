"""Which stores a cycle's prices were held out of: as the configuration, the decision log or the sales say."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from .config import Cycle, CycleError

if TYPE_CHECKING:
    import pandas as pd


def holdout_arms(cycle: Cycle, sales: pd.DataFrame, first: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame | None:
    """The `store` and `arm` of each store, decision or sale line in some days; None without any arm.

    Args:
        sales: Canonical sales of the whole shop.
        end: The day after the last.

    Raises:
        CycleError: The configuration names a holdout, but the sales no stores, or not these.
    """
    import pandas as pd

    from ...evaluation.uncertainty.holdout import HELD

    asked = cycle.config.account
    if not (asked.holdout or asked.log or "arm" in sales):
        return None
    stores = sales["store"].dropna().unique().tolist() if "store" in sales else []
    if unknown := sorted({*asked.holdout} - {*stores}) or (not stores and ["no stores"]):
        raise CycleError(
            f"a holdout must be of stores that the sales name, such as {', '.join(map(str, stores[:3])) or 'none'}; got "
            f"{', '.join(unknown)}; fix [account], or import the column store"
        )
    if asked.holdout:
        arms = [HELD if store in asked.holdout else "policy" for store in stores]
        return pd.DataFrame({"store": stores, "arm": arms})
    if asked.log:
        return pd.DataFrame(_logged(cycle, str(first)[:10], str(end)[:10]), columns=["store", "arm"])
    return sales.loc[sales["date"].between(first, end, inclusive="left"), ["store", "arm"]]


def _logged(cycle: Cycle, first: str, end: str) -> list[tuple[Any, Any]]:
    """Market and arm of the decisions for these days."""
    from ...serving import DecisionLog

    with closing(DecisionLog(cycle.log)) as log:
        rows = ((row, row["date"] or row["time"]) for row in log.export())
        return [(row["market"], row["arm"]) for row, day in rows if first <= day[:10] < end]
