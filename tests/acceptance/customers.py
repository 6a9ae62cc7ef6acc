"""Customers: recommenders on later purchases, segments that repeat and differ in price response, time and memory."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from itertools import combinations

import pandas as pd
from repricer.benchmarks import customers as bench
from repricer.data import choose_products, product_weeks
from repricer.forecasting import segment_response
from scipy.stats import norm

from .checks import check


@functools.cache
def ranks() -> pd.DataFrame:
    """The table of every model, from which the figures are taken; it is printed as well."""
    table = bench.recommenders()
    print(bench.markdown(table.reset_index()), file=sys.stderr)
    return table


@check("customers", "models compared in one table, all and new purchases", ">=", 5, "models")
def models_compared() -> float:
    figures = ["recall", "ndcg", "recall_new", "ndcg_new"]
    return float(ranks()[figures].notna().all(axis=1).sum())


def against(name: str, measure: str, other: str, bar: float) -> None:
    @check("customers", name, ">=", bar, "times")
    def ratio() -> float:
        return float(ranks().loc["EASE^R", measure] / ranks().loc[other, measure])


# Purchases that are new to the customer are the ones by which the market chooses its recommender.
against("new purchases, ndcg@20: EASE^R against popularity", "ndcg_new", "popularity", 1.2)
against("new purchases, recall@20: EASE^R against popularity", "recall_new", "popularity", 1.2)


@check("customers", "segments of held-out customers, two halves, adjusted Rand index", ">=", 0.8)
def stability() -> float:
    return float(bench.segmentation().chosen_["stability"])


@check("customers", "held-out customers to whom the decision tree gives their segment", ">=", 0.9, "of all")
def fidelity() -> float:
    return bench.segmentation().fidelity_


@check("customers", "smallest segment", ">=", 50, "customers")
def smallest_segment() -> float:
    return float(bench.segmentation().summary_["size"].min())


@functools.cache
def responses() -> pd.DataFrame:
    """Elasticity of each segment with its standard error, over the 300 products with the most weeks of sales."""
    tables = bench.tables()
    panel = product_weeks(tables.sales, products=choose_products(tables, n_categories=30, per_category=10))
    return segment_response(tables.sales, bench.segmentation().labels_, panel).set_index("segment")


@check("customers", "95% intervals of elasticity that overlap, pairs of segments", "==", 0, "pairs")
def overlapping_intervals() -> float:
    table = responses()
    reach = norm.ppf(0.975) * table["se"]
    low, high = table["elasticity"] - reach, table["elasticity"] + reach
    print((table.assign(low=low, high=high)).round(3).to_string(), file=sys.stderr)
    return float(sum(low[a] <= high[b] and low[b] <= high[a] for a, b in combinations(table.index, 2)))


@check("customers", "rules, segment names and figures that hold a customer's pseudonym or id", "==", 0, "texts")
def customers_named() -> float:
    fitted = bench.segmentation()
    texts = [fitted.rules(), fitted.summary_.to_json(), fitted.selection_.to_json()]
    return float(sum(any(customer in str(text) for customer in fitted.labels_.index) for text in texts))


_MEASURED = """
import json, resource, sys, time
from repricer.benchmarks import customers as bench
from repricer.profiles import Ease, Segmentation, customer_features
tables = bench.tables()
started = time.process_time()
if {what!r} == "segments":
    features = customer_features(tables.sales, products=tables.products, customers=tables.customers)
    Segmentation().fit(features)
    result = {{"fit": time.process_time() - started}}
else:
    model = Ease().fit(tables.sales)
    fit, started = time.process_time() - started, time.process_time()
    listed = model.recommend(model.customers_, n=20)
    result = {{"fit": fit, "score": time.process_time() - started}}
    assert len(listed) == 20 * len(model.customers_)
scale = 2**30 if sys.platform == "darwin" else 2**20
print(json.dumps(result | {{"gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale}}))
"""


@functools.cache
def measured(what: str) -> dict[str, float]:
    """CPU seconds on one thread, and peak memory, of a fit on all 1.4 million sale lines in a process of its own."""
    script, one_thread = _MEASURED.format(what=what), os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.check_output([sys.executable, "-c", script], env=one_thread))


def resources(what: str, name: str, key: str, bar: float, unit: str) -> None:
    @check("customers", name, "<=", bar, unit)
    def figure() -> float:
        return measured(what)[key]


resources("segments", "features and segments of all sales, one thread", "fit", 60, "CPU s")
resources("segments", "features and segments of all sales, peak memory", "gib", 4, "GiB")
resources("ease", "EASE^R fitted on all sales, one thread", "fit", 60, "CPU s")
resources("ease", "EASE^R fitted on all sales, peak memory", "gib", 4, "GiB")
resources("ease", "EASE^R, top 20 of every customer, one thread", "score", 2, "CPU s")
