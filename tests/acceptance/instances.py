"""Three instances on one PostgreSQL behind HAProxy, under load: one is killed, all are restarted in turn, a switch is thrown."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repricer.benchmarks.loopback import free_port, serve_command
from repricer.serving import DecisionLog, example_state

from .checks import check
from .debian import program
from .kills import postgres, postgres_programs
from .service import ROOT, bundle, bundle_path, folder

_NAMES = ("one", "two", "three")
_CLIENTS, _PAUSE = 8, 0.02
_JSON = {"content-type": "application/json"}


@dataclass
class Found:
    """What the callers and the proxy saw."""

    decisions: int = 0
    lost: int = 0
    verified: int = 0
    """Decisions whose chain was verified."""
    refused: dict[str, Counter[tuple[str, int]]] = field(default_factory=dict)
    """Answers that were not 200, by phase, by instance and status; -1 where there was none."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Requests whose connection to the proxy broke, by phase."""
    switch_seconds: float = float("inf")
    last_policy_seconds: float = 0.0
    """From the throw to the last answer that was still the policy's."""


class _Instance:
    def __init__(self, name: str, log: str) -> None:
        self.name, self.port = name, free_port()
        options = ("--log", log, "--drain", "1.5", "--log-level", "error")
        self._command = serve_command(sys.executable, bundle_path(), self.port, *options)

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def call(self, path: str) -> Any:
        return json.loads(urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5).read())

    def wait(self) -> None:
        """Until it is ready, and the proxy has seen it."""
        for _ in range(600):
            with contextlib.suppress(OSError):
                if self.call("/readyz"):
                    time.sleep(1.2)
                    return
            assert self.process.poll() is None, "an instance ended by itself"
            time.sleep(0.05)
        raise TimeoutError("an instance did not start")


class _Load:
    """Callers through the proxy, and what they were answered."""

    def __init__(self, port: int) -> None:
        self._port, self._state = port, json.dumps(example_state(bundle().catalogue))
        self._over = threading.Event()
        self.prices: dict[str, dict[str, float]] = {}
        self.arms: list[tuple[float, str]] = []
        self.unanswered = 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(_CLIENTS)]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._over.wait(_PAUSE):
            try:
                connection.request("POST", "/v1/prices", self._state, _JSON)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                connection.close()
                continue
            if response.status != 200:
                print(f"fleet: {time.monotonic():.2f} {response.status} {text[:300]!r}", file=sys.stderr)
            else:
                answer = json.loads(text)
                self.prices[answer["request_id"]] = {item["product"]: item["price"] for item in answer["prices"]}
                self.arms.append((time.monotonic(), answer["arm"]))


