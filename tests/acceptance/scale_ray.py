"""A sweep on a Ray cluster of two nodes on this machine, of which a worker and then a node are killed."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repricer.benchmarks.loopback import free_port

from .checks import Skip, check
from .weeks_catalogue import run_command, write_chain

_TRAININGS = 24
_SWEEP = """
name = "killed"
scenarios = ["gallego-van-ryzin", "regimes", "stationary-logit"]
algorithms = ["ppo", "a2c"]
seeds = 4
steps = 10000
episodes = 100
"""
_NODE = "from ray.scripts.scripts import main; main()"
_SMALL = ("--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000")
_WORKER = "ray::attempted"


_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def _ray(*arguments: str) -> None:
    command, environment = [sys.executable, "-c", _NODE, *arguments], os.environ | _ENVIRONMENT
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    if ended.returncode:
        raise RuntimeError(f"ray {arguments[0]} failed: {ended.stderr[-2_000:]}")


def _processes(*words: str) -> list[int]:
    """Processes whose command line contains all of these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(path.parent.name))
    return found


@contextmanager
def _cluster() -> Iterator[str]:
    """Two nodes of one core each; the address of the first."""
    address = f"127.0.0.1:{free_port()}"
    try:
        _ray("start", "--head", f"--port={address.partition(':')[2]}", "--include-dashboard=false", *_SMALL)
        _ray("start", f"--address={address}", *_SMALL)
        yield address
    finally:
        _ray("stop", "--force")


def _sweep(folder: Path, on: str, **environment: str) -> subprocess.Popen[bytes]:
    (folder / "sweep.toml").write_text(_SWEEP)
    command = [sys.executable, "-m", "repricer.cli", "sweep", str(folder / "sweep.toml"), "--on", on]
    command += ["--out", str(folder / on), "--workers", "2", "--json"]
    with (folder / f"{on}.json").open("wb") as output:
        return subprocess.Popen(command, stdout=output, env=os.environ | _ENVIRONMENT | environment)


def _results(folder: Path, on: str) -> list[dict[str, Any]]:
    output = (folder / f"{on}.json").read_text()
    if not output.startswith("{"):
        raise RuntimeError(f"--json must print one document; got {output[:500]!r} with --on {on}")
    rows = json.loads(output)["rows"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def _fit(folder: Path, on: str, **environment: str) -> list[bytes]:
    """The files of the markets of a small catalogue, fitted in two parts."""
    market = folder / on / "market"
    command = [sys.executable, "-m", "repricer.cli", "fit", str(folder / "tables"), "--out", str(market), "--on", on]
    subprocess.run([*command, "--at-once", "12"], check=True, capture_output=True, env=os.environ | environment)
    return [path.read_bytes() for path in sorted(market.glob("part-*/**/scenario.*"))]


def _write_tables(folder: Path) -> None:
    write_chain(folder, shops=2)
    tables = ("--sales", str(folder / "sales.csv"), "--products", str(folder / "products.csv"))
    run_command("data", "import", *tables, "--out", str(folder / "tables"))


def _wait_for(folder: Path, results: int, running: subprocess.Popen[bytes]) -> None:
    while len(list((folder / "ray" / "results").glob("*.json"))) < results:
        if running.poll() is not None:
            raise RuntimeError(f"the sweep ended before it had {results} results")
        time.sleep(0.2)


@functools.cache
def _killed() -> tuple[list[dict[str, Any]], list[dict[str, Any]], int, int]:
    """Rows of the cluster and of this machine, number of result files of the cluster, and of fitted files that differ."""
    if importlib.util.find_spec("ray") is None:
        raise Skip("Ray is not installed; pip install 'repricer[scale]'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_tables(folder)
        with _cluster() as address:
            fitted = _fit(folder, "ray", RAY_ADDRESS=address, **_ENVIRONMENT)
            running = _sweep(folder, "ray", RAY_ADDRESS=address)
            _wait_for(folder, 2, running)
            os.kill(_processes(_WORKER)[0], signal.SIGKILL)
            _wait_for(folder, 6, running)
            # The node that joined; its raylet knows the address of the first.
            raylets = sorted(_processes("raylet/raylet"))
            os.kill(raylets[-1], signal.SIGKILL)
            if running.wait():
                raise RuntimeError("the sweep on the cluster failed")
        alike = zip(fitted, _fit(folder, "local"), strict=True)
        different = sum(one != other for one, other in alike)
        local = _sweep(folder, "local")
        if local.wait():
            raise RuntimeError("the sweep on this machine failed")
        files = len(list((folder / "ray" / "results").glob("*.json")))
        return _results(folder, "ray"), _results(folder, "local"), files, different


@check("scale", "trainings that end though a worker and a node were killed", "==", _TRAININGS)
def finished() -> float:
    return sum(row["state"] == "done" for row in _killed()[0])


@check("scale", "results on the cluster, none recorded twice", "==", _TRAININGS)
def recorded() -> float:
    return float(_killed()[2])


@check("scale", "rows that differ from those of this machine, bit for bit", "==", 0)
def differing() -> float:
    cluster, local, *_ = _killed()
    return float(sum(a != b for a, b in zip(cluster, local, strict=True)))


@check("scale", "files of a catalogue fitted in parts on the cluster that differ from those of this machine", "==", 0)
def fitted_otherwise() -> float:
    return float(_killed()[3])
