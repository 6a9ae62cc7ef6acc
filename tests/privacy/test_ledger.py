"""The budget: sums, refusals that change nothing, and spenders at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from repricer.privacy import PrivacyError
from repricer.privacy.ledger import PrivacyLedger, Query


@pytest.fixture
def ledger(tmp_path):
    made = PrivacyLedger(tmp_path / "shop")
    made.set_limit(1.0, 1e-5)
    return made


def test_what_is_spent_is_recorded_and_a_limit_keeps_it(ledger):
    ledger.spend([Query("sizes", 0.25), Query("means", 0.5, 1e-6)])
    ledger.set_limit(2.0)
    rows = ledger.document()["spent"]
    assert [(row["query"], row["epsilon"], row["delta"]) for row in rows] == [("sizes", 0.25, 0), ("means", 0.5, 1e-6)]
    assert ledger.left().epsilon == pytest.approx(1.25)
    assert ledger.left().delta == pytest.approx(9e-6)


@pytest.mark.parametrize("query", [Query("more", 0.5), Query("riskier", 0.1, 1e-5)])
def test_the_query_after_the_last_is_refused_whole_in_one_line(ledger, query):
    ledger.spend([Query("first", 0.75, 1e-6)])
    before = ledger.path.read_bytes()
    with pytest.raises(PrivacyError, match=r"epsilon 0.25 and delta 9e-06 are left; got a request for ") as refused:
        ledger.spend([query])
    assert "\n" not in str(refused.value)
    assert ledger.path.read_bytes() == before
    ledger.spend([Query("what is left", 0.25, 9e-6)])


def test_no_budget_and_impossible_limits_are_refused(tmp_path):
    ledger = PrivacyLedger(tmp_path / "shop")
    with pytest.raises(PrivacyError, match="must be set before it is spent"):
        ledger.spend([Query("any", 0.1)])
    for epsilon, delta in ((0.0, 1e-5), (float("inf"), 1e-5), (1.0, 1.0)):
        with pytest.raises(PrivacyError, match="needs epsilon above 0"):
            ledger.set_limit(epsilon, delta)


def test_those_who_spend_at_once_never_spend_more_than_there_is(ledger):
    def spend(_):
        try:
            PrivacyLedger(ledger.tables).spend([Query("a tenth", 0.1)])
        except PrivacyError:
            return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(spend, range(16))) == 10
    assert ledger.left().epsilon == pytest.approx(0.0, abs=1e-9)
