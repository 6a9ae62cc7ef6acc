"""A price service under load that is killed and started again, and a PostgreSQL of one's own; tests use them too."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repricer.serving import DecisionLog, example_state, load_bundle

_CLIENTS = 8
_SOME = 12
"""Outcomes that are acknowledged before a kill."""


@dataclass
class Killed:
    """What was acknowledged and is not in the log, how often the chains held, and the seconds of each start after a kill."""

    decisions: int = 0
    outcomes: int = 0
    lost: int = 0
    intact: int = 0
    starts: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def killed(bundle: Path, log: str, kills: int, seed: int = 0) -> Killed:
    """Serve a bundle under load, with `kill -9` at random moments."""
    found, generator, acknowledged = Killed(), random.Random(seed), _Acknowledged()
    state = json.dumps(example_state(load_bundle(bundle).catalogue))
    server = _Server(bundle, log)
    server.start()
    for _ in range(kills):
        clients = [threading.Thread(target=acknowledged.ask, args=(server.port, state)) for _ in range(_CLIENTS)]
        for client in clients:
            client.start()
        _under_load(acknowledged)
        time.sleep(generator.uniform(0.0, 1.0))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for client in clients:
            client.join()
        with contextlib.closing(DecisionLog(log)) as decisions:
            head = decisions.verify()
            found.intact += 1
            found.lost = acknowledged.missing(decisions)
        found.starts.append(server.start())
        if head.rows == 0:
            found.refused.append("no decision was taken before the kill")
    server.process.kill()
    server.process.wait()
    found.decisions, found.outcomes = len(acknowledged.prices), len(acknowledged.sold)
    found.refused += acknowledged.refused
    return found


def _under_load(acknowledged: _Acknowledged) -> None:
    """Wait until some requests more are acknowledged; on a busy machine that takes a while."""
    enough, patience = len(acknowledged.sold) + _SOME, time.monotonic() + 30
    while len(acknowledged.sold) < enough and time.monotonic() < patience:
        time.sleep(0.01)


class _Server:
    def __init__(self, bundle: Path, log: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        serve = [sys.executable, "-m", "repricer.cli", "serve", str(bundle)]
        # As much load as comes, and no line a request among the figures.
        self.command = [*serve, "--port", str(self.port), "--log", log, "--rate", "1e6", "--log-level", "error"]
        # An installed package has its modules compiled, and so has this one from its second start on.
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def start(self) -> float:
        """Seconds until it says that it is ready."""
        started = time.perf_counter()
        self.process = subprocess.Popen(self.command, env=self.environment, stdout=subprocess.DEVNULL)
        while time.perf_counter() - started < 60:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return time.perf_counter() - started
            assert self.process.poll() is None, "the service ended by itself"
            time.sleep(0.01)
        raise TimeoutError("the service did not start")


class _Acknowledged:
    """Clients that ask for prices and tell what sold, until the service is gone; and what it answered them."""

    def __init__(self) -> None:
        self.prices: dict[str, dict[str, float]] = {}
        self.sold: dict[str, float] = {}
        self.refused: list[str] = []

    def ask(self, port: int, state: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not self.refused:
                name, answer = self._post(connection, "/v1/prices", state)
                prices = {item["product"]: item["price"] for item in answer["prices"]}
                self.prices[name] = prices
                units = float(len(self.sold))
                told = [{"request_id": name, "product": product, "units": units} for product in prices]
                self._post(connection, "/v1/outcomes", json.dumps({"outcomes": told}))
                self.sold[name] = units

    def _post(self, connection: http.client.HTTPConnection, path: str, body: str) -> tuple[str, Any]:
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            self.refused.append(f"{path}: {response.status} {answer}")
            raise http.client.HTTPException
        return response.headers.get("x-request-id", ""), answer

    def missing(self, log: DecisionLog) -> int:
        """How many products of acknowledged decisions, and of acknowledged outcomes, are not in the log as they were told."""
        given = {(row["request_id"], row["product"]): row["price"] for row in log.export()}
        told = {(row["request_id"], row["product"]): row["units"] for row in log.export_outcomes()}
        prices = [given.get((name, p)) == price for name, item in self.prices.items() for p, price in item.items()]
        units = [told.get((name, p)) == self.sold[name] for name in self.sold for p in self.prices[name]]
        return prices.count(False) + units.count(False)


def postgres_programs() -> Path | None:
    """Where PostgreSQL's programs are (Debian keeps them off the path), or None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a database of one's own, on a socket in a folder that goes when it is no longer used."""
    programs = postgres_programs()
    assert programs is not None
    # It refuses to run as root.
    other: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if other:
        shutil.chown(folder, "nobody")
    quiet: dict[str, Any] = {**other, "cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    data = str(folder / "data")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
    control = [str(programs / "pg_ctl"), "--pgdata", data, "--wait", "--silent"]
    try:
        initdb = [str(programs / "initdb"), "--pgdata", data, "--auth", "trust", "--username", "repricer"]
        subprocess.run([*initdb, "--encoding", "UTF8", "--no-sync"], **quiet)
        subprocess.run([*control, "--log", str(folder / "log"), "--options", options, "start"], **quiet)
        try:
            yield f"postgresql://repricer@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "--mode", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder)
