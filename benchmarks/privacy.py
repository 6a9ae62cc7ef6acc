"""What differential privacy costs: segment statistics and policies under noise against exact ones, on the Complete Journey.

Run `python -m repricer.benchmarks.privacy [--releases N]`. For each epsilon of a whole fit it prints how far the published
figures lie from the exact ones of the same segments. `make acceptance ONLY=trust` also measures the network forecaster, and
policies trained in the market of the released figures against those trained in that of the exact ones.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..agents import train
from ..evaluation import evaluate
from ..fitting import Assumptions, Priors, priced_products
from ..fitting.customers import CANDIDATES, Customers, Released, published, release
from ..fitting.fit_split import FitOptions, fit_split
from ..fitting.split import Split, held_out, weeks_to_come
from ..forecasting import Forecaster, Lstm, PooledRegression, segment_response
from ..forecasting.metrics import wape
from ..pricing import Policy
from ..privacy.budget import NETWORK, Privacy
from ..privacy.ledger import PrivacyLedger
from ..profiles import LEAST_CUSTOMERS, customer_features, segment_candidates
from ..scenarios import MarketSpec
from .customers import markdown, tables

EPSILONS = (8.0, 4.0, 2.0, 1.0, 0.5)
_WEEKS = 12
_EPISODES = 400
_LEAST_UNITS = 500


@functools.cache
def split() -> Split:
    """The last 12 weeks held out, as in `repricer fit`."""
    return held_out(tables(), priced_products(tables(), Assumptions().rules), _WEEKS, None, "week")


@functools.cache
def budget(epsilon: float) -> Privacy:
    """This epsilon, with a budget for any number of releases."""
    ledger = PrivacyLedger(Path(tempfile.mkdtemp()) / "shop")
    ledger.set_limit(1e9, 0.99)
    return Privacy(epsilon, ledger)


def exact(release: Released) -> tuple[Customers, pd.DataFrame]:
    """The customers of the same segments without noise or limits, and their table."""
    features = customer_features(split().sales, as_of=split().sales["date"].max())
    labels = pd.Series(release.segments.labels, index=features.index)
    groups = range(len(release.segments.customers))
    # Too few of their customers or units, which noise alone can make a segment of, have no response of their own.
    bought = pd.Series(release.histories.units.sum(axis=1), index=features.index)
    enough = labels.groupby(labels).transform("size") >= LEAST_CUSTOMERS
    many = labels[enough & (bought.groupby(labels).transform("sum") >= _LEAST_UNITS)]
    response = segment_response(split().sales, many, split().past).set_index("segment").reindex(groups)
    order = pd.Index(split().products["product"])
    units = release.histories.units
    units = np.array([units[release.segments.labels == group].sum(axis=0) for group in groups]) + 1e-9
    affinity = units / units.sum(axis=1, keepdims=True)
    columns = {"customers": labels.value_counts().reindex(groups, fill_value=0)}
    columns |= {"spend_per_week": features["spend"].groupby(labels).mean().reindex(groups)}
    table = pd.DataFrame(columns | {"elasticity": response["elasticity"], "units": units.sum(axis=1)})
    candidates = segment_candidates(pd.DataFrame(affinity, columns=order), min(CANDIDATES, len(order)))
    elasticity = response["elasticity"].fillna(response["elasticity"].mean()).to_numpy(dtype=np.float64)
    names = tuple(f"segment {group}" for group in groups)
    return Customers(names, elasticity, units, affinity, candidates.to_numpy(dtype=np.float64), {}), table


def errors(epsilon: float, releases: int) -> dict[str, Any]:
    """Means over the releases, and over the segments by their share of the customers."""
    found = []
    for _ in range(releases):
        one = release(split(), budget(epsilon), 0)
        released = pd.DataFrame(published(split(), one, budget(epsilon)).report["segments"])
        known = exact(one)[1]
        share = known["customers"] / known["customers"].sum()
        off = {name: (released[name] / known[name] - 1).abs() for name in ("customers", "spend_per_week")}
        off["elasticity"] = (released["elasticity"] - known["elasticity"]).abs()
        found.append({"segments": len(released), **{name: (error * share).sum() for name, error in off.items()}})
    means = pd.DataFrame(found).mean()
    titles = {"customers": "size, error", "spend_per_week": "spend, error", "elasticity": "elasticity, error"}
    return {"epsilon": epsilon, **means.rename(titles)}


def market(customers: Customers) -> MarketSpec:
    """The market of the 12 weeks after the data, with these customers."""
    options = FitOptions("market", "revenue", "dollars", Assumptions(), Priors(), 20, False, 0)
    ahead = weeks_to_come(tables(), split(), _WEEKS, None)
    return fit_split(ahead, _forecaster(), customers, options, trend_model="naive").spec


@functools.cache
def _forecaster() -> PooledRegression:
    return PooledRegression().fit(weeks_to_come(tables(), split(), _WEEKS, None).past)


def gains(epsilon: float, steps: int, releases: int = 1) -> dict[str, float]:
    """What policies trained on released figures promise and earn in the exact market, against those trained there.

    Means over the releases, over what the regular prices earn.
    """
    found = []
    for _ in range(releases):
        one = release(split(), budget(epsilon), 0)
        noisy = market(published(split(), one, budget(epsilon)))
        truth = market(exact(one)[0])
        learned, best = (train(spec, steps=steps).policy for spec in (noisy, truth))
        found.append([_gain(noisy, learned), _gain(truth, learned), _gain(truth, best)])
    promised, realised, known = np.mean(found, axis=0)
    ratio = (1 + realised) / (1 + known) - 1
    return {"promised": promised, "realised": realised, "exact": known, "revenue against exact": ratio}


def _gain(spec: MarketSpec, policy: Policy) -> float:
    found = evaluate(spec, [policy, "regular"], episodes=_EPISODES, seed=1)
    return found.row(policy.name).objective.mean / found.row("regular").objective.mean - 1


@functools.cache
def forecast_error(epsilon: float | None) -> float:
    """WAPE of the held-out weeks with the network of `Lstm` at its share of epsilon, a mean over three seeds."""
    spent: dict[str, float] = {}
    if epsilon is not None:
        query = budget(epsilon).query(NETWORK)
        spent = {"epsilon": query.epsilon, "delta": query.delta}
    models = [Lstm(seed=seed).set_params(**spent) for seed in range(3 if spent else 1)]
    return float(np.mean([_wape(model.fit(split().past)) for model in models]))


def _wape(model: Forecaster) -> float:
    future = split().future
    released = model.predict(future.drop(columns="units")).merge(future[["product", "week", "units"]])
    return wape(released["units"], released["mean"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=10)
    releases = parser.parse_args().releases
    for epsilon in EPSILONS:
        print(markdown(pd.DataFrame([errors(epsilon, releases)])), flush=True)


if __name__ == "__main__":
    main()
