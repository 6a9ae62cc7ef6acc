"""Do predicted gains agree with themselves? Zones of one chain; the same stores with other tables.

Gains are those of the recommended prices over the current ones, by `repricer.evaluate`: of zones, which differ in size, as
shares of what current prices earn; of the same stores in money, as tables that hold other current prices change what these
earn, and with it any share of that.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import repricer
from scipy import stats

from .checks import check
from .loop import REPRICER
from .shops import CUT, HELD_OUT, Z90, fit_folder
from .shops_data import folder, juice, juice_tables

_DRAWS, _EPISODES = 60, 50
_SIGNIFICANT, _TIMES = 0.05, 2.0


class PredictedGain(NamedTuple):
    """A gain as a share of what current prices earn, or in thousands of the currency, with its 90% interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, market: Path) -> tuple[PredictedGain, PredictedGain]:
        """Of the prices that are recommended in a market: as a share, and in money."""
        found = repricer.evaluate(str(market), [], episodes=_EPISODES, draws=_DRAWS).uncertainty
        assert found is not None, "a fitted market has a posterior"
        gain = found.gain(found.recommendation.policy)
        share = gain.relative
        assert share is not None, "a shop earns something"
        low, high = gain.interval90
        return cls(share["mean"], *share["interval90"]), cls(gain.mean / 1e3, low / 1e3, high / 1e3)

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low


@functools.cache
def zone_gains() -> dict[str, PredictedGain]:
    """By zone, for the weeks after the data."""
    names = json.loads((fit_folder() / "zones.json").read_text(encoding="utf-8"))
    found = {name: PredictedGain.of(fit_folder() / name)[0] for name in names}
    print("\n".join(f"  {name}: {gain.mean:+.1%} [{gain.low:.1%}, {gain.high:.1%}]" for name, gain in found.items()))
    return found


@check(
    "shops", "orange juice: p-value of equal predicted gains of all zones, given their intervals", ">=", _SIGNIFICANT
)
def zones_alike() -> float:
    """Cochran's Q over the zones in which a change is recommended: where none is, the gain is 0 without an error."""
    gains = [gain for gain in zone_gains().values() if gain.width > 0]
    if len(gains) < 2:
        return 1.0
    mean, error = np.array([gain.mean for gain in gains]), np.array([gain.width / (2 * Z90) for gain in gains])
    weights = error**-2
    q = float((weights * (mean - np.average(mean, weights=weights)) ** 2).sum())
    print(f"  Q {q:.1f} on {len(gains) - 1} degrees of freedom; standard deviation over zones {mean.std(ddof=1):.1%}")
    return float(stats.chi2.sf(q, len(gains) - 1))


def _fitted(name: str, rows: pd.DataFrame, *, regular: bool, plan: pd.DataFrame | None) -> Path:
    """The market of some stores, for the weeks after the cut."""
    out = Path(os.environ["SHOPS_FIT"]) / name if "SHOPS_FIT" in os.environ else folder() / name
    if not (out / "fit.json").exists():
        tables = juice_tables(rows[rows["week"] <= CUT], f"{name}-tables", regular=regular)
        how = ["--categories", "1", "--per-category", "11", "--weeks", str(HELD_OUT)]
        if plan is not None:
            plan.to_csv(folder() / f"{name}-plan.csv", index=False)
            how += ["--plan", str(folder() / f"{name}-plan.csv")]
        subprocess.run([*REPRICER, "fit", str(tables), *how, "--out", str(out)], check=True, capture_output=True)
    return out


def _real_plan(rows: pd.DataFrame) -> pd.DataFrame:
    """What these stores charged and advertised in the weeks after the cut."""
    late = rows[rows["week"] > CUT]
    sums = late.assign(paid=late["price"] * late["units"]).groupby(["date", "product"])[["paid", "units"]].sum()
    shown = (late["feature"] > 0).groupby([late["date"], late["product"]]).mean()
    return pd.DataFrame({"price": (sums["paid"] / sums["units"]).round(4), "promotion": shown}).reset_index()


@functools.cache
def same_stores() -> dict[str, PredictedGain]:
    """The stores of the first zone, with the tables that a shop may have."""
    stores = json.loads((fit_folder() / "zones.json").read_text(encoding="utf-8"))["zone-1"]
    rows = juice()[juice()["store"].isin(stores)]
    cases = {
        "prices-paid": {"regular": False, "plan": None},
        "regular-prices": {"regular": True, "plan": None},
        "real-plan": {"regular": False, "plan": _real_plan(rows)},
    }
    found = {name: PredictedGain.of(_fitted(name, rows, **case)) for name, case in cases.items()}
    for name, (share, money) in found.items():
        part = f"{share.mean:+.0%} [{share.low:.0%}, {share.high:.0%}] of what current prices earn"
        print(f"  {name}: {money.mean:+.0f} thousand [{money.low:.0f}, {money.high:.0f}], {part}")
    return {name: money for name, (_, money) in found.items()}


@check(
    "shops", "orange juice, same stores with and without regular prices or the real plan: pairs of gains apart", "==", 0
)
def apart() -> float:
    """Whose 90% intervals do not overlap."""
    pairs = itertools.combinations(same_stores().values(), 2)
    return float(sum(one.low > other.high or other.low > one.high for one, other in pairs))


@check("shops", "orange juice, same stores: widest interval of the gain over the narrowest", "<=", _TIMES)
def width() -> float:
    widths = [gain.width for gain in same_stores().values() if gain.width > 0]
    return max(widths) / min(widths) if widths else 1.0
