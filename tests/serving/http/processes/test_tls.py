"""What callers of other machines reach speaks TLS: the service by its own certificate, and the proxy as it is shipped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from repricer.benchmarks.loopback import free_port
from repricer.serving import Bundle, example_state
from repricer.serving.http.api_keys import add_key

from .certificates import NAME, self_signed
from .limited import limited_service

DEPLOY = Path(__file__).parents[4] / "deploy"
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """A process that listens on a port."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | environment)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, "it ended"
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def served(bundle: Path, port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "repricer.cli", "serve", str(bundle), "--port", str(port), *options]


def asked(port: int, certificate: Path, body: str, **headers: str) -> http.client.HTTPResponse:
    """The answer to a price request over TLS."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting)
    connection.request("POST", "/v1/prices", body, {"content-type": "application/json", **headers})
    return connection.getresponse()


def answers_plain(port: int) -> bool:
    """Whether a request without TLS is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller, contextlib.suppress(OSError):
        caller.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return b"200" in caller.recv(1 << 12)
    return False


def test_the_service_speaks_tls_by_its_own_certificate(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    token, port = add_key(tmp_path / "keys.json", role="price", name="till"), free_port()
    words = ("--host", "0.0.0.0", "--tls-certificate", str(certificate), "--tls-key", str(key))
    with running(served(one_path, port, *words, "--keys", str(tmp_path / "keys.json")), port):
        body = json.dumps(example_state(one.catalogue))
        assert asked(port, certificate, body, authorization=f"Bearer {token}").status == 200
        assert not answers_plain(port)


def test_idle_handshakes_beyond_the_open_files_write_one_line_and_stop_no_caller(
    one_path: Path, one: Bundle, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    body = json.dumps(example_state(one.catalogue))
    words = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with limited_service(one_path, *words, files=96) as (_, port, log), contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        started = time.monotonic()
        assert {asked(port, certificate, body).status for _ in range(5)} == {200}
        assert time.monotonic() - started < 5
        time.sleep(1.5)
        lines = log.read_text().splitlines()
    assert sum("too many connections" in line for line in lines) == 1
    assert not any("out of system resource" in line for line in lines)


def test_an_idle_caller_does_not_delay_the_end(one_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    words = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with limited_service(one_path, *words) as (process, port, _):
        trusting = ssl.create_default_context(cafile=str(certificate))
        idle = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting)
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        process.wait(timeout=20)
        assert time.monotonic() - started < 5
        idle.close()


def test_a_handshake_that_takes_long_is_ended(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    words = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with limited_service(one_path, *words) as (_, port, log):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as idle:
            started = time.monotonic()
            assert idle.recv(1) == b""
            assert 3 < time.monotonic() - started < 15
        assert asked(port, certificate, json.dumps(example_state(one.catalogue))).status == 200
        assert "Traceback" not in log.read_text()


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
def test_the_proxy_as_it_is_shipped_speaks_tls_and_knows_its_names(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    assert HAPROXY is not None
    pem, port, behind = tmp_path / "both.pem", free_port(), free_port()
    certificate, key = self_signed(tmp_path)
    pem.write_text(certificate.read_text() + key.read_text())
    proxy = (DEPLOY / "haproxy/haproxy.cfg").read_text().replace("bind :443 ssl", f"bind 127.0.0.1:{port} ssl")
    (tmp_path / "haproxy.cfg").write_text(proxy)
    instances = (DEPLOY / "haproxy/instances.cfg").read_text()
    own = re.sub(r"(?m)^(    server .*\n)+", f"    server one 127.0.0.1:{behind}\n", instances)
    (tmp_path / "instances.cfg").write_text(own)
    command = [HAPROXY, "-f", str(tmp_path / "haproxy.cfg"), "-f", str(tmp_path / "instances.cfg"), "-db"]
    with (
        running(served(one_path, behind), behind),
        running(command, port, REPRICER_PEM=str(pem), REPRICER_NAMES=f"127.0.0.1 {NAME}"),
    ):
        time.sleep(1.5)  # until it has seen the service
        body = json.dumps(example_state(one.catalogue))
        assert asked(port, certificate, body).status == 200
        assert asked(port, certificate, body, host="127.0.0.1:443").status == 200
        for host in ("other.example", f"{NAME}.other.example", ""):
            assert asked(port, certificate, body, host=host).status == 421, host
        assert not answers_plain(port)
