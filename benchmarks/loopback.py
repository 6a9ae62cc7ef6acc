"""The price service under load over the loopback interface.

Server and load share a machine; the server is a process, pinned to the first core where the
system allows it. Throughput is measured per second of the server's own CPU time, which other
programs do not affect. Linux only: other systems do not report the CPU
time of another process in this way.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CONNECTIONS = 32
_ROUNDS = 5
_EACH = 60


def free_port() -> int:
    """A free port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, *, everywhere: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that accepts connections, on the first core or `everywhere`."""
    pinned = ["taskset", "-c", "0"] if sys.platform == "linux" and not everywhere else []
    process = subprocess.Popen([*pinned, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command} does not listen on port {port}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def serve_command(python: str, bundle: Path, port: int, *options: str) -> list[str]:
    """The command that serves a bundle with a rate limit above the load."""
    return [python, "-m", "repricer.cli", "serve", str(bundle), "--port", str(port), "--rate", "1e6", *options]


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> float:
    started = time.perf_counter()
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the service must answer 200; got {head[:60]!r}")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return time.perf_counter() - started


def _message(path: str, body: bytes, headers: Mapping[str, str] = {}) -> bytes:
    given = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def flood(port: int, path: str, body: bytes) -> None:
    """Thirty-two connections, each with its next request as soon as the last is answered."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(_EACH):
            await _request(reader, writer, _message(path, body))
        writer.close()

    await asyncio.gather(*[one() for _ in range(_CONNECTIONS)])


async def paced(
    port: int, path: str, body: bytes, *, rate: int, seconds: float, headers: Mapping[str, str] = {}
) -> list[float]:
    """Response times at a steady request rate, in seconds, ascending."""
    # Used in turn, so that the server closes none for idling.
    idle = collections.deque([await asyncio.open_connection("127.0.0.1", port) for _ in range(_CONNECTIONS)])
    times: list[float] = []
    message = _message(path, body, headers)

    async def one() -> None:
        connection = idle.popleft() if idle else await asyncio.open_connection("127.0.0.1", port)
        times.append(await _request(connection[0], connection[1], message))
        idle.append(connection)

    started = time.perf_counter()
    tasks = []
    for i in range(int(rate * seconds)):
        await asyncio.sleep(max(started + i / rate - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return sorted(times)


def family(pid: int) -> list[int]:
    """A process, those that it started, and so on."""
    children = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *(one for found in children for child in found for one in family(int(child)))]


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """CPU time of all threads of a server and of the processes that it started so far; the usual
    clock is too coarse.
    """
    threads = (thread for pid in family(process.pid) for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def memory(process: subprocess.Popen[bytes]) -> float:
    """Memory of a server and of the processes that it started, MiB; pages that several share count once."""
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in family(process.pid))
    return sum(int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0]) for text in rollups) / 1024


def throughput(bundle: Path, state: dict[str, Any], python: str = sys.executable) -> float:
    """Requests per CPU second of the service, a median."""
    body = json.dumps(state).encode()
    port = free_port()
    found = []
    with running(serve_command(python, bundle, port), port) as own:
        for _ in range(_ROUNDS):
            before = cpu_seconds(own)
            asyncio.run(flood(port, "/v1/prices", body))
            found.append(_CONNECTIONS * _EACH / (cpu_seconds(own) - before))
    return statistics.median(found)


def latency(
    bundle: Path, state: dict[str, Any], *, rate: int = 200, seconds: float = 15, python: str = sys.executable
) -> list[float]:
    """Response times at a steady request rate, in seconds and ascending."""
    port = free_port()
    with running(serve_command(python, bundle, port), port):
        asyncio.run(flood(port, "/v1/prices", json.dumps(state).encode()))
        return asyncio.run(paced(port, "/v1/prices", json.dumps(state).encode(), rate=rate, seconds=seconds))
