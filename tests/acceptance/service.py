"""The price service: what its install holds, how fast it answers, and that no input breaks it or its price rules."""

from __future__ import annotations

import functools
import gc
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path
from typing import Any

import numpy as np
from repricer.agents import train
from repricer.benchmarks import loopback
from repricer.serving import Bundle, DecisionLog, example_state, export, load_bundle
from repricer.serving.http.deployment import Deployment

from .checks import check

ROOT = Path(__file__).parents[2]
SLIM_WITHOUT = ("torch", "gymnasium", "stable_baselines3", "numba", "pandas", "scipy")
FUZZ_EXAMPLES = 1000
"""Cases of each route with a body, and scenarios of several requests."""
FUZZED = 10_000
"""Requests that they must come to."""


@functools.cache
def folder() -> Path:
    """Where this run's bundle and install lie until it ends."""
    return Path(tempfile.mkdtemp(prefix="repricer-acceptance-"))


@functools.cache
def bundle_path() -> Path:
    run = train("stationary-logit", steps=1, settings={"num_envs": 4, "n_steps": 30, "batch_size": 60})
    return export(run, folder() / "bundle")


@functools.cache
def bundle() -> Bundle:
    return load_bundle(bundle_path())


@functools.cache
def slim_python() -> str:
    """A fresh environment with the `serve` extra alone, from a copy so that the build leaves nothing behind."""
    source, home = folder() / "source", folder() / "venv"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "demo", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{source}[serve]"], check=True)
    return str(python)


@check("serving", "training libraries in an install with the serve extra alone", "==", 0, "of torch, gymnasium, …")
def slim_install() -> float:
    code = "import importlib.util, sys; print(sum(importlib.util.find_spec(n) is not None for n in sys.argv[1:]))"
    done = subprocess.run(
        [slim_python(), "-c", code, *SLIM_WITHOUT], check=True, capture_output=True, text=True, cwd=folder()
    )
    return float(done.stdout)


@functools.cache
def started() -> tuple[float, float, float]:
    """Seconds from the command to the first ready answer, by the clock and of CPU, the best of five starts after one that
    compiles; MiB after a load."""
    seconds, cpu, memory = [], [], 0.0
    for _ in range(6):
        port = loopback.free_port()
        before = time.perf_counter()
        with loopback.running(loopback.serve_command(slim_python(), bundle_path(), port), port) as process:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").read()
            seconds.append(time.perf_counter() - before)
            cpu.append(loopback.cpu_seconds(process))
            _ask(port, "/v1/prices", [example_state(bundle().catalogue)] * 1000)
            urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
            memory = max(memory, loopback.memory(process))
    return min(seconds[1:]), min(cpu[1:]), memory


def _ask(port: int, path: str, body: Any) -> Any:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    return json.loads(urllib.request.urlopen(request).read())


@check("serving", "start to the first ready answer, serve extra alone, best of five", "<=", 2, "seconds")
def start_time() -> float:
    return started()[0]


@check("serving", "of them CPU time, which other programs do not lengthen", "<=", 2, "seconds")
def start_cpu() -> float:
    return started()[1]


@check("serving", "memory of all its processes after a thousand prices and the page", "<=", 200, "MiB")
def resident_memory() -> float:
    return started()[2]


@check("serving", "99th percentile at 200 requests a second on one core", "<=", 10, "ms")
def slow_answers() -> float:
    """The better of three rounds: other programs of the machine only ever add time."""
    state = example_state(bundle().catalogue)
    rounds = [loopback.latency(bundle_path(), state, python=slim_python()) for _ in range(3)]
    return min(float(np.quantile(times, 0.99)) for times in rounds) * 1e3


@functools.cache
def large_batches() -> tuple[float, float]:
    """Seconds for 10,000 one-product markets, which is harder than fewer markets of many; by the clock and of CPU."""
    deployment, states = Deployment(bundle_path()), [example_state(bundle().catalogue)] * 10_000
    seconds, cpu = [], []
    for _ in range(5):
        gc.collect()
        before = time.perf_counter(), time.process_time()
        assert len(deployment.answer(states)) == 10_000
        seconds.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    return min(seconds), min(cpu)


@check("serving", "10,000 prices in one batch, best of five", "<=", 0.5, "seconds")
def large_batch() -> float:
    return large_batches()[0]


@check("serving", "of them CPU time, which other programs do not lengthen", "<=", 0.5, "seconds")
def large_batch_cpu() -> float:
    return large_batches()[1]


@functools.cache
def fuzzed() -> tuple[int, int, int, int]:
    """Requests made from the OpenAPI document, those answered 5xx, prices outside the price rules, and breaches of the
    document.

    Not among the checks: that every body of the schema is accepted. A schema cannot say that a name must be printable
    or that an outcome needs its decision.
    """
    port, log = loopback.free_port(), folder() / "fuzzed.db"
    with loopback.running(
        loopback.serve_command(sys.executable, bundle_path(), port, "--log", str(log), "--holdout", "0.2"), port
    ):
        url = f"http://127.0.0.1:{port}"
        options = ["--max-examples", str(FUZZ_EXAMPLES), "--exclude-checks", "positive_data_acceptance", "--seed", "1"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *options]
        said = subprocess.run([*command, "--continue-on-failure"], capture_output=True, text=True, check=False).stdout
        text = urllib.request.urlopen(f"{url}/metrics").read().decode()
    counts = re.findall(r'repricer_requests_total\{route="[^"]*",status="(\d)\d\d"\} (\S+)', text)
    rules, rows = bundle().guardrails, list(DecisionLog(log).export())
    assert rows, "the fuzzer must also hit upon states that get a price"
    outside = sum(not rules.low[0] <= np.float32(row["price"]) <= rules.high[0] for row in rows)
    breaches = said.count("Test Case ID:")
    requests = int(sum(float(n) for _, n in counts))
    # What it says about its phases tells why it made fewer requests.
    if breaches or requests < FUZZED:
        print(said, file=sys.stderr)
    server = sum(float(n) for kind, n in counts if kind == "5")
    return requests, int(server), outside, breaches


@check("serving", "requests made from the OpenAPI document by schemathesis, stateful ones too", ">=", FUZZED)
def fuzzed_requests() -> float:
    return fuzzed()[0]


@check("serving", "of them answered 5xx", "==", 0)
def server_errors() -> float:
    return fuzzed()[1]


@check("serving", "breaches of the OpenAPI document", "==", 0)
def contract_failures() -> float:
    return fuzzed()[3]


@check("serving", "prices given to them outside the price rules", "==", 0)
def prices_outside() -> float:
    return fuzzed()[2]
