"""The price list of a cycle, and which prices would teach most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Cycle

if TYPE_CHECKING:
    from ...evaluation.uncertainty import Assessment
    from ...serving.price_list.rows import PriceRow

LISTS = ("prices.csv", "prices.xlsx")
_TRIED = 3


def write_lists(
    cycle: Cycle, folder: Path, zone: str, found: Assessment, *, keeper: Path, policy: Path
) -> tuple[list[PriceRow], list[str]]:
    """Write the price list of the recommended prices, and keep it for `repricer prices`.

    Args:
        folder: Where the list goes.
        zone: Name of the price zone; empty for all stores.
        keeper: The folder that keeps the list, that of the market or of the run.
        policy: The folder of the policy that may be recommended.

    Returns:
        The rows, and lines: the plan beside the past, and what the rows are.
    """
    from ...serving.price_list.files import write_list
    from ...serving.price_list.kept import KeptList, keep, origin_of
    from ...serving.price_list.proposal import proposed_rows
    from ...serving.price_list.what_if_sheet import price_responses
    from ..prices import list_line, summary

    seed, risk = cycle.config.shop.seed, cycle.config.train.risk
    rows = proposed_rows(found, zone=zone or cycle.config.price_list.zone, seed=seed)
    spec = found.compared.spec
    kept = KeptList.of(origin_of(keeper, [str(policy)], draws=None, risk=risk, seed=seed), found, rows)
    responses = price_responses(spec, rows)
    for name in LISTS:
        write_list(folder / name, rows, currency=spec.market.currency, notes=kept.past, responses=responses)
    keep(keeper, kept)
    listed = f"price list: {list_line(summary(rows, kept.unit), folder / LISTS[-1])}"
    return rows, [*kept.past, listed]


def to_vary(found: Assessment, tried: list[str]) -> list[str]:
    """Where no change is recommended, which prices to vary instead."""
    if found.recommendation.change:
        return []
    return ["to learn more, vary these prices in some weeks or stores:", *(f"  {line}" for line in tried)]


def what_to_try(rows: list[dict[str, Any]]) -> list[str]:
    """Which prices to vary, to learn most: those of products that are not identified, then the widest intervals.

    Args:
        rows: The price responses of a fit, by product.
    """
    unknown = [row for row in rows if not row["identified"]]
    wide = sorted(rows, key=lambda row: row["elasticity_interval90"][0] - row["elasticity_interval90"][1])
    chosen = [*unknown, *(row for row in wide if row["identified"])][:_TRIED]
    return [
        f"{row['name']}: {row['reason']}"
        if row["reason"]
        else f"{row['name']}: elasticity {row['elasticity_interval90'][0]:.1f} to {row['elasticity_interval90'][1]:.1f}"
        for row in chosen
    ]
