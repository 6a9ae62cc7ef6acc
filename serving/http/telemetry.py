"""Traces and metrics by OpenTelemetry, sent as OTLP over HTTP. Needs the `otel` extra.

Where they are sent, under which name, and how many are sampled is said by OpenTelemetry's own
variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, …).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

_UNTRACED = "/healthz,/readyz,/metrics"


class Telemetry:
    """Sends a span of every request, of its pricing and of its commit, and the service's metrics.

    Args:
        metrics: The service's counters, which are sent too.
    """

    def __init__(self, metrics: Metrics) -> None:
        os.environ.setdefault("OTEL_SERVICE_NAME", "repricer")
        # The stable names of HTTP: `http.server.request.duration`, in seconds.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        resource = Resource.create({"service.version": version("repricer")})
        self._tracers = TracerProvider(resource=resource)
        self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._meters = MeterProvider(metric_readers=[reader], resource=resource)
        metrics.span = self._tracers.get_tracer("repricer").start_as_current_span
        self._observe(metrics)

    def around(self, gate: ASGIApp) -> ASGIApp:
        """The application with a span around each of its requests."""

        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            async def marked(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("repricer.request_id", scope["state"]["request_id"])
                await send(message)

            span = trace.get_current_span()
            await gate(scope, receive, marked)

        return OpenTelemetryMiddleware(
            named,
            excluded_urls=_UNTRACED,
            exclude_spans=["receive", "send"],
            tracer_provider=self._tracers,
            meter_provider=self._meters,
        )

    def close(self) -> None:
        """Send what is waiting."""
        self._tracers.shutdown()
        self._meters.shutdown()

    def _observe(self, metrics: Metrics) -> None:
        """Send the counters and gauges for Prometheus under the same names."""
        meter = self._meters.get_meter("repricer")
        kinds = {"counter": meter.create_observable_counter, "gauge": meter.create_observable_gauge}
        for family in metrics.registry.collect():
            if family.type in kinds and family.name.startswith("repricer_"):
                kinds[family.type](family.name, [_samples(metrics, family.name)], description=family.documentation)


def _samples(metrics: Metrics, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for family in metrics.registry.collect():
            for sample in family.samples if family.name == name else ():
                if not sample.name.endswith("_created"):
                    labels: dict[str, Any] = sample.labels
                    yield Observation(sample.value, labels)

    return observe
