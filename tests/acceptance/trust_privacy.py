"""Differential privacy: noise as the theory says, budgets that refuse, what it costs, and attacks on planted canaries."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from repricer.benchmarks import membership, privacy
from repricer.data import DataError
from repricer.fitting.customers import customer_histories
from repricer.privacy.budget import RELEASES, Privacy
from repricer.privacy.ledger import PrivacyLedger
from repricer.profiles import customer_features
from scipy.stats import kstest

from .checks import check
from .trust_tables import CYCLE, said, within, write_shop

_SEEDS = 200


@functools.cache
def standard_errors() -> np.ndarray:
    """Errors of 200 releases at epsilon 1, each in the deviations that the theory gives its noise."""
    split = privacy.split()
    one = privacy.release(split, privacy.budget(1.0), 0)
    features = customer_features(split.sales, as_of=split.sales["date"].max())
    histories = customer_histories(split, features, one.segments.most_spend, one.segments.customers.sum())
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
    Privacy(1.0, ledger).pay(customers=True, network=True)
    try:
        Privacy(0.1, ledger).pay(customers=True, network=False)
    except DataError as error:
        return float("epsilon 0 and" in str(error) and "\n" not in str(error))
    return 0.0


@check(
    "trust",
    "policies trained on three fits' segments at epsilon 1, revenue against those trained on exact ones",
    ">=",
    -0.02,
)
def cost_in_gain() -> float:
    return privacy.gains(1.0, 20_000, 3)["revenue against exact"]


@check(
    "trust",
    "network forecaster in a fit at epsilon 1: WAPE over that of the network without privacy",
    "<=",
    1.05,
    "times",
)
def cost_in_forecast() -> float:
    return privacy.forecast_error(1.0) / privacy.forecast_error(None)


def attack(name: str) -> None:
    @check("trust", f"membership of planted canaries, {name}, without privacy: advantage", ">=", 0.2)
    def exact() -> float:
        return membership.attacked(name, None).mean

    @check("trust", f"membership of planted canaries, {name}, in a fit at epsilon 1: advantage", "<=", 0.02)
    def private() -> float:
        return membership.attacked(name, 1.0).mean


for _name in membership.ATTACKS:
    attack(_name)


@check("trust", "a whole fit at epsilon 1: the most that any attacker's advantage can be, by the theory", "<=", 0.02)
def in_theory() -> float:
    """Statistics are all that is asked of a customer, and the network is all that is asked of a product."""
    return max(membership.in_theory(name, 1.0) for name in membership.ATTACKS)


@check(
    "trust",
    "a shop that fits at epsilon 1 each week, with a budget for two fits: fits paid, the third refused",
    "==",
    2,
)
def weekly() -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_shop(folder)
        (folder / "cycle.toml").write_text(
            CYCLE.format(encrypt="false").replace("[fit]", "[fit]\nepsilon = 1"), encoding="utf-8"
        )
        sales = pd.read_csv(folder / "sales.csv")
        days = sorted(sales["date"].unique())
        with within(folder):
            for week, code in ((-2, 2), (-2, 0), (-1, 0), (len(days), 2)):
                sales[sales["date"].isin(days[:week])].to_csv("sales.csv", index=False)
                output = said("cycle", "cycle.toml", "--train", code=code)
                if week == -2 and code:
                    if "set one: repricer data budget made --epsilon" not in output:
                        raise RuntimeError(output)
                    said("data", "budget", "made", "--epsilon", "1.5")
            document = json.loads(said("data", "budget", "made", "--json"))
    if "are left; got a request for 0.65 and" not in output:
        raise RuntimeError(output)
    return len(document["spent"]) / (len(RELEASES) - 1)
