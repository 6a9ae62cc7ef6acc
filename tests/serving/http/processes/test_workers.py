"""Several workers on one port, and how a process says that it is ready and that it stops."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.benchmarks.loopback import free_port
from repricer.cli import main
from repricer.serving import Bundle, DecisionLog, example_state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")


class Service:
    """A service that systemd would have started, and what it tells systemd."""

    def __init__(self, bundle: Path, folder: Path, *options: str) -> None:
        self.port, self.lines = free_port(), folder / "stderr"
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(folder / "notify"))
        self.systemd.settimeout(60)
        command = [sys.executable, "-m", "repricer.cli", "serve", str(bundle), "--port", str(self.port), *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=self.lines.open("wb"),
            env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify")},
        )

    def told(self) -> str:
        return self.systemd.recv(100).decode()

    def call(self, path: str, body: Any = None, method: str | None = None) -> bytes:
        """The answer over a connection of its own, so that any worker may give it."""
        data, headers = None if body is None else json.dumps(body).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        return urllib.request.urlopen(request, timeout=10).read()

    def ready(self) -> bool:
        try:
            return bool(self.call("/readyz"))
        except urllib.error.HTTPError:
            return False

    def workers(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]


@pytest.fixture
def start(one_path: Path, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def begin(*options: str) -> Service:
        started.append(Service(Path(shutil.copytree(one_path, tmp_path / "bundle")), tmp_path, *options))
        return started[-1]

    yield begin
    for service in started:
        with contextlib.suppress(OSError):
            for pid in service.workers():
                os.kill(pid, signal.SIGKILL)
        service.process.kill()
        service.process.wait()
        service.systemd.close()


def until(true: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_share_port_log_switches_and_metrics_and_are_replaced(
    start: Callable[..., Service], one: Bundle, tmp_path: Path
) -> None:
    state, log = example_state(one.catalogue), tmp_path / "log.db"
    service = start("--workers", "2", "--log", str(log), "--kill-switch")
    assert service.told() == "READY=1"
    first = service.workers()
    assert len(first) == 2
    for _ in range(20):
        service.call("/v1/prices", state)
    answered = 'repricer_requests_total{route="/v1/prices",status="200"} '
    # A worker counts an answer after it has sent it, and may be killed in between.
    assert until(lambda: f"{answered}20.0" in service.call("/metrics").decode())
    os.kill(first[0], signal.SIGKILL)
    for _ in range(20):  # the other one answers, also who was waiting for the first
        service.call("/v1/prices", state)
    assert until(lambda: len(service.workers()) == 2 and first[0] not in service.workers())
    service.call("/v1/admin/kill-switch", {"on": False}, "PUT")
    # The third worker has started, and did not throw the switch of the command line again.
    assert until(lambda: service.lines.read_text().count("startup complete") == 3, 30)
    for _ in range(10):
        assert json.loads(service.call("/v1/operation"))["kill_switch"] is False
    text = service.call("/metrics").decode()
    assert f"{answered}40.0" in text
    assert set(re.findall(r'process_resident_memory_bytes\{worker="(\d)"\}', text)) == {"0", "1"}
    service.process.send_signal(signal.SIGHUP)
    assert until(lambda: 'repricer_reloads_total{result="same"} 1.0' in service.call("/metrics").decode())
    service.process.terminate()
    assert service.told() == "STOPPING=1"
    assert service.process.wait(timeout=20) == 0
    decisions = DecisionLog(log)
    assert decisions.verify().rows == 40
    thrown = [(row["switch"], row["thrown_by"]) for row in decisions.export_switches()]
    assert thrown[:2] == [("kill_switch", "start"), ("bundle", "start")]
    assert thrown[2:] == [("kill_switch", "unnamed"), ("bundle", "hang-up signal")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_the_process_that_started_them(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start("--workers", "2", "--log", str(tmp_path / "log.db"))
    service.told()
    workers = service.workers()
    service.process.kill()
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_service_that_stops_is_not_ready_but_answers(start: Callable[..., Service], one: Bundle) -> None:
    service = start("--drain", "1")
    assert service.told() == "READY=1"
    assert b"ready" in service.call("/readyz")
    service.process.terminate()
    assert until(lambda: not service.ready())
    assert b"prices" in service.call("/v1/prices", example_state(one.catalogue))
    assert service.process.wait(timeout=10) == 0


def test_workers_that_cannot_start_end_with_one_line(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start("--workers", "2", "--log", str(tmp_path / "log.db"), "--public-key", str(tmp_path / "none.pem"))
    assert service.process.wait(timeout=20) == 2
    assert service.lines.read_text().count("none.pem") == 1


def test_workers_need_a_log(one_path: Path) -> None:
    found = CliRunner().invoke(main, ["serve", str(one_path), "--workers", "2"])
    assert (found.exit_code, "--workers above 1 needs --log" in found.output) == (2, True)
