"""What Prometheus may know of the service: counts and times, no customer and no price of one. Needs the `serve` extra."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..decision import Decision

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """One registry a service, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("repricer_requests", "Requests answered", ["route", "status"], **own)
        self._seconds = Histogram("repricer_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, **own)
        self._prices = Counter("repricer_prices", "Prices given", ["arm"], **own)
        self._rules = Counter("repricer_rule_changes", "Prices or discounts that a price rule changed", ["rule"], **own)
        self._outside = Counter("repricer_outside_training_range", "Products seen outside it", ["feature"], **own)
        self._drift = Gauge(
            "repricer_drift_alarm", "1 while too many lie outside the training range", ["feature"], **own
        )
        self.shadow_failures = Counter("repricer_shadow_failures", "States that the shadow could not answer", **own)
        self._shadow_prices = Counter("repricer_shadow_prices", "Prices the shadow gave", ["same"], **own)
        self.reloads = Counter("repricer_reloads", "Bundles read again", ["result"], **own)
        self._killed = Gauge("repricer_kill_switch", "1 while the fallback answers everything", **own)
        self._holdout = Gauge("repricer_holdout_share", "Share of markets on the fallback", **own)
        self._timers = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        # Looking a label up costs as much as counting: each pair is looked up once.
        key = (route, status)
        if key not in self._timers:
            self._timers[key] = (self._requests.labels(route, str(status)), self._seconds.labels(route))
        count, timer = self._timers[key]
        count.inc()
        timer.observe(seconds)

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Count prices, what rules changed, and where the shadow agreed."""
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
        """Note how the switches stand."""
        self._killed.set(killed)
        self._holdout.set(holdout)

    def text(self, shares: Iterable[str], alarms: Iterable[str]) -> bytes:
        """The exposition format, with the drift alarms as they stand; shares: all features, alarms: those that are on."""
        on = set(alarms)
        self._drift.clear()
        for feature in shares:
            self._drift.labels(feature).set(feature in on)
        return generate_latest(self.registry)
