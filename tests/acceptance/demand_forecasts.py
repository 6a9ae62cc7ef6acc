"""Demand forecasts of the 200 best sellers of the Complete Journey: fitted on weeks 2 to 40, judged on 41 to 52.

`python -m tests.acceptance.demand_forecasts` prints the table of all models that the checks read.
"""

from __future__ import annotations

import functools
import time

import numpy as np
import pandas as pd
from repricer.data import product_weeks
from repricer.forecasting import Forecaster, MovingAverage, Selected, candidates
from repricer.forecasting.backtest import forecasts_from, score

from .checks import check
from .demand_market import shop

ORIGIN, LAST = 40, 52
_STATISTICAL = ("exponential-smoothing", "intermittent", "sarimax", "pooled-regression")


@functools.cache
def panel() -> pd.DataFrame:
    """The products with most sale lines, weeks 2 to 52, with the share of stores that promoted them."""
    tables, products = shop()
    weekly = product_weeks(tables, products=products)
    # The data set's own number of a week: the first full one is 2.
    weekly["number"] = (weekly["week"] - weekly["week"].min()).dt.days // 7 + 2
    return weekly


def week(number: int) -> pd.Timestamp:
    """First day of a week of the data set."""
    weeks = panel().drop_duplicates("number").set_index("number")["week"]
    return pd.Timestamp(weeks[number])


@functools.cache
def run() -> pd.DataFrame:
    """Scores of every model, one week ahead from 12 origins and 12 weeks ahead from one; fitted once."""
    past = panel()[panel()["week"] <= week(ORIGIN)]
    rows = []
    for name, forecaster in models().items():
        wall, processor = time.perf_counter(), time.process_time()
        fitted = forecaster.fit(past)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        for test, origins, horizon in (
            ("1 week ahead", range(ORIGIN, LAST), 1),
            ("12 weeks ahead", range(ORIGIN, ORIGIN + 1), 12),
        ):
            parts = [forecasts_from(fitted, panel(), origin=week(number), horizon=horizon) for number in origins]
            forecasts = pd.concat(parts)
            row = {"test": test, "forecaster": name, **score(forecasts), "fit_cpu_s": processor, "fit_s": wall}
            rows.append(row | {"failures": len(fitted.failures_)})
    return pd.DataFrame(rows)


def models() -> dict[str, Forecaster]:
    """The two bars, every candidate and the one that is used."""
    return {"moving-average-8": MovingAverage(window=8), **candidates(), "selected": selected()}


@functools.cache
def selected() -> Selected:
    """The one in use; fitted by `run`."""
    return Selected()


def figure(test: str, forecaster: str, name: str) -> float:
    """A score of the shared run."""
    rows = run().set_index(["test", "forecaster"])
    return float(np.asarray(rows.loc[(test, forecaster), name]))


@check("demand", "WAPE one week ahead over that of a 4-week mean", "<=", 0.75)
def short_term() -> float:
    return figure("1 week ahead", "selected", "wape") / figure("1 week ahead", "moving-average", "wape")


@check("demand", "WAPE 12 weeks ahead over that of a flat 8-week mean", "<=", 0.70)
def long_term() -> float:
    return figure("12 weeks ahead", "selected", "wape") / figure("12 weeks ahead", "moving-average-8", "wape")


@check("demand", "WAPE one week ahead", "<=", 0.298)
def below_the_first_try() -> float:
    return figure("1 week ahead", "selected", "wape")


@check("demand", "WAPE 12 weeks ahead", "<=", 0.353)
def below_the_first_try_far() -> float:
    return figure("12 weeks ahead", "selected", "wape")


def _farthest(name: str, claimed: float) -> float:
    tests = ("1 week ahead", "12 weeks ahead")
    return 100 * max(abs(figure(test, "selected", name) - claimed) for test in tests)


@check("demand", "80% intervals, coverage off by (both tests)", "<=", 4, "points")
def eighty() -> float:
    return _farthest("cover80", 0.80)


@check("demand", "95% intervals, coverage off by (both tests)", "<=", 4, "points")
def ninety_five() -> float:
    return _farthest("cover95", 0.95)


@check("demand", "LSTM, WAPE of both tests over that of the best statistical model", "<=", 1.0)
def lstm() -> float:
    pooled = run().groupby("forecaster")["wape"].mean()
    return float(pooled["lstm"] / pooled[list(_STATISTICAL)].min())


@check("demand", "200 series fitted and selected, processor time on one core", "<=", 180, "s")
def fit_seconds() -> float:
    return figure("1 week ahead", "selected", "fit_cpu_s")


@check("demand", "a new product, 80% interval covers (each of the 200 forecast from the others)", ">=", 0.75)
def newcomers_cover() -> float:
    return _newcomers()["cover80"]


@functools.cache
def _newcomers() -> dict[str, float]:
    """In ten folds, every product once as a new one: fitted without it, its weeks 41 to 52 forecast."""
    from repricer.forecasting import Newcomers

    names = np.sort(panel()["product"].unique())
    fold = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % 10, strict=True))
    number = panel()["product"].map(fold)
    tables = []
    for k in range(10):
        past = panel()[(panel()["week"] <= week(ORIGIN)) & (number != k)]
        ahead = panel()[(panel()["week"] > week(ORIGIN)) & (number == k)]
        planned = ["product", "category", "week", "price", "regular_price", "promotion"]
        forecast = Newcomers().fit(past).predict(ahead[planned])
        tables.append(forecast.merge(ahead[["product", "week", "units"]], on=["product", "week"]))
    rows = pd.concat(tables)
    return score(rows.assign(mae=1.0, mse=1.0))


if __name__ == "__main__":
    pd.set_option("display.width", 220, "display.max_columns", 30)
    shown = ["wape", "wape_median", "bias", "pinball", "cover80", "cover95", "failures", "fit_cpu_s", "fit_s"]
    print(run().set_index(["test", "forecaster"])[shown].round(3).to_string())
    scores = selected().scores_
    print("\ninside weeks 29 to 40 (selection):")
    print(scores.set_index("forecaster")[["wape", "wape_median", "cover80", "cover95", "chosen"]].round(3).to_string())
    print("\nmost frequent choices:", selected().selection_["chosen"].value_counts().head(5).to_dict())
    print("new products:", {name: round(value, 3) for name, value in _newcomers().items()})
