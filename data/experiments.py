"""The calendars of price experiments: which regular price each store was to charge in each week of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from .schema import DataError
from .weeks import DAY, WEEK, period_of

WHOLE_SHOP = "all"
"""The store of sales that name none."""
CALENDAR = ("store", "week", "product", "group", "arm", "price", "planned_price")
"""Columns of `calendar.csv`, a row for each store, week and product of an experiment."""
ARMS = ("test", "control")
# A price this close to another is the same; those further below the regular price are deals.
_SAME_TEST_PRICE = 0.005


def load_experiments(folders: Iterable[str | Path]) -> pd.DataFrame:
    """The calendars of price experiments, one below the other, as the field `experiments` of `Tables` holds them.

    Args:
        folders: Folders of experiments: each has a file `calendar.csv` with the columns `store`, `week` (first day),
            `product`, `group`, `arm` (test or control), `price` and `planned_price` (currency per unit), and perhaps
            `plan.json`, of which `washout_days` is read.

    Returns:
        These columns, `planned_regular`, the highest planned price of the product in the store, below which one is a
        planned deal, and `washout_days`: first days after a store changed arms that tell nothing of the new one.

    Raises:
        DataError: A file is missing or cannot be read, a value is not allowed, or a cell has two prices.

    Example:
        >>> load_experiments(["experiments/spring"])["arm"].unique()  # doctest: +SKIP
        array(['control', 'test'], dtype=object)
    """
    parts = [_calendar(Path(folder)) for folder in folders]
    found = pd.concat(parts, ignore_index=True)
    twice = found.duplicated(["store", "week", "product"])
    if twice.any():
        row = found[twice].iloc[0]
        cell = f"two of {row['product']} in {row['store']} from {row['week']:%Y-%m-%d}"
        raise DataError(f"experiments must give a price once by store, week and product; got {cell}; leave one out")
    return found


def _calendar(folder: Path) -> pd.DataFrame:
    path = folder / "calendar.csv"
    plan = folder / "plan.json"
    try:
        facts = json.loads(plan.read_bytes()) if plan.is_file() else {}
        same = facts.get("calendar") in (None, hashlib.sha256(path.read_bytes()).hexdigest())
        rows = pd.read_csv(path, dtype=dict.fromkeys(("store", "product", "group", "arm"), str), keep_default_na=False)
        washout = float(facts.get("washout_days", 0))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        must = f"an experiment must be a folder with calendar.csv and plan.json; got {folder}"
        raise DataError(f"{must}: {error}; fix the path or the file") from error
    if not same:
        raise DataError(f"{path} must be the one that was planned; got one that was changed; restore it")
    lacking = [name for name in CALENDAR if name not in rows]
    if lacking:
        raise DataError(f"{path} must have the columns {', '.join(CALENDAR)}; got no {lacking[0]}; add it")
    rows = rows[list(CALENDAR)].assign(week=pd.to_datetime(rows["week"], format="%Y-%m-%d", errors="coerce"))
    for name in ("price", "planned_price"):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    wrong = {
        "week": (rows["week"].isna(), "a first day, YYYY-MM-DD"),
        "arm": (~rows["arm"].isin(ARMS), " or ".join(ARMS)),
        "price": (~(rows["price"] > 0), "a price above 0"),
        "planned_price": (~(rows["planned_price"] > 0), "a price above 0"),
    }
    for name, (bad, allowed) in wrong.items():
        if bad.any():
            given = pd.read_csv(path, dtype=str, keep_default_na=False)[name]
            number = int(np.argmax(bad))
            raise DataError(f"{path}, row {number + 2}: {name} must be {allowed}; got '{given[number]}'; fix the row")
    rows = rows.assign(store=rows["store"].replace("", WHOLE_SHOP), washout_days=washout)
    return rows.assign(planned_regular=rows.groupby(["store", "product"])["planned_price"].transform("max"))


def with_experiments(panel: xr.Dataset, price: xr.DataArray, calendar: pd.DataFrame) -> xr.Dataset:
    """A panel with what the calendars of experiments say of its stores, weeks and products.

    Args:
        panel: Sums by store, week and product, as `sales_panel` makes them.
        price: Mean price paid there, currency per unit; NaN without a sale.
        calendar: As `load_experiments` returns it.

    Returns:
        The panel with `tested_price`, which is the regular price in an experiment (where a store charged another, that
        one), `planned_price`, the regular price without it, currency per unit, and `assigned`, log(test price / planned
        price): all NaN in other cells; `followed`, 1 where the store charged the calendar's price or less, on a deal, in
        a period of which most days are past the washout; and `broken`, 1 where it charged another.

    Raises:
        DataError: A week of the calendar begins on another weekday than those of the sales.

    Example:
        >>> from repricer.data import Tables, sales_panel
        >>> day = pd.Timestamp("2024-01-01")
        >>> sales = pd.DataFrame({"date": day, "store": ["a", "b"], "product": "tea", "units": 3.0, "price_paid": [1.8, 2.0]})
        >>> cell = {"store": "a", "week": day, "product": "tea", "price": 1.8, "planned_price": 2.0}
        >>> calendar = pd.DataFrame([cell | {"planned_regular": 2.0, "washout_days": 0}])
        >>> panel = sales_panel(Tables(sales.assign(regular_price=sales["price_paid"]), experiments=calendar))
        >>> panel["assigned"].values.ravel().round(2).tolist(), panel["followed"].values.ravel().tolist()
        ([-0.11, nan], [1.0, 0.0])
    """
    period = period_of(panel["week"])
    weeks = panel.indexes["week"]
    other = calendar["week"].between(weeks[0], weeks[-1]) & ~calendar["week"].isin(weeks)
    if other.any():
        got = f"got {calendar['week'][other].iloc[0]:%A, %Y-%m-%d}"
        raise DataError(f"weeks of an experiment must begin on {weeks[0]:%A}s, as those of the sales; {got}; fix them")
    washout = np.round(calendar["washout_days"] * DAY / period).astype(int)
    cells = calendar.assign(washout=washout)
    cells = pd.concat([cells.assign(week=cells["week"] + day * period) for day in range(WEEK // period)])
    grid = cells.set_index(["store", "week", "product"])[
        ["price", "planned_price", "planned_regular", "washout"]
    ].to_xarray()
    grid = grid.reindex({axis: panel[axis] for axis in ("store", "week", "product")})
    asked, planned, usual = (grid[name].to_numpy() for name in ("price", "planned_price", "planned_regular"))
    paid = price.to_numpy()
    with np.errstate(invalid="ignore"):
        kept_planned = (np.abs(paid / planned - 1) < _SAME_TEST_PRICE) & (
            np.abs(asked / planned - 1) > 2 * _SAME_TEST_PRICE
        )
        broken = (paid > (1 + _SAME_TEST_PRICE) * asked) | kept_planned
        in_force = np.where(broken, np.fmax(paid, planned), asked) * usual / planned
        assigned = np.log(asked / planned)
    followed = np.isfinite(assigned) & ~broken & ~_in_washout(assigned, grid["washout"].to_numpy())
    values = {"tested_price": in_force, "planned_price": usual, "assigned": assigned}
    values |= {"followed": followed.astype(float), "broken": broken.astype(float)}
    return panel.assign({name: (("store", "week", "product"), value) for name, value in values.items()})


def _in_washout(assigned: np.ndarray, washout: np.ndarray) -> np.ndarray:
    """(S, W, N) the first periods after a price changed against its planned one."""
    ratio = np.nan_to_num(assigned)
    since = np.full((ratio.shape[0], ratio.shape[2]), np.inf)
    within = np.zeros(ratio.shape, dtype=bool)
    for t in range(1, ratio.shape[1]):
        since = np.where(np.abs(ratio[:, t] - ratio[:, t - 1]) > _SAME_TEST_PRICE, 0, since + 1)
        within[:, t] = since < np.nan_to_num(washout[:, t])
    return within
