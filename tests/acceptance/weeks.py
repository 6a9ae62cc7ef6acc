"""The weekly job, week after week: on a real grocer, and in a closed loop with customers who are known."""

from __future__ import annotations

import atexit
import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner
from numpy.typing import NDArray
from repricer.benchmarks.uplift import Truth, draw_shop
from repricer.benchmarks.uplift.shop import FIRST_DAY, names, write_files
from repricer.benchmarks.uplift.study import displayed
from repricer.cli import main
from repricer.data import load_complete_journey, save_tables
from repricer.scenarios import load_scenario
from repricer.serving.price_list.files import read_list

from .checks import check

_SEED, _BEFORE, _WEEKS, _CENT = 20_000, 78, 26, 0.0101
_TRUTHS = ("clean", "seasonal", "segments")
# A largest change of prices, and the shop with planned reductions that keeps it.
_LARGEST, _LIMITED, _WINDOW = 0.1, "promoted", 4
_CUT, _REFRESHES = 40, 4
_SHOP = """
name = "shop"
[tables]
sales = "sales.csv"
products = "products.csv"
[fit]
categories = 2
per_category = 6
forecaster = "{forecaster}"
rules = "rules.toml"
[train]
steps = 20000
[evaluate]
episodes = 200
"""
_GROCER = 'name = "grocer"\n[tables]\ndataset = "tables"\n[train]\nsteps = 100000\n[evaluate]\nepisodes = 200\n'


def cycle(folder: Path) -> dict[str, Any]:
    """One cycle, by the command."""
    result = CliRunner().invoke(main, ["cycle", str(folder / "cycle.toml"), "--json"])
    if result.exit_code:
        raise RuntimeError(result.output)
    return json.loads(result.stdout)


def _folder() -> Path:
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


@functools.cache
def grocer() -> list[dict[str, Any]]:
    """The documents of a cycle on weeks 1 to 40 and of four weekly ones on the real sales after them."""
    folder = _folder()
    tables, report = load_complete_journey(key=b"acceptance" * 4)
    start = tables.sales["date"].min()
    (folder / "cycle.toml").write_text(_GROCER, encoding="utf-8")
    found = []
    for week in range(_CUT, _CUT + _REFRESHES + 1):
        until = start + pd.Timedelta(weeks=week)
        known = replace(tables, sales=tables.sales[tables.sales["date"] < until])
        at = folder / "tables"
        if at.exists():
            at.rename(folder / f"tables-{week}")
        save_tables(known, report, at)
        found.append(cycle(folder))
    return found


@check("weeks", "Complete Journey from week 40: weeks that one cycle lists, beginning with week 41", ">=", 4)
def listed() -> float:
    rows = read_list(Path(grocer()[0]["paths"]["prices.csv"]))
    return (
        len({row.week for row in rows}) if min(row.week for row in rows).isoformat() == grocer()[0]["first_day"] else 0
    )


@check("weeks", "Complete Journey, weeks 41 to 44: WAPE one week ahead at the prices really charged", "<=", 0.25)
def ahead() -> float:
    accounts = [later["account"] for later in grocer()[1:]]
    units = [account["rows"][0]["units"]["realised"] for account in accounts]
    return float(np.average([account["wape_one_week_ahead"] for account in accounts], weights=units))


