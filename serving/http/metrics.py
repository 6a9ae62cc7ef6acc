"""Counters and timings for Prometheus, without customers and prices. Needs the `serve` extra."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..decision import Decision

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one service, in a registry of its own, so that several can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("repricer_requests", "Requests answered", ["route", "status"], **own)
        self._seconds = Histogram("repricer_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, **own)
        self._prices = Counter("repricer_prices", "Prices returned", ["arm"], **own)
        self._rules = Counter("repricer_rule_changes", "Prices or discounts that a price rule changed", ["rule"], **own)
        self._outside = Counter(
            "repricer_outside_training_range", "Products outside the training range", ["feature"], **own
        )
        self._drift = Gauge(
            "repricer_drift_alarm", "1 while too many products lie outside the training range", ["feature"], **own
        )
        self.shadow_failures = Counter("repricer_shadow_failures", "States that the shadow could not price", **own)
        self._shadow_prices = Counter(
            "repricer_shadow_prices", "Prices of the shadow, by whether they equal those returned", ["same"], **own
        )
        self.reloads = Counter("repricer_reloads", "Reloads of the bundle", ["result"], **own)
        self._killed = Gauge("repricer_kill_switch", "1 while the fallback prices all markets", **own)
        self._holdout = Gauge("repricer_holdout_share", "Share of markets on the fallback", **own)
        self._timers = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        # Looking up a label costs as much as counting, so each pair is looked up once.
        key = (route, status)
        if key not in self._timers:
            self._timers[key] = (self._requests.labels(route, str(status)), self._seconds.labels(route))
        count, timer = self._timers[key]
        count.inc()
        timer.observe(seconds)

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Count prices, changes by price rules, and agreement of the shadow."""
        arms, rules, same = Tally(), Tally(), Tally()
        for decision in decisions:
            prices = decision.answer.prices
            arms[decision.arm] += len(prices)
            for price in prices:
                for change in price.trail:
                    rules[change.rule] += 1
            if decision.shadow is not None:
                theirs = {price.product: price.price for price in decision.shadow.prices}
                same.update(str(theirs[price.product] == price.price).lower() for price in prices)
        for counter, tally in ((self._prices, arms), (self._rules, rules), (self._shadow_prices, same)):
            for label, count in tally.items():
                counter.labels(label).inc(count)

    def outside(self, counts: dict[str, int]) -> None:
        """Count products outside the training range, by feature."""
        for feature, count in counts.items():
            if count:
                self._outside.labels(feature).inc(count)

    def switched(self, killed: bool, holdout: float) -> None:
        """Record the position of the switches."""
        self._killed.set(killed)
        self._holdout.set(holdout)

    def text(self, shares: Iterable[str], alarms: Iterable[str]) -> bytes:
        """The metrics in Prometheus' text format.

        Args:
            shares: All features.
            alarms: Features whose drift alarm is on.
        """
        on = set(alarms)
        self._drift.clear()
        for feature in shares:
            self._drift.labels(feature).set(feature in on)
        return generate_latest(self.registry)
