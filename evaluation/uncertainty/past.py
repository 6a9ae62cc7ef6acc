"""The plan of a fitted market beside the weeks before it and the same weeks a year ago."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...agents.posterior.deals import PlanValue
from ...scenarios import MarketSpec

# How far the plan may lie from what the past and its trend give: of money and units, of the mean price, of the share on
# deal; twice as far where less than a year and a plan's length are known, as the trend is not.
_APART = {"units": 0.15, "revenue": 0.15, "average_price": 0.05, "on_deal": 0.1}
_WORDS = {
    "units": "units of {:,.0f} where {:,.0f} would follow",
    "revenue": "revenue of {:,.0f} where {:,.0f} would follow",
    "average_price": "an average price of {:.2f} where {:.2f} would follow",
    "on_deal": "{:.0%} of product-weeks on deal where {:.0%} would follow",
}
Rows = list[dict[str, Any]]


@functools.lru_cache(maxsize=8)
def plan_beside_past(spec: MarketSpec) -> Rows:
    """The plan's figures, those of as many weeks before it and a year ago, and what the latter and the trend give.

    The trend is the change of the last weeks against the same a year before. Profit is at the market's unit costs.

    Returns:
        Rows with `weeks`, `units`, `revenue`, `profit`, `average_price` and `on_deal`; none where the market does not know
        its past. The last row is what the past gives; its name says how.

    Example:
        >>> from repricer import load_scenario
        >>> plan_beside_past(load_scenario("stationary-logit"))
        []
    """
    history, calendar = spec.history, spec.calendar
    if history is None or history.past_units is None or history.past_revenue is None or history.past_deals is None:
        return []
    value, cost, unit = (
        PlanValue(spec, recommended=False),
        spec.products.unit_cost,
        "weeks" if calendar is None else calendar.unit,
    )
    units = value.units(value.planned)
    planned = _row("the plan", units.sum(axis=0), (units * value.planned.price).sum(axis=0), value.planned.deal, cost)
    names = (f"the last {spec.market.horizon_periods} {unit}", f"the same {unit} a year ago", "a year before the last")
    spans = zip(names, history.past_units, history.past_revenue, history.past_deals, strict=False)
    rows = [planned, *(_row(*span, cost) for span in spans)]
    if len(rows) < len(names) + 1:
        return rows
    last, ago, before = rows[1:]
    trend = {name: ago[name] * (last[name] / before[name] if before[name] else 1.0) for name in _APART}
    trend |= {"profit": ago["profit"] * trend["revenue"] / max(ago["revenue"], 1e-12), "on_deal": ago["on_deal"]}
    return [*rows[:3], {"weeks": f"a year ago with the change since of the last {unit}"} | trend]


def unlike_past(rows: Rows) -> str:
    """In which figures the plan differs from the past by more than the trend explains, in a clause; empty if in none.

    Example:
        >>> plan, past = ({"units": n, "revenue": n, "average_price": 1.0, "on_deal": 0.1} for n in (50, 100))
        >>> unlike_past([plan, past])
        'the plan expects units of 50 where 100 would follow, revenue of 50 where 100 would follow from the past'
    """
    if len(rows) < 2:
        return ""
    plan, past, far = rows[0], rows[-1], []
    for name, most in _APART.items():
        scale = 1.0 if name == "on_deal" else max(abs(past[name]), 1e-12)
        if abs(plan[name] - past[name]) > most * scale * (1 if len(rows) > 3 else 2):
            far.append(_WORDS[name].format(plan[name], past[name]))
    return f"the plan expects {', '.join(far)} from the past" if far else ""


def past_lines(rows: Rows, currency: str) -> list[str]:
    """The plan beside the past as lines of a table.

    Example:
        >>> row = {"weeks": "the plan", "units": 50, "revenue": 90, "profit": 20, "average_price": 1.8, "on_deal": 0.1}
        >>> for line in past_lines([row], "EUR"):
        ...     print(line)
        the plan beside the past, of the products that are priced (money in EUR):
                          units        revenue         profit  average price  on deal
          the plan           50             90             20           1.80      10%
    """
    if not rows:
        return []
    lines = [f"the plan beside the past, of the products that are priced (money in {currency}):"]
    width = max(len(row["weeks"]) for row in rows)
    lines.append(f"  {'':{width}} {'units':>12} {'revenue':>14} {'profit':>14} {'average price':>14} {'on deal':>8}")
    return lines + [
        f"  {row['weeks']:{width}} {row['units']:>12,.0f} {row['revenue']:>14,.0f} {row['profit']:>14,.0f} "
        f"{row['average_price']:>14,.2f} {row['on_deal']:>8.0%}"
        for row in rows
    ]


def _row(weeks: str, units: Any, revenue: Any, deals: Any, cost: Any) -> dict[str, Any]:
    sold, taken = float(np.sum(units)), float(np.sum(revenue))
    return {
        "weeks": weeks,
        "units": sold,
        "revenue": taken,
        "profit": taken - float(np.sum(units * cost)),
        "average_price": taken / max(sold, 1e-12),
        "on_deal": float(np.mean(deals)),
    }
