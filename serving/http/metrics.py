"""Counters and timings for Prometheus, without customers and prices. Needs the `serve` extra."""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from importlib.metadata import version
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from ...pricing import Guardrails
from ..decision import Decision
from ..product_prices import rules_in
from .canary.guards import LIMITS
from .slots import Slots

_DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
RELOADS = ("swapped", "tried", "same", "refused")
"""What a reload of the bundle comes to."""


class RequestCounts:
    """Counts requests by route and status.

    Args:
        registry: Where the counts are kept.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("repricer_requests", "Requests answered", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "repricer_request_duration_seconds", "Time to answer", ["route"], registry=registry, buckets=_DURATIONS
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Metrics:
    """The metrics of one service, in a registry of its own, so that several can run in one process."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        counter = partial(Counter, registry=own)
        gauge = partial(Gauge, registry=own)
        self.requests = RequestCounts(own)
        self.commits = Histogram(
            "repricer_log_commit_duration_seconds",
            "Time until a decision was on disk",
            registry=own,
            buckets=_DURATIONS,
        )
        self._prices = counter("repricer_prices", "Prices returned", ["arm"])
        self._rules = counter("repricer_rule_changes", "Prices or discounts that a price rule changed", ["rule"])
        self._outside = counter("repricer_outside_training_range", "Products outside the training range", ["feature"])
        self._drift = gauge("repricer_drift_alarm", "1 while too many products lie outside that range", ["feature"])
        self.reloads = counter("repricer_reloads", "Reloads of the bundle", ["result"])
        self._killed = gauge("repricer_kill_switch", "1 while the fallback prices all markets")
        self._holdout = gauge("repricer_holdout_ratio", "Share of markets on the fallback")
        self._certified = gauge("repricer_certificate_state", "1 for the state of the certificate", ["state"])
        self._lower = gauge("repricer_certificate_lower_bound_ratio", "Certified lower bound of the relative gain")
        self._read = gauge("repricer_certificate_timestamp_seconds", "Last day whose sales the certificate has read")
        self._canary = gauge("repricer_canary_ratio", "Share of markets on a newer bundle")
        self._guards = gauge(
            "repricer_canary_guard", "Value of a guard of the newer bundle; NaN where it cannot judge", ["guard"]
        )
        self.canaries = counter("repricer_canaries_ended", "Newer bundles taken back, by guard", ["guard"])
        # A series that begins at its first count rises from nothing, which no alert sees.
        for guard in LIMITS:
            self.canaries.labels(guard)
        for result in RELOADS:
            self.reloads.labels(result)
        self.followed = gauge(
            "repricer_switches_followed_timestamp_seconds",
            "When the switches of all instances were last read and followed",
        )
        self.followed.set_to_current_time()
        self._bundle = gauge("repricer_bundle_info", "1 for the active bundle", ["bundle", "policy", "scenario"])
        self._index = gauge("repricer_price_index", "Basket index of the prices returned last", ["reference"])
        self._last: Decision | None = None
        self._created = gauge("repricer_bundle_created_timestamp_seconds", "When the active bundle was exported")
        build = gauge("repricer_build_info", "1 for the version that runs", ["version", "python"])
        build.labels(version("repricer"), platform.python_version()).set(1)
        ProcessCollector(registry=own)

    def decided(self, decisions: Sequence[Decision], outside: NDArray[np.bool_], features: Iterable[str]) -> None:
        """Count prices, changes by price rules, and products outside the training range.

        Args:
            decisions: What was decided.
            outside: (E, N, F) which features lay outside the range.
            features: Their F names.
        """
        self._last = decisions[-1] if decisions else self._last
        arms = Tally[str]()
        rules = Tally[str]()
        for decision in decisions:
            arms[decision.arm] += len(decision.answer.prices)
            rules.update(rules_in(decision.answer.prices))
        features_outside = dict(zip(features, outside.sum(axis=(0, 1)).tolist(), strict=True))
        for counted, tally in ((self._prices, arms), (self._rules, rules), (self._outside, features_outside)):
            for label, count in tally.items():
                if count:
                    counted.labels(label).inc(count)

    def text(self, slots: Slots, certificate: Mapping[str, Any] | None = None) -> bytes:
        """The metrics in Prometheus' text format, with the present policies, switches, alarms, guards and certificate."""
        self._certified.clear()
        if certificate is not None:
            self._certified.labels(certificate["state"]).set(1)
            self._lower.set(nan if certificate["lower_bound"] is None else certificate["lower_bound"])
            self._read.set(datetime.fromisoformat(certificate["date"] + "T00:00Z").timestamp())
        bundle = slots.active.bundle
        canary = slots.canary
        drift = slots.drift
        self._killed.set(slots.killed)
        self._holdout.set(slots.holdout)
        self._canary.set(0.0 if canary is None else canary.share)
        self._bundle.clear()
        self._bundle.labels(bundle.digest, bundle.policy.name, bundle.scenario).set(1)
        self._created.set(datetime.fromisoformat(bundle.manifest["created"]).timestamp())
        self._index.clear()
        price = None if self._last is None else np.array([one.price for one in self._last.answer.prices])
        for reference, value in index_of(bundle.guardrails, price).items():
            self._index.labels(reference).set(value)
        for guard, value in (dict.fromkeys(LIMITS, 0.0) if canary is None else canary.guards.values).items():
            self._guards.labels(guard).set(nan if value is None else value)
        self._drift.clear()
        for feature in drift.shares:
            self._drift.labels(feature).set(feature in drift.alarms)
        return generate_latest(self.registry)


def index_of(rules: Guardrails, price: NDArray[np.float64] | None) -> dict[str, float]:
    """The basket index of (N,) prices by reference; none without prices, or where no price rule bounds an index."""
    weights = rules.index_weights
    if price is None or weights is None or len(price) != weights.shape[1]:
        return {}
    return dict(zip(rules.index_names, (weights @ price).tolist(), strict=True))
