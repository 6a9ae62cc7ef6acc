"""Differential privacy: noise as the theory says, budgets that refuse, what it costs, and attacks on planted canaries."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from repricer.benchmarks import membership, privacy
from repricer.data import DataError
from repricer.fitting.private_customers import Privacy, customer_histories, private_customers
from repricer.profiles import PrivacyLedger, customer_features
from scipy.stats import kstest

from .checks import check

_SEEDS = 200


@functools.cache
def standard_errors() -> np.ndarray:
    """Errors of 200 releases at epsilon 1, each in the deviations that the theory gives its noise."""
    split = privacy.split()
    one = privacy.release(split, privacy.budget(1.0), 0)
    features = customer_features(split.sales, as_of=split.sales["date"].max())
    histories = customer_histories(split, features, one.segments.most_spend)
    groups, labels = len(one.segments.customers), one.segments.labels
    exact, (figures, units) = histories.sums(labels, groups), histories.noise(privacy.budget(1.0))
    drawn = [histories.released(labels, groups, privacy.budget(1.0)) for _ in range(_SEEDS)]
    errors = [((d.figures - exact.figures) / figures, (d.units - exact.units) / units) for d in drawn]
    return np.concatenate([part.ravel() for both in errors for part in both])


@check("trust", "segments at epsilon 1, 200 releases: deviation of the noise over the theory's, off by", "<=", 0.03)
def noise_deviation() -> float:
    return abs(float(standard_errors().std()) - 1)


@check("trust", "segments at epsilon 1, 200 releases: noise against the normal distribution, p-value", ">=", 0.001)
def noise_shape() -> float:
    return float(kstest(standard_errors(), "norm").pvalue)


@check("trust", "budget spent: the next release is refused in one line that names what is left", "==", 1)
def refused() -> float:
    ledger = PrivacyLedger(Path(tempfile.mkdtemp()) / "shop")
    ledger.set_limit(1.0)
    private_customers(privacy.split(), Privacy(1.0, ledger), 0)
    try:
        private_customers(privacy.split(), Privacy(0.1, ledger), 0)
    except DataError as error:
        return float("epsilon 0 and" in str(error) and "\n" not in str(error))
    return 0.0


@check(
    "trust",
    "policy trained on segments at epsilon 1 against one trained on exact ones, in the exact market",
    ">=",
    -0.02,
)
def cost_in_gain() -> float:
    return privacy.gains(1.0, 20_000)["released against exact"]


@functools.cache
def forecasts() -> pd.DataFrame:
    """WAPE of the held-out weeks by epsilon."""
    return pd.DataFrame(privacy.forecast_errors()).set_index("epsilon")["WAPE"]


@check("trust", "network forecaster at epsilon 4: WAPE over that of the network without privacy", "<=", 1.05, "times")
def cost_in_forecast() -> float:
    return float(forecasts()["4"] / forecasts()["none"])


def attack(name: str) -> None:
    @check("trust", f"membership of planted canaries, {name}, without privacy: advantage", ">=", 0.2)
    def exact() -> float:
        return membership.attacked(name, None).mean

    @check("trust", f"membership of planted canaries, {name}, at epsilon 1: advantage", "<=", 0.02)
    def private() -> float:
        return membership.attacked(name, 1.0).mean


for _name in membership.ATTACKS:
    attack(_name)