@contextlib.contextmanager
def proxy(ports: Mapping[str, int], port: int, home: Path | None = None) -> Iterator[Path]:
    """HAProxy with the configuration of `deploy/`, before services with these names and ports; its log. It speaks plain HTTP
    on this machine, as what is measured is not TLS.

    Args:
        ports: Ports of the services, by name.
        port: Its own.
        home: Folder for its files; that of the acceptance by default.
    """
    haproxy, home = program("haproxy", "haproxy"), home or folder()
    text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    text, count = re.subn(r"bind :443 ssl .*", f"bind 127.0.0.1:{port}", text)
    assert count == 1, "the shipped configuration listens once, with TLS"
    (home / "haproxy.cfg").write_text(text)
    servers = "".join(f"    server {name} 127.0.0.1:{own}\n" for name, own in ports.items())
    text = (ROOT / "deploy/haproxy/instances.cfg").read_text()
    text = re.sub(r"(?m)^(    server .*\n)+", servers, text)
    (home / "instances.cfg").write_text(text)
    files = [word for name in ("haproxy.cfg", "instances.cfg") for word in ("-f", str(home / name))]
    names = os.environ | {"REPRICER_NAMES": "127.0.0.1 localhost"}
    with (home / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([haproxy, *files, "-db"], stdout=log, stderr=log, env=names)
    try:
        yield home / "haproxy.log"
    finally:
        process.terminate()
        process.wait()


def _refused(log: Path, since: int) -> tuple[Counter[tuple[str, int]], int]:
    """Answers that were not 200 since this byte of the proxy's log, and the log's size."""
    text = log.read_bytes()
    rows = re.findall(rb" services/(\S+) [-+\d/]+ (-1|\d{3}) ", text[since:])
    return Counter((name.decode(), int(status)) for name, status in rows if status != b"200"), len(text)


def _thrown(instances: list[_Instance], port: int, load: _Load) -> tuple[float, float]:
    """Seconds from the acknowledged throw of the kill switch until all have it, and until the policy's last answer."""
    body = json.dumps({"on": True, "by": "acceptance", "reason": "trial"}).encode()
    url = f"http://127.0.0.1:{port}/v1/admin/kill-switch"
    started = time.monotonic()
    urllib.request.urlopen(urllib.request.Request(url, body, _JSON, method="PUT"), timeout=10).read()
    waiting = list(instances)
    while waiting and time.monotonic() - started < 10:
        waiting = [one for one in waiting if not one.call("/v1/operation")["kill_switch"]]
        time.sleep(0.01)
    seconds = float("inf") if waiting else time.monotonic() - started
    time.sleep(1)
    return seconds, max((at - started for at, arm in load.arms if arm == "policy"), default=0.0)


@functools.cache
def fleet() -> Found:
    if postgres_programs() is None:
        program("initdb", "postgresql")
    program("haproxy", "haproxy")
    found, port = Found(), free_port()
    with postgres() as log, contextlib.ExitStack() as stack:
        instances = [_Instance(name, log) for name in _NAMES]
        for one in instances:
            one.start()
            stack.callback(one.stop)
        lines = stack.enter_context(proxy({one.name: one.port for one in instances}, port))
        for one in instances:
            one.wait()
        with _Load(port) as load:
            time.sleep(2)
            at = _refused(lines, 0)[1]
            killed = instances[1]
            killed.process.send_signal(signal.SIGKILL)
            killed.process.wait()
            time.sleep(2)
            killed.start()
            killed.wait()
            found.refused["kill"], at = _refused(lines, at)
            found.unanswered["kill"] = load.unanswered
            for one in instances:
                one.stop()
                one.start()
                one.wait()
            found.refused["restart"], at = _refused(lines, at)
            found.switch_seconds, found.last_policy_seconds = _thrown(instances, port, load)
        found.refused["switch"], at = _refused(lines, at)
        found.decisions, found.unanswered["later"] = len(load.prices), load.unanswered - found.unanswered["kill"]
        with contextlib.closing(DecisionLog(log)) as decisions:
            found.verified = decisions.verify().rows
            given = {(row["request_id"], row["product"]): row["price"] for row in decisions.export()}
            found.lost = sum(
                given.get((name, product)) != price
                for name, prices in load.prices.items()
                for product, price in prices.items()
            )
    print(f"fleet: {found}", file=sys.stderr)
    return found


_OF = "three instances, one PostgreSQL, HAProxy"


@check("fleet", f"{_OF}: decisions acknowledged through a kill, restarts and a switch", ">=", 1000)
def fleet_decisions() -> float:
    return fleet().decisions


@check("fleet", f"{_OF}: of them missing in the log, or with another price", "==", 0)
def fleet_lost() -> float:
    return fleet().lost


@check("fleet", f"{_OF}: decisions less those of a chain that verifies", "==", 0)
def fleet_chain() -> float:
    return max(fleet().decisions - fleet().verified, 0)


@check("fleet", f"{_OF}: one killed: answers but 200 from the other two", "==", 0)
def fleet_killed() -> float:
    return sum(count for (name, _), count in fleet().refused["kill"].items() if name != _NAMES[1])


@check("fleet", f"{_OF}: rolling restart and switch: answers but 200, or none", "==", 0)
def fleet_restarted() -> float:
    found = fleet()
    return sum((found.refused["restart"] + found.refused["switch"]).values()) + found.unanswered["later"]


@check("fleet", f"{_OF}: kill switch in all of them", "<=", 2, "seconds")
def fleet_switched() -> float:
    return max(fleet().switch_seconds, fleet().last_policy_seconds)
