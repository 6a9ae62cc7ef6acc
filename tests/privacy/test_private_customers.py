"""Segments under noise: right without much noise, and no figure of one customer's in what is published."""

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.fitting.customers import customer_histories, published, release
from repricer.fitting.split import Split, held_out
from repricer.privacy.budget import Privacy
from repricer.privacy.ledger import PrivacyLedger
from repricer.profiles import customer_features

CUSTOMERS, WEEKS = 400, 40


@pytest.fixture(scope="module")
def split() -> Split:
    """Half of the customers buy much at any price, the others little and four times as much at a reduced price."""
    rng = np.random.default_rng(0)
    reduced = rng.random((WEEKS, 3)) < 0.3
    bought = rng.poisson(
        np.where(np.arange(CUSTOMERS)[:, None, None] < CUSTOMERS // 2, 0.6, np.where(reduced, 0.4, 0.1)[None, :, :])
    )
    customer, week, product = bought.nonzero()
    sales = pd.DataFrame(
        {
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(7 * week, unit="D"),
            "product": np.array(list("abc"))[product],
            "customer": [f"c_{n:03}" for n in customer],
            "units": bought[customer, week, product].astype(float),
            "price_paid": np.where(reduced, 3.0, 4.0)[week, product],
            "regular_price": 4.0,
        }
    )
    products = pd.DataFrame({"product": list("abc"), "category": "x", "name": list("abc")})
    return held_out(Tables(sales, products), products, 4, None, "week")


@pytest.fixture
def ledger(tmp_path):
    made = PrivacyLedger(tmp_path / "shop")
    made.set_limit(100.0, 1e-5)
    return made


def test_with_hardly_any_noise_the_segments_are_those_of_the_customers(split, ledger):
    """The noise has no seed, and one release in some hundred is off by more: the median of three counts."""
    ledger.set_limit(200.0, 1e-4)
    privacy = Privacy(60.0, ledger)
    several = [published(split, release(split, privacy, 0), privacy) for _ in range(3)]
    tables = [pd.DataFrame(found.report["segments"]).set_index("name") for found in several]
    for table in tables:
        assert list(table.index) == ["high-spending, full-price", "low-spending, deal-seeking"]
    median = np.median([table[["customers", "elasticity"]] for table in tables], axis=0)
    np.testing.assert_allclose(median[:, 0], CUSTOMERS / 2, atol=8)
    # One does not answer to the price, the other with log(4) / log(4/3).
    assert median[0, 1] > -1
    assert median[1, 1] == pytest.approx(-4.8, abs=1.5)
    for found in several:
        np.testing.assert_allclose(found.units.sum(), split.past["units"].sum(), rtol=1e-9)
        assert found.affinity.shape == found.candidates.shape == (2, 3)


def test_the_noise_of_the_sums_is_what_is_said_of_it(split, ledger):
    privacy = Privacy(1.0, ledger)
    histories = customer_histories(split, customer_features(split.sales), most_spend=30.0, customers=CUSTOMERS)
    labels = np.arange(CUSTOMERS) % 2
    exact, (figures, units) = histories.sums(labels, 2), histories.noise(privacy)
    drawn = [histories.released(labels, 2, privacy) for _ in range(200)]
    error = np.array([(one.figures - exact.figures) / figures for one in drawn])
    assert error.std() == pytest.approx(1.0, abs=0.06)
    assert np.array([(one.units - exact.units) / units for one in drawn]).std() == pytest.approx(1.0, abs=0.08)


def test_one_customer_more_moves_the_sums_by_no_more_than_the_noise_is_for(split):
    """However much that customer buys."""
    features = customer_features(split.sales)
    histories = customer_histories(split, features, most_spend=30.0, customers=CUSTOMERS)
    labels = np.zeros(CUSTOMERS, dtype=int)
    greedy = histories._replace(
        figures=np.vstack([histories.figures, [1, 1e9, 1, 1e9, -1e9]]), units=np.vstack([histories.units, [1e9] * 3])
    )
    before, after = histories.sums(labels, 1), greedy.sums(np.append(labels, 0), 1)
    length = np.linalg.norm((after.figures - before.figures) / histories.scale / 1.6)
    assert length <= 1 + 1e-9
    assert np.linalg.norm(after.units - before.units) <= histories.most_units * (1 + 1e-9)
