"""The price service under load: 30 products, what a price costs, with and without the log, and beside other callers."""

from __future__ import annotations

import asyncio
import functools
import http.client
import itertools
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from repricer.benchmarks import load, loopback
from repricer.benchmarks.serving import PRODUCTS, shop_bundle
from repricer.serving import Bundle, example_state, load_bundle
from repricer.serving.http.api_keys import add_key

from .checks import Skip, check

_CORES = "cores shared with the load"


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="repricer-acceptance-"))


@functools.cache
def bundle_path() -> Path:
    return shop_bundle(folder() / "bundle")


@functools.cache
def bundle() -> Bundle:
    return load_bundle(bundle_path())


def state(**more: Any) -> dict[str, Any]:
    """Unlimited stock, as in the simulated market, so that nothing lies outside the training range."""
    own = example_state(bundle().catalogue)
    return own | {"products": [{**item, "on_hand": None} for item in own["products"]]} | more


@functools.cache
def body() -> bytes:
    return json.dumps(state()).encode()


@contextmanager
def served(*options: str, nice: bool = False) -> Any:
    """The port of a service of this bundle, on all cores; one that is nice is for what takes long."""
    port = loopback.free_port()
    command = loopback.serve_command(sys.executable, bundle_path(), port, *options)
    with loopback.running(["nice", "-n", "19", *command] if nice else command, port, everywhere=True):
        yield port


def programs() -> None:
    lacking = load.lacking()
    if lacking:
        raise Skip(lacking)


@functools.cache
def logged() -> float:
    programs()
    with served("--log", str(folder() / "log.db")) as port:
        return load.saturated(f"http://127.0.0.1:{port}/v1/prices", body())


@check(
    "serving",
    f"{PRODUCTS} products: prices with the SQLite log, saturated, 64 connections, {_CORES}",
    ">=",
    800,
    "requests/s",
)
def with_log() -> float:
    prices = logged()
    print(f"  a bare endpoint gives {bare():.0f} answers/s here, prices with the log {prices:.0f}")
    return prices


@functools.cache
def bare() -> float:
    """Answers a second of an endpoint that parses the same body and answers as many bytes, saturated."""
    with served() as port:
        address = f"http://127.0.0.1:{port}/v1/prices"
        question = urllib.request.Request(address, body(), {"content-type": "application/json"})
        answer = urllib.request.urlopen(question).read()
    path = folder() / "answer.json"
    path.write_bytes(answer)
    port = loopback.free_port()
    command = [sys.executable, "-m", "repricer.benchmarks.bare_endpoint", str(port), str(path)]
    with loopback.running(command, port, everywhere=True):
        return load.saturated(f"http://127.0.0.1:{port}/v1/prices", body())


@check("serving", f"{PRODUCTS} products: 99th percentile at half of that, open loop, {_CORES}", "<=", 20, "ms")
def at_half() -> float:
    rate = logged() / 2
    with served("--log", str(folder() / "half.db")) as port:
        return load.percentile(f"http://127.0.0.1:{port}/v1/prices", body(), rate=rate)


_QUESTION = {"product": "product 00"}
_QUESTIONS = {"explanations": "/v1/explain", "what-if questions": "/v1/what-if"}


def beside(name: str) -> None:
    path = _QUESTIONS[name]

    @check(
        "serving",
        f"{PRODUCTS} products: 99th percentile of a price beside {name}, over its value alone",
        "<=",
        2,
        "times",
    )
    def measure() -> float:
        programs()
        keys = folder() / f"{name}.json".replace(" ", "-")
        own, theirs = (
            {"Authorization": f"Bearer {add_key(keys, role='price', name=who)}"} for who in ("till", "other")
        )
        options = ("--keys", str(keys), "--log", str(folder() / f"{name}.db".replace(" ", "-")), "--rate", "500")
        with served(*options) as port, served(*options, nice=True) as second:
            _percentile(port, own, seconds=2)
            alone = [_percentile(port, own) for _ in range(2)]
            large = json.dumps(_QUESTION | {"state": state()}).encode()
            with load.besieged(f"http://127.0.0.1:{second}{path}", large, connections=4, headers=theirs):
                crowded = [_percentile(port, own) for _ in range(2)]
        return min(crowded) / min(alone)


def _percentile(port: int, headers: Mapping[str, str] = {}, seconds: float = 10) -> float:
    """Of the time to answer at 100 requests a second, in seconds."""
    times = asyncio.run(loopback.paced(port, "/v1/prices", body(), rate=100, seconds=seconds, headers=headers))
    return float(np.quantile(times, 0.99))


for _name in _QUESTIONS:
    beside(_name)

_STATES, _OUTCOMES = 900, 10_000


class _Other(threading.Thread):
    """Somebody who asks a service without a pause; notes the seconds of each answer, and the last one."""

    def __init__(self, port: int, path: str, texts: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._texts = port, path, texts
        self.over, self.seconds, self.answers = threading.Event(), list[float](), list[Any]()

    def run(self) -> None:
        caller = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for text in self._texts:
            if self.over.is_set():
                break
            started = time.perf_counter()
            caller.request("POST", self._path, text, {"content-type": "application/json"})
            answer = caller.getresponse()
            content = answer.read()
            self.seconds.append(time.perf_counter() - started)
            assert answer.status == 200, content[:500]
            self.answers = [content]


@functools.cache
def beside_batches() -> tuple[float, float]:
    """The 99th percentile of a price, and the median of a batch that a second service at a lower priority answers."""
    batch = json.dumps([state(market=f"store {i}") for i in range(_STATES)]).encode()
    log = ("--log", str(folder() / "batches.db"))
    with served(*log) as port, served(*log, nice=True) as second:
        _percentile(port, seconds=2)
        other = _Other(second, "/v1/prices", itertools.repeat(batch))
        other.start()
        found = min(_percentile(port) for _ in range(2))
        other.over.set()
        other.join()
    return found, float(np.median(other.seconds))


@check("serving", f"{PRODUCTS} products: 99th percentile of a price beside batches of {_STATES} states", "<=", 60, "ms")
def price_beside_batches() -> float:
    return 1e3 * beside_batches()[0]


@check("serving", f"{PRODUCTS} products: such a batch beside prices, the median", "<=", 1, "seconds")
def batch_beside_prices() -> float:
    return beside_batches()[1]


@check(
    "serving",
    f"{PRODUCTS} products: 99th percentile of a price beside uploads of {_OUTCOMES:,} outcomes",
    "<=",
    60,
    "ms",
)
def price_beside_outcomes() -> float:
    log = ("--log", str(folder() / "outcomes.db"))
    with served(*log) as port:
        _percentile(port, seconds=2)
        names = list[str]()
        while len(names) < _OUTCOMES:
            batch = json.dumps([state(market=f"store {len(names) + i}") for i in range(_STATES)]).encode()
            asked = _Other(port, "/v1/prices", [batch])
            asked.run()
            names += [answer["request_id"] for answer in json.loads(asked.answers[0])]
        products = bundle().catalogue.products
        texts = [
            json.dumps({"outcomes": [{"request_id": n, "product": p, "units": 1} for n in names[:_OUTCOMES]]}).encode()
            for p in products
        ]
        other = _Other(port, "/v1/outcomes", texts)
        other.start()
        found = _percentile(port, seconds=8)
        other.over.set()
        other.join()
    assert other.seconds, "no upload ended"
    return 1e3 * found
