"""Load from a compiled program, so that the caller takes little of the machine that it measures:
`wrk` as fast as answers come, `hey` at a steady rate (both packages of Debian).
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

CONNECTIONS = 64
_START_SECONDS = 1.0


def lacking() -> str | None:
    """The programs that this machine lacks, None where it has both."""
    absent = [name for name in ("wrk", "hey") if shutil.which(name) is None]
    return f"no {' and '.join(absent)} (apt-get install {' '.join(absent)})" if absent else None


def saturated(url: str, body: bytes, *, seconds: int = 10) -> float:
    """Answers per second over kept-alive connections, each with its next request as soon as the
    last is answered. Raises RuntimeError where one is not 200.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        # A text of JSON is one of Lua too, but for escapes of other characters.
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = {json.dumps(body.decode())}\n'
        )
        said = _run("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url)
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"all answers must be 200; got {said}")
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def percentile(url: str, body: bytes, *, rate: float, seconds: int = 15, headers: Mapping[str, str] = {}) -> float:
    """The 99th percentile of the time to answer at a steady rate, in milliseconds: each of 64
    callers asks at its own times, whatever the others wait for. The first second, in which these
    start, does not count. Raises RuntimeError where an answer is not 200.
    """
    pause = CONNECTIONS / rate
    with contextlib.ExitStack() as stack:
        callers = []
        # All callers of one hey ask at the same moment: 64 of them would come as bursts of 64.
        for _ in range(CONNECTIONS):
            options = ("-c", "1", "-q", str(1 / pause), "-z", f"{seconds}s", "-o", "csv")
            callers.append(stack.enter_context(_asking(url, body, headers, *options)))
            time.sleep(pause / CONNECTIONS)
        said = [caller.communicate()[0] for caller in callers]
    return 1e3 * _quantile(said, 0.99)


def _quantile(tables: Sequence[str], share: float) -> float:
    """A quantile of the seconds to answer in several tables of hey. Raises RuntimeError where an answer is not 200."""
    rows = [row for table in tables for row in csv.DictReader(table.splitlines())]
    statuses = {row["status-code"] for row in rows}
    if statuses != {"200"}:
        raise RuntimeError(f"all answers must be 200; got {', '.join(sorted(statuses)) or 'none'}")
    times = sorted(float(row["response-time"]) for row in rows if float(row["offset"]) >= _START_SECONDS)
    return times[int(share * len(times))]


@contextlib.contextmanager
def besieged(url: str, body: bytes, *, connections: int, headers: Mapping[str, str]) -> Iterator[None]:
    """Somebody else asks as fast as answers come, over some connections."""
    with _asking(url, body, headers, "-c", str(connections), "-z", "600s", "-t", "60") as other:
        try:
            yield
        finally:
            other.terminate()
            other.wait()


@contextlib.contextmanager
def _asking(url: str, body: bytes, headers: Mapping[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        own = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        command = ["hey", "-m", "POST", "-T", "application/json", "-D", file.name, *own, *options, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            yield process


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
