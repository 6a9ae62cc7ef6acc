from __future__ import annotations

import pytest
from repricer.serving.http.gate.checks import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3.0, clock)
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait("a") == pytest.approx(0.5)
    clock.now = 0.5
    assert limit.wait("a") == 0
    assert limit.wait("a") > 0
    clock.now = 100
    assert [limit.wait("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_callers_have_buckets_of_their_own_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repricer.serving.http.gate.checks._CALLERS", 2)
    limit = RateLimit(1.0, 1.0, Clock())
    assert [limit.wait(name) for name in "abc"] == [0, 0, 0]
    assert limit.wait("c") > 0
    assert limit.wait("a") == 0  # forgotten


def test_what_costs_more_than_is_left_is_a_debt() -> None:
    clock = Clock()
    limit = RateLimit(10.0, 20.0, clock)
    assert limit.wait("batch", 512) == 0
    assert limit.wait("batch") == pytest.approx((1 - (20 - 512)) / 10)
    assert limit.wait("price") == 0
    clock.now = 49.4
    assert limit.wait("batch", 512) == 0
