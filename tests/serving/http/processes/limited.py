"""A service that may open few files, and how its health answers."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from repricer.benchmarks.loopback import free_port

FILES = 256
"""`ulimit -n` of the service."""
HEAD = b"POST /v1/prices HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


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
            try:
                yield process, port, log
            finally:
                process.kill()  # a test that fails would wait for it for ever


def health(port: int) -> float:
    """Seconds in which the service says that it is well."""
    started = time.perf_counter()
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.request("GET", "/healthz")
    assert asked.getresponse().status == 200
    asked.close()
    return time.perf_counter() - started
