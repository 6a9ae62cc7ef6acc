"""The price service under load: 30 products, what a price costs, with and without the log, and beside other callers."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import tempfile
from collections.abc import Mapping
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
    1500,
    "requests/s",
)
def with_log() -> float:
    return logged()


@check("serving", f"{PRODUCTS} products: 99th percentile at half of that, open loop, {_CORES}", "<=", 20, "ms")
def at_half() -> float:
    rate = logged() / 2
    with served("--log", str(folder() / "half.db")) as port:
        return load.percentile(f"http://127.0.0.1:{port}/v1/prices", body(), rate=rate)


_QUESTION = {"product": "product 00"}
_OTHERS = {
    "batches of 900 states": ("/v1/prices", lambda: [state(market=f"store {i}") for i in range(900)]),
    "explanations": ("/v1/explain", lambda: _QUESTION | {"state": state()}),
    "what-if questions": ("/v1/what-if", lambda: _QUESTION | {"state": state()}),
}


def beside(name: str) -> None:
    path, other = _OTHERS[name]

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
            large = json.dumps(other()).encode()
            with load.besieged(f"http://127.0.0.1:{second}{path}", large, connections=4, headers=theirs):
                crowded = [_percentile(port, own) for _ in range(2)]
        return min(crowded) / min(alone)


def _percentile(port: int, headers: Mapping[str, str], seconds: float = 10) -> float:
    """Of the time to answer at 100 requests a second."""
    times = asyncio.run(loopback.paced(port, "/v1/prices", body(), rate=100, seconds=seconds, headers=headers))
    return float(np.quantile(times, 0.99))


for _name in _OTHERS:
    beside(_name)
