"""Traces and metrics as a collector of OpenTelemetry receives them."""

from __future__ import annotations

import gzip
import http.server
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, example_state
from repricer.serving.http.app import ServiceSettings, create_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

collector = pytest.importorskip("opentelemetry.proto.collector", reason="needs the extra otel")


class _Collector(http.server.BaseHTTPRequestHandler):
    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.received.append((self.path, plain))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *_: Any) -> None:
        pass


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bytes]]]:
    _Collector.received = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "prices of Oslo")
    yield _Collector.received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_collector_gets_the_spans_of_a_request_and_the_metrics(
    one_path: Path, one: Bundle, tmp_path: Path, received: list[tuple[str, bytes]]
) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with TestClient(create_app(one_path, log=tmp_path / "log.db", settings=ServiceSettings(otel=True))) as client:
        headers = {"traceparent": f"00-{trace}-{caller}-01"}
        answer = client.post("/v1/prices", json=example_state(one.catalogue), headers=headers)
        client.get("/healthz")
        assert client.get("/v1/policy").status_code == 200
    sent = [ExportTraceServiceRequest.FromString(body) for path, body in received if path == "/v1/traces"]
    resource = [item for one in sent for item in one.resource_spans]
    names = {a.key: a.value.string_value for item in resource for a in item.resource.attributes}
    assert names["service.name"] == "prices of Oslo"
    spans = {span.name: span for item in resource for scope in item.scope_spans for span in scope.spans}
    assert set(spans) == {"POST /v1/prices", "price", "commit", "GET /v1/policy"}
    whole = spans["POST /v1/prices"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (trace, caller)
    assert {spans[name].parent_span_id for name in ("price", "commit")} == {whole.span_id}
    marks = {a.key: a.value.string_value for a in whole.attributes}
    assert marks["repricer.request_id"] == answer.headers["x-request-id"]
    measured = [ExportMetricsServiceRequest.FromString(body) for path, body in received if path == "/v1/metrics"]
    metrics = {
        metric.name: metric
        for one in measured
        for item in one.resource_metrics
        for scope in item.scope_metrics
        for metric in scope.metrics
    }
    assert metrics["http.server.request.duration"].unit == "s"
    assert {point.as_double for point in metrics["repricer_prices"].sum.data_points} == {3.0}
    assert metrics["repricer_kill_switch"].gauge.data_points[0].as_double == 0.0
