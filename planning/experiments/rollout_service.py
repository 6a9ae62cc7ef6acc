"""A rollout on a running service: its arms and its money by store and day, and its looks acted upon."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd
import xarray as xr

from ...data import Tables
from ...scenarios import MarketSpec
from ..account import HELD
from .rollout import Look, RolloutPlan
from .store_days import store_days

_SHORT_DAYS = 3
_TIMEOUT_SECONDS = 30.0
_BY = "repricer certify"


def money_and_arms(spec: MarketSpec, sales: pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The money and the arms that `rollout` reads, by day (rows) and store (columns).

    Args:
        spec: The market that the policy prices; it says which products count, and whether revenue or profit does.
        sales: Canonical sales that name the store, from before the rollout on.
        arms: `date`, `store` and `arm` of decisions or sale lines; of several on a day the last counts.

    Returns:
        Money in currency, NaN where a store sold nothing at all for a week; and 1 for the arm `fallback`, 0 for others, NaN
        on days without a decision.

    Raises:
        ValueError: Sales or arms lack a column, or have no store in common.

    Example:
        >>> money, held = money_and_arms(spec, tables.sales, tables.sales)  # doctest: +SKIP
    """
    for thing, table, needed in (("sales", sales, ["store"]), ("decisions", arms, ["date", "store", "arm"])):
        if missing := [name for name in needed if name not in table]:
            must = f"{thing} must have the columns {', '.join(needed)}"
            raise ValueError(f"{must}; got none named {missing[0]}; see `repricer log export`")
    known = arms.dropna(subset=["store", "arm"]).assign(date=lambda table: pd.to_datetime(table["date"]).dt.normalize())
    known = (known["arm"] == HELD).astype(float).groupby([known["date"], known["store"].astype(str)]).last().unstack()
    first, last = (pd.Timestamp(day).date() for day in (sales["date"].min(), sales["date"].max()))
    ids = list(spec.products.ids or spec.products.names)
    sold = store_days(Tables(sales), ids, first, last + timedelta(days=1))
    cost = xr.DataArray(spec.products.unit_cost, dims="product") * (spec.market.objective == "profit")
    vat = xr.DataArray(spec.products.vat, dims="product")
    money = (sold["revenue"] / (1 + vat) - sold["units"] * cost).sum("product", skipna=False)
    stores = sold.indexes["store"].intersection(known.columns)
    if not len(stores):
        got = (
            f"sales of {sold['store'].item(0)} and decisions of {known.columns[0]}"
            if known.size
            else "decisions of none"
        )
        raise ValueError(f"sales and decisions must be of the same stores; got {got}; give the service their names")
    if (began := known.index[0]) > (day := sold.indexes["day"][-1]):
        must = f"sales must reach up to the decisions, from {began.date()}"
        raise ValueError(f"{must}; got {day.date()} as their last day; import later sales")
    money = pd.DataFrame(money.sel(store=stores).to_numpy().T, sold.indexes["day"], stores)
    near = money.ffill(limit=_SHORT_DAYS).notna() | money.bfill(limit=_SHORT_DAYS).notna()
    return money.fillna(0.0).where(near), known[stores].reindex(money.index)  # type: ignore[arg-type]


def certificate_body(plan: RolloutPlan, look: Look, date: str) -> dict[str, Any]:
    """A look as the body of `PUT /v1/admin/certificate`.

    Args:
        plan: The analysis.
        look: What it shows.
        date: The last day of the sales, YYYY-MM-DD.

    Example:
        >>> look = Look(300, "waiting", 1, None, None, None, 0.5, False, "no sales yet")
        >>> certificate_body(RolloutPlan(), look, "2026-03-01")["policy_share"]
        0.5
    """
    facts = {"state": look.state, "loss": plan.loss, "confidence": plan.confidence, "date": date}
    facts |= {"policy_share": 0.0 if look.stop else 1 - look.holdout, "analysis": plan.digest, "reason": look.reason}
    return facts | {"lower_bound": look.lower, "estimate": look.estimate, "by": _BY}


def switches(look: Look, holdout: float, killed: bool) -> dict[str, dict[str, Any]]:
    """What a look changes in a service, by the path of the request: the holdout shrinks only with a
    certificate and never grows, and the kill switch is never turned off.

    Args:
        look: What the sales show.
        holdout: The service's share of held-out markets.
        killed: Whether its kill switch is on.

    Example:
        >>> look = Look(300, "certified", 1, 0.05, -0.01, 0.11, 0.25, False, "these prices lose at most 0.02 of the money")
        >>> switches(look, 0.5, False)["holdout"]["share"]
        0.25
    """
    by = {"by": _BY, "reason": look.reason}
    if look.stop and not killed:
        return {"kill-switch": {"on": True, **by}}
    widens = look.state == "certified" and look.holdout < holdout and not killed
    return {"holdout": {"share": look.holdout, **by}} if widens else {}


def ask(service: str, token: str | None, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of a service, a JSON document; with a body, to a PUT.

    Args:
        service: Its address, such as http://127.0.0.1:8000.
        token: An API key; to throw switches, of the role admin.
        path: Such as /v1/operation.
        body: What is sent.

    Raises:
        ValueError: It refuses.
        OSError: It cannot be reached.

    Example:
        >>> ask("http://127.0.0.1:8000", None, "/v1/operation")["holdout"]  # doctest: +SKIP
        0.5
    """
    if not service.startswith(("http://", "https://")):
        raise ValueError(f"--service must begin with http:// or https://; got {service}; write the whole address")
    headers = {"content-type": "application/json"} | ({} if token is None else {"authorization": f"Bearer {token}"})
    data, method = (None, "GET") if body is None else (json.dumps(body).encode(), "PUT")
    try:
        with urlopen(
            Request(service.rstrip("/") + path, data, headers, method=method), timeout=_TIMEOUT_SECONDS
        ) as answer:
            return json.load(answer)
    except HTTPError as error:
        got = f"{error.code}: {error.read().decode()}"
        raise ValueError(f"{service}{path} must accept the request; got {got}") from error
    except URLError as error:
        raise OSError(f"{service} cannot be reached ({error.reason}); check --service, and that it runs") from error
