"""Counters and timings for Prometheus, without customers and prices. Needs the `serve` extra."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from ..bundle.reading import Bundle
from .slots import Counted

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one service, in a registry of its own, so that several can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("repricer_requests", "Requests answered", ["route", "status"], **own)
        self._seconds = Histogram(
            "repricer_request_duration_seconds", "Time to answer", ["route"], buckets=_SECONDS, **own
        )
        self.commits = Histogram(
            "repricer_log_commit_duration_seconds", "Time until a decision was on disk", buckets=_SECONDS, **own
        )
        self._prices = Counter("repricer_prices", "Prices returned", ["arm"], **own)
        self._rules = Counter("repricer_rule_changes", "Prices or discounts that a price rule changed", ["rule"], **own)
        self._outside = Counter(
            "repricer_outside_training_range", "Products outside the training range", ["feature"], **own
        )
        self._drift = Gauge(
            "repricer_drift_alarm", "1 while too many products lie outside the training range", ["feature"], **own
        )
        self._shadow_failures = Counter("repricer_shadow_failures", "States that the shadow could not price", **own)
        self._shadow_prices = Counter(
            "repricer_shadow_prices", "Prices of the shadow, by whether they equal those returned", ["same"], **own
        )
        self.reloads = Counter("repricer_reloads", "Reloads of the bundle", ["result"], **own)
        self._killed = Gauge("repricer_kill_switch", "1 while the fallback prices all markets", **own)
        self._holdout = Gauge("repricer_holdout_ratio", "Share of markets on the fallback", **own)
        self._canary = Gauge("repricer_canary_ratio", "Share of markets on a newer bundle", **own)
        self._guards = Gauge("repricer_canary_guard", "Value of a guard of the newer bundle", ["guard"], **own)
        self.canaries = Counter("repricer_canaries_ended", "Newer bundles taken back, by guard", ["guard"], **own)
        self._bundle = Gauge("repricer_bundle_info", "1 for the active bundle", ["bundle", "policy", "scenario"], **own)
        self._created = Gauge("repricer_bundle_created_timestamp_seconds", "When the active bundle was exported", **own)
        build = Gauge("repricer_build_info", "1 for the version that runs", ["version", "python"], **own)
        build.labels(version("repricer"), platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        self._active, self._features = ("", "", ""), set[str]()
        self.span: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext()
        """Traces what is done within it, where a `Telemetry` sends traces."""
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

    def counted(self, counted: Counted, features: Iterable[str]) -> None:
        """Count prices, changes by price rules, agreement of the shadow, and products outside the
        training range, by feature.
        """
        tallies = ((self._prices, counted.arms), (self._rules, counted.rules), (self._shadow_prices, counted.shadow))
        for counter, tally in tallies:
            for label, count in tally.items():
                counter.labels(label).inc(count)
        self._shadow_failures.inc(counted.shadow_failures)
        for feature, count in zip(features, counted.outside.tolist(), strict=True):
            if count:
                self._outside.labels(feature).inc(count)

    def switched(self, killed: bool, holdout: float, canary: float, bundle: Bundle) -> None:
        """Record the position of the switches."""
        self._killed.set(killed)
        self._holdout.set(holdout)
        self._canary.set(canary)
        active = (bundle.digest, bundle.policy.name, bundle.scenario)
        if active != self._active:
            if any(self._active):
                self._bundle.labels(*self._active).set(0)
                self._bundle.clear()
            self._active = active
            self._bundle.labels(*active).set(1)
            self._created.set(datetime.fromisoformat(bundle.manifest["created"]).timestamp())

    def drifted(self, shares: Iterable[str], alarms: Iterable[str], guards: Mapping[str, float]) -> None:
        """Record the drift alarms, and the guards of a newer bundle.

        Args:
            shares: All features.
            alarms: Features whose alarm is on.
            guards: The value of each guard.
        """
        for name, value in guards.items():
            self._guards.labels(name).set(value)
        on = set(alarms)
        self._features.update(shares)
        for feature in self._features:
            self._drift.labels(feature).set(feature in on)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
