"""Counts of requests and the time of their answers, for Prometheus. Needs the `serve` extra."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Bounds of the histograms' buckets."""


class RequestCounts:
    """Counts requests by route and status.

    Args:
        registry: Where the counts are kept.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("repricer_requests", "Requests answered", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "repricer_request_duration_seconds", "Time to answer", ["route"], registry=registry, buckets=SECONDS
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
