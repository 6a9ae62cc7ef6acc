"""The service as a process: signals, and what stays outside of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from repricer.benchmarks.loopback import free_port
from repricer.serving import Bundle, DecisionLog, example_state

from .limited import HEAD, health, limited_service

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")


class Service:
    def __init__(self, bundle: Path, log: Path, *options: str, **environment: str) -> None:
        self.port = free_port()
        words = ["serve", str(bundle), "--port", str(self.port), "--log", str(log), *options]
        command = [sys.executable, "-m", "repricer.cli", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        assert self.process.stderr is not None
        self.lines = self.process.stderr
        self.wait_for("listening on")

    def wait_for(self, words: str) -> str:
        for line in self.lines:
            if words in line:
                return line
        raise AssertionError(f"the service ended without {words!r}")


@pytest.fixture
def service(one_path: Path, tmp_path: Path) -> Iterator[Service]:
    shutil.copytree(one_path, tmp_path / "bundle")
    service = Service(tmp_path / "bundle", tmp_path / "log.db")
    yield service
    service.process.kill()
    service.process.wait()
    service.lines.close()


def test_it_reloads_on_a_hang_up_and_finishes_its_requests_when_told_to_stop(
    service: Service, one: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "bundle" / "policy.onnx").write_bytes(b"broken")
    service.process.send_signal(signal.SIGHUP)
    line = json.loads(service.wait_for("reload refused"))
    assert "policy.onnx" in line["reason"]
    # The old bundle still answers: this request is under way when the service is told to stop.
    body = json.dumps([example_state(one.catalogue)] * 200).encode()
    with socket.create_connection(("127.0.0.1", service.port)) as caller:
        head = f"POST /v1/prices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body[:-10])
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        caller.sendall(body[-10:])
        answer = b""
        while part := caller.recv(1 << 16):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])) == 200
    service.wait_for('"stopped"')
    service.process.wait(timeout=20)
    assert DecisionLog(tmp_path / "log.db").verify().rows == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{service.port}/healthz")


def test_quick_callers_keep_their_connection(service: Service, one: Bundle) -> None:
    body = json.dumps([example_state(one.catalogue)] * 300).encode()
    kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    for _ in range(2):
        kept.request("POST", "/v1/prices", body, {"content-type": "application/json"})
        assert len(json.loads(kept.getresponse().read())) == 300
        assert kept.sock is not None
    kept.close()
    request = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as pipelined:
        pipelined.sendall(request * 2 + HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n[]")
        answers = b"".join(iter(lambda: pipelined.recv(1 << 16), b""))
    assert [answers.count(status) for status in (b"HTTP/1.1 200", b"HTTP/1.1 422")] == [2, 1]


def test_a_reader_of_the_log_who_stalls_stops_no_price(service: Service, one: Bundle) -> None:
    caller = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    for _ in range(600):  # a pipe holds 64 KiB, some 270 lines
        caller.request("GET", "/healthz")
        assert caller.getresponse().read()
    body = json.dumps(example_state(one.catalogue))
    caller.request("POST", "/v1/prices", body, {"content-type": "application/json"})
    assert caller.getresponse().status == 200
    caller.close()
    for _ in range(150):
        service.lines.readline()
    caller.request("GET", "/healthz")
    assert caller.getresponse().read()
    assert int(json.loads(service.wait_for("lines_dropped"))["lines_dropped"]) > 100


def test_a_service_that_stops_says_so_and_answers_until_its_end(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        place = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        service = Service(one_path, tmp_path / "log.db", "--drain", "2", **place)
        assert systemd.recv(100) == b"READY=1"
    try:
        kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        service.process.send_signal(signal.SIGTERM)
        statuses = {200}
        while 503 not in statuses:
            kept.request("GET", "/readyz")
            answer = kept.getresponse()
            statuses.add(answer.status)
            answer.read()
        kept.request(
            "POST", "/v1/prices", json.dumps(example_state(one.catalogue)), {"content-type": "application/json"}
        )
        assert kept.getresponse().status == 200
        kept.close()
        assert service.process.wait(timeout=20) in (0, -signal.SIGTERM)
    finally:
        service.process.kill()
        service.lines.close()


def test_a_port_that_is_taken_is_one_line(service: Service, one_path: Path) -> None:
    command = [sys.executable, "-m", "repricer.cli", "serve", str(one_path), "--port", str(service.port)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stderr.splitlines()[-1].count("must be free")) == (2, 1)


def test_a_start_imports_nothing_that_an_answer_does_not_need(one_path: Path, tmp_path: Path) -> None:
    """It would take longer, and a killed service is to be back in two seconds."""
    code = (
        "import sys, repricer.cli.serve as serve; import repricer.serving.http.processes.server; "
        "from repricer.serving.http.settings import ServiceSettings as Settings; "
        f"serve._started({str(one_path)!r}, log={str(tmp_path / 'log.db')!r}, settings=Settings()); print(*sys.modules)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    needless = {"torch", "numba", "scipy", "pandas", "statsmodels", "sklearn", "gymnasium", "alembic", "jinja2"}
    assert "onnxruntime" in loaded
    assert not loaded & {*needless, "repricer.scenarios", "repricer.envs", "repricer.agents"}


_STALLING = """
import sys, time
from pathlib import Path
from repricer.serving.decision_log.storage import Storage

commit = Storage._commit

def stalled(storage, jobs):
    while Path(sys.argv[1]).exists():
        time.sleep(0.1)
    commit(storage, jobs)

Storage._commit = stalled
from repricer.cli import main
main(sys.argv[2:])
"""


def test_it_ends_though_storage_stalls(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    port, stall = free_port(), tmp_path / "stall"
    words = ["serve", str(one_path), "--port", str(port), "--log", str(tmp_path / "log.db")]
    command = [sys.executable, "-c", _STALLING, str(stall), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "listening on" in line:
                break
        stall.touch()
        caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        body = json.dumps(example_state(one.catalogue))
        caller.request("POST", "/v1/prices", body, {"content-type": "application/json"})
        assert caller.getresponse().status == 503
        caller.close()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=25) == 1
        finally:
            process.kill()
        assert "stopped without the log" in process.stderr.read()


def test_idle_connections_beyond_the_open_files_write_one_line_and_stop_no_caller(one_path: Path) -> None:
    with limited_service(one_path, files=96) as (_, port, log), contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert max(health(port) for _ in range(5)) < 5
        time.sleep(1.5)
        lines = log.read_text().splitlines()
    assert sum("too many connections" in line for line in lines) == 1
    assert not any("out of system resource" in line for line in lines)


def test_a_request_of_http_1_1_without_host_is_refused(service: Service) -> None:
    for version, status in ((b"1.1", b"400"), (b"1.0", b"200")):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as caller:
            caller.sendall(b"GET /healthz HTTP/" + version + b"\r\nconnection: close\r\n\r\n")
            assert caller.recv(1 << 12).split()[1] == status