class Loop:
    """A shop that charges what its cycles say, for 26 weeks.

    Args:
        truth: Family of the shop.
        seed: Selects the shop.
        rules: The shop's own, as text.
    """

    def __init__(self, truth: str, seed: int, rules: str) -> None:
        self.shop: Truth = replace(draw_shop(truth, seed), weeks=_BEFORE)
        self.folder, self.random = _folder(), np.random.default_rng(seed)
        write_files(self.shop, self.folder)
        (self.folder / "cycle.toml").write_text(_SHOP.format(forecaster="moving-average"), encoding="utf-8")
        (self.folder / "rules.toml").write_text(rules, encoding="utf-8")
        self.charged = self.shop.own_prices(_BEFORE - 1, 1)[0]
        self.weeks = [self.week(week) for week in range(_BEFORE, _BEFORE + _WEEKS)]

    def week(self, week: int) -> dict[str, Any]:
        """Ask for prices, charge them, sell, and write the sales down."""
        found, own = cycle(self.folder), self.shop.own_prices(week, 1)[0]
        rows = read_list(Path(found["paths"]["prices.csv"]))
        first = min(row.week for row in rows)
        now = {row.product_id: (row.new_price, row.current_price) for row in rows if row.week == first}
        # A product that is not priced stays at the shop's own price.
        price, planned = np.array([now.get(product, (own[n],) * 2) for n, product in enumerate(names(self.shop))]).T
        self._sell(price, week)
        spec = load_scenario(found["paths"]["market"])
        low, high = own.copy(), own.copy()
        for n, name in enumerate(displayed(self.shop)):
            if name in spec.products.names:
                at = spec.products.names.index(name)
                low[n], high[n] = (
                    np.asarray(bound, np.float64).reshape(-1, len(spec.products.names))[0, at]
                    for bound in (spec.guardrails.low, spec.guardrails.high)
                )
        # The last price within the bounds of now, which come before all other rules.
        before, changed = np.clip(self.charged, low, high), abs(price - self.charged) > _CENT
        least, most = np.minimum((1 - _LARGEST) * before, planned), np.maximum((1 + _LARGEST) * before, planned)
        self.charged = price
        given: dict[str, Any] = {"first": week, "horizon": 1, "objective": spec.market.objective}
        best = self.shop.optimum(low, high, **given)
        return {
            "earned": self.shop.realised(price, **given),
            "own": self.shop.realised(own, **given),
            "best": self.shop.realised(best, **given),
            "account": found["account"],
            "trained": found["trained"],
            "beyond": int(((price < least - _CENT) | (price > most + _CENT)).sum()),
            "changed": changed,
            "chosen": (abs(price - before) > _CENT) & (abs(price - planned) > _CENT),
        }

    def _sell(self, price: NDArray[np.float64], week: int) -> None:
        shape = 1 / self.shop.parameters.dispersion
        mean = self.shop.units(price, first=week, horizon=1)[0] * self.random.gamma(shape, 1 / shape)
        path = self.folder / "sales.csv"
        sold = pd.DataFrame(
            {
                "date": f"{FIRST_DAY + pd.Timedelta(weeks=week):%Y-%m-%d}",
                "product": names(self.shop),
                "units": self.random.poisson(mean),
                "price_paid": price,
                "regular_price": np.maximum(self.shop.regular, price),
            }
        )
        table = pd.read_csv(path, dtype={"product": str})
        pd.concat([table, sold[sold["units"] > 0]]).to_csv(path, index=False)

    def share(self, part: slice = slice(None), of: str = "best") -> float:
        """What was earned over what the optimum or the shop's own prices would have earned."""
        rows = self.weeks[part]
        return sum(row["earned"] for row in rows) / sum(row[of] for row in rows)

    def inside(self) -> float:
        """Share of the cycles whose account lies within its interval."""
        told = [row["account"] for row in self.weeks if row["account"] is not None]
        return float(np.mean([account["rows"][0]["revenue"]["inside"] for account in told]))


@functools.cache
def loop(truth: str, rules: str = "") -> Loop:
    """The closed loop of one family."""
    return Loop(truth, _SEED, rules)


def _limited() -> Loop:
    return loop(_LIMITED, f"[shop]\nmax_change = {_LARGEST}\n")


@check(
    "weeks", f"closed loop, {_LIMITED}, max_change {_LARGEST}: share of what the optimum without it earns", ">=", 0.95
)
def limited_share() -> float:
    """Of weeks in which prices may change little."""
    return _limited().share()


@check(
    "weeks",
    f"closed loop, {_LIMITED}, max_change {_LARGEST}: prices further from the last than it and the plan",
    "<=",
    0,
)
def limited_prices() -> int:
    """Of all products and weeks."""
    return sum(row["beyond"] for row in _limited().weeks)


@check(
    "weeks",
    f"closed loop, clean, max_changes 1 in {_WINDOW} weeks: prices that changed more often, the plan apart",
    "<=",
    0,
)
def rare_changes() -> int:
    """Of all products and windows."""
    rows = loop("clean", f"[shop]\nmax_changes = 1\nchange_window_periods = {_WINDOW}\n").weeks
    changed, chosen = (np.array([row[name] for row in rows]) for name in ("changed", "chosen"))
    return sum(int((chosen[t] & changed[max(t - _WINDOW + 1, 0) : t].any(axis=0)).sum()) for t in range(len(rows)))


for _truth in _TRUTHS:

    @check(
        "weeks", f"closed loop, {_truth}, {_WEEKS} weeks: share of what a policy that knows the truth earns", ">=", 0.97
    )
    def share(truth: str = _truth) -> float:
        return loop(truth).share()

    @check("weeks", f"closed loop, {_truth}: earned over what the shop's own prices earn", ">=", 1.0)
    def against_own(truth: str = _truth) -> float:
        return loop(truth).share(of="own")

    @check("weeks", f"closed loop, {_truth}: share of the optimum, second half less first half", ">=", 0.0)
    def later(truth: str = _truth) -> float:
        found, half = loop(truth), _WEEKS // 2
        return found.share(slice(half, None)) - found.share(slice(half))

    @check("weeks", f"closed loop, {_truth}: cycles whose revenue lies within its predicted interval", ">=", 0.75)
    def inside(truth: str = _truth) -> float:
        return loop(truth).inside()
