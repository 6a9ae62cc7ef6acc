"""Load from a compiled program, `h2load` (Debian's package `nghttp2-client`), so that the caller takes little of the
machine that it measures: as fast as answers come, or at a steady rate.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CONNECTIONS = 64
_START_SECONDS = 1.0
"""In which the callers start; does not count."""


def lacking() -> str | None:
    """The program that this machine lacks, None where it is there."""
    return "no h2load (apt-get install nghttp2-client)" if shutil.which("h2load") is None else None


def saturated(url: str, body: bytes, *, seconds: int = 10) -> float:
    """Answers per second over kept-alive connections, each with its next request as soon as the
    last is answered. Raises RuntimeError where one is not 200.
    """
    asked, _ = _answers(url, body, {}, "-c", str(CONNECTIONS), "-D", f"{_START_SECONDS + seconds:.0f}")
    return float((asked >= _START_SECONDS).sum() / seconds)


def percentile(url: str, body: bytes, *, rate: float, seconds: int = 15, headers: Mapping[str, str] = {}) -> float:
    """The 99th percentile of the time to answer at a steady rate, in milliseconds: each of 64
    callers asks at its own times, whatever the others wait for. Raises RuntimeError where an answer
    is not 200.
    """
    pause = CONNECTIONS / rate
    # Callers begin one after the other, about as far apart as requests are later.
    start = f"{-(-1000 // rate):.0f}ms"
    total = round((_START_SECONDS + seconds) / pause) * CONNECTIONS
    options = ("-c", str(CONNECTIONS), "-n", str(total), "--rps", str(1 / pause), "-r", "1", "--rate-period", start)
    asked, taken = _answers(url, body, headers, *options)
    return 1e3 * float(np.quantile(_from_due_times(taken[asked >= _START_SECONDS], pause), 0.99))


def _from_due_times(taken: NDArray[np.float64], pause: float) -> NDArray[np.float64]:
    """Times to answer, with those of requests that were due while their caller waited for an answer."""
    late = [taken]
    while len(late[-1]):
        late.append(late[-1][late[-1] > pause] - pause)
    return np.concatenate(late)


@contextlib.contextmanager
def besieged(url: str, body: bytes, *, connections: int, headers: Mapping[str, str]) -> Iterator[None]:
    """Somebody else asks as fast as answers come, over some connections. Raises RuntimeError where
    these end before the block does.
    """
    with _h2load(url, body, headers, "-c", str(connections), "-D", "600") as other:
        try:
            yield
            if other.poll() is not None:
                raise RuntimeError(f"the other caller must ask all the time; it ended with {other.returncode}")
        finally:
            other.terminate()
            other.wait()


def _answers(
    url: str, body: bytes, headers: Mapping[str, str], *options: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each request was sent, in seconds after the first one, and the seconds until it was answered."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.tsv"
        with _h2load(url, body, headers, f"--log-file={path}", *options) as process:
            output = process.communicate()[0]
        return _read(path.read_text() if path.exists() else "", output)


def _read(log: str, output: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_answers`, from the log of h2load. Raises RuntimeError where an answer is not 200."""
    rows = np.array([row.split() for row in log.splitlines()], np.float64).reshape(-1, 3)
    statuses = {f"{status:.0f}" for status in rows[:, 1]}
    if statuses != {"200"}:
        raise RuntimeError(f"all answers must be 200; got {', '.join(sorted(statuses)) or output}")
    return (rows[:, 0] - rows[:, 0].min()) / 1e6, rows[:, 2] / 1e6


@contextlib.contextmanager
def _h2load(url: str, body: bytes, headers: Mapping[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        given = {"content-type": "application/json", **headers}
        own = [word for name, value in given.items() for word in ("-H", f"{name}: {value}")]
        command = ["h2load", "--h1", "-t", "1", "-d", file.name, *own, *options, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            yield process
