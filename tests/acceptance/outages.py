"""Callers of a price client whose service is killed, or hangs, for a while; tests use them too."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from repricer.benchmarks.loopback import free_port, serve_command
from repricer.client import AnsweredPrices, PriceClient, UnansweredError
from repricer.serving import Bundle, DecisionLog, example_state, load_bundle

_CALLERS, _PAUSE = 4, 0.01
_TIMEOUT, _POLL = 1.0, 0.5
_START = 60.0
"""Seconds that a service may take to start on a busy machine."""


@dataclass
class Outage:
    """What the callers got.

    Attributes:
        calls: How many prices were asked for.
        failed: Lines of those that got none.
        late: Of those, how many took longer than the time-out.
        sources: How many came from each source.
        unnamed: Answers that are not the service's and give no reason, or claim a decision of the log.
        lost: Answers of the service whose decision is not in the log once, with the same prices.
        outside: Prices outside the price rules.
        slowest: Seconds of the slowest call.
    """

    calls: int = 0
    failed: list[str] = field(default_factory=list)
    late: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0
    lost: int = 0
    outside: int = 0
    slowest: float = 0.0


def outage(path: Path, log: Path, seconds: float, *, hangs: bool = False) -> Outage:
    """Price for a second, then without the service, then with it again.

    Args:
        path: Folder of the bundle, the service's and the client's.
        log: File of the decision log.
        seconds: How long the service is killed.
        hangs: Whether it is stopped instead, so that it takes requests and answers none.
    """
    bundle, port = load_bundle(path), free_port()
    command = serve_command(sys.executable, path, port, "--log", str(log), "--log-level", "error")
    service = subprocess.Popen(command)
    try:
        with connected(f"http://127.0.0.1:{port}", path, bundle) as (client, callers), calling(callers):
            wait_for(client, "service", more=20)
            service.send_signal(signal.SIGSTOP if hangs else signal.SIGKILL)
            time.sleep(seconds)
            if hangs:
                service.send_signal(signal.SIGCONT)
            else:
                service.wait()
                service = subprocess.Popen(command)
            wait_for(client, "service", more=20)
    finally:
        service.kill()
        service.wait()
    return counted(callers, bundle, log)


class Caller(threading.Thread):
    """Asks for the prices of one market until it is told to stop."""

    def __init__(self, client: PriceClient, bundle: Bundle, market: str) -> None:
        super().__init__()
        self._client, self._state = client, example_state(bundle.catalogue) | {"market": market}
        self.over = threading.Event()
        self.seconds, self.found, self.failed = list[float](), list[AnsweredPrices](), list[str]()

    def run(self) -> None:
        while not self.over.wait(_PAUSE):
            started = time.monotonic()
            try:
                self.found.append(self._client.price(self._state))
            except (OSError, ValueError) as error:
                self.failed.append(str(error))
            self.seconds.append(time.monotonic() - started)


@contextlib.contextmanager
def connected(url: str, path: Path | None, bundle: Bundle) -> Iterator[tuple[PriceClient, list[Caller]]]:
    """A client, once the service is up, and its callers.

    Args:
        url: The service.
        path: The bundle of the client; None where it has none.
        bundle: The service's.
    """
    with PriceClient(url, path, timeout=_TIMEOUT, poll=_POLL) as client:
        state, last = example_state(bundle.catalogue), time.monotonic() + _START
        while not _is_served(client, state):
            assert time.monotonic() < last, "the service did not start"
            time.sleep(0.05)
        yield client, [Caller(client, bundle, f"market {number}") for number in range(_CALLERS)]


def _is_served(client: PriceClient, state: dict[str, Any]) -> bool:
    """Whether the service answers; without it, a client that has no bundle has no price either."""
    try:
        return client.price(state).source == "service"
    except UnansweredError:
        return False


@contextlib.contextmanager
def calling(callers: list[Caller]) -> Iterator[None]:
    """While these callers ask."""
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        for caller in callers:
            caller.over.set()
        for caller in callers:
            caller.join()


def wait_for(client: PriceClient, source: str, more: int) -> None:
    """Until so many more prices came from a source."""
    wanted, last = client.counts.get(source, 0) + more, time.monotonic() + _START
    while client.counts.get(source, 0) < wanted:
        assert time.monotonic() < last, f"nothing more came from {source}: {client.counts}"
        time.sleep(0.05)


def counted(callers: list[Caller], bundle: Bundle, log: Path) -> Outage:
    """What the callers got, beside what the log has of it."""
    found = [priced for caller in callers for priced in caller.found]
    seconds = [one for caller in callers for one in caller.seconds]
    result = Outage(len(seconds), [line for caller in callers for line in caller.failed])
    result.late, result.slowest = sum(one > _TIMEOUT for one in seconds), max(seconds)
    result.sources = Counter(priced.source for priced in found)
    with contextlib.closing(DecisionLog(log)) as decisions:
        decisions.verify()
        recorded = Counter((row["request_id"], row["product"], row["price"]) for row in decisions.export())
    for priced in found:
        result.outside += _outside(priced, bundle)
        if priced.source != "service":
            result.unnamed += not priced.reason or priced.request_id is not None
        elif any(recorded[priced.request_id, *item] != 1 for item in priced.prices.items()):
            result.lost += 1
    return result


def _outside(priced: AnsweredPrices, bundle: Bundle) -> int:
    """Prices below or above the bounds of the price rules."""
    prices = np.array([priced.prices[name] for name in bundle.catalogue.products], np.float32)
    rules = bundle.guardrails
    return int(((prices < rules.low) | (prices > rules.high)).sum())
