"""Callers who hold connections without using them, and how the service's health answers beside them."""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repricer.benchmarks.loopback import free_port

FILES = 256
"""`ulimit -n` of the service."""
HEAD = b"POST /v1/prices HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
IDLE, EMPTY_LINES = (b"", b""), (b"", b"\r\n")
SLOW_HEADERS, SLOW_BODIES = (HEAD, b"x-a: b\r\n"), (HEAD + b"content-length: 100000\r\n\r\n", b"1")
"""What a caller sends at first, and then ten times a second."""


@dataclass
class Held:
    """Slowest health answer, seconds until the last caller was put out, lines of the log, CPU seconds over the clock's."""

    slowest: float
    closed_after: float
    lines: int
    cpu: float


@contextlib.contextmanager
def limited_service(
    bundle: Path, *options: str, files: int = FILES
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A service that may open few files; its process, its port and its log."""
    port = free_port()
    words = [sys.executable, "-m", "repricer.cli", "serve", str(bundle), "--port", str(port), *options]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *words]
        with log.open("wb") as lines, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=lines) as process:
            until = time.monotonic() + 60
            while b"startup complete" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield process, port, log
            process.kill()


def health(port: int) -> float:
    """Seconds in which the service says that it is well."""
    started = time.perf_counter()
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.request("GET", "/healthz")
    assert asked.getresponse().status == 200
    asked.close()
    return time.perf_counter() - started


def held(bundle: Path, callers: list[tuple[bytes, bytes]], seconds: float = 8) -> Held:
    """Let these callers in, and ask for health until they are all out, or for so many seconds."""
    with limited_service(bundle) as (process, port, log):
        health(port)
        before, started = _cpu(process.pid), time.perf_counter()
        sockets = {}
        for opening, drip in callers:
            one = socket.create_connection(("127.0.0.1", port), timeout=10)
            sockets[one] = drip
            with contextlib.suppress(OSError):
                one.sendall(opening)
        times, last = [], 0.0
        while sockets and (elapsed := time.perf_counter() - started) < seconds:
            times.append(health(port))
            for one, drip in list(sockets.items()):
                if _closed(one, drip):
                    del sockets[one]
                    one.close()
                    last = elapsed
            time.sleep(0.1)
        for one in sockets:
            one.close()
        lines = len(re.findall(rb"\n", log.read_bytes()))
        lines -= log.read_bytes().count(b'"event":"request"')
        return Held(max(times), last if not sockets else float("inf"), lines, (_cpu(process.pid) - before) / elapsed)


def _closed(one: socket.socket, drip: bytes) -> bool:
    try:
        if drip:
            one.sendall(drip)
        readable = select.select([one], [], [], 0)[0]
        return bool(readable) and not one.recv(1 << 16)
    except OSError:
        return True


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
