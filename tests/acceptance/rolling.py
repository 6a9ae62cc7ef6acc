"""Callers of a price client while the two instances behind its address are restarted, one after the other."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from repricer.benchmarks.loopback import free_port, serve_command
from repricer.serving import load_bundle

from .checks import check
from .instances import proxy
from .outages import Outage, calling, connected, counted, wait_for
from .service import bundle_path, folder

_DRAIN = 1.5
_SEEN = 1.2
"""Seconds in which the proxy sees that an instance is ready again."""
_START = 60.0


def rolling(path: Path, home: Path) -> Outage:
    """Price without a pause through HAProxy while both of its instances are restarted in turn.

    The client has no bundle: what the service does not answer is unanswered, or a last known price that says so.

    Args:
        path: Folder of the bundle that both serve.
        home: Folder for their log and the proxy's files.
    """
    bundle, port, log = load_bundle(path), free_port(), home / "rolling.db"
    instances = {name: _Instance(path, log) for name in ("one", "two")}
    with contextlib.ExitStack() as stack:
        for one in instances.values():
            one.start()
            stack.callback(one.stop)
        for one in instances.values():
            one.wait()
        stack.enter_context(proxy({name: one.port for name, one in instances.items()}, port, home))
        _wait_until_ready(port)
        client, callers = stack.enter_context(connected(f"http://127.0.0.1:{port}", None, bundle))
        with calling(callers):
            wait_for(client, "service", more=20)
            for one in instances.values():
                one.stop()
                one.start()
                one.wait()
                time.sleep(_SEEN)
            wait_for(client, "service", more=20)
    return counted(callers, bundle, log)


class _Instance:
    """One price service, which can be restarted."""

    def __init__(self, path: Path, log: Path) -> None:
        self.port = free_port()
        options = ("--log", str(log), "--drain", str(_DRAIN), "--log-level", "error")
        self._command = serve_command(sys.executable, path, self.port, *options)

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Let it drain and end."""
        self._process.terminate()
        self._process.wait(timeout=_START)

    def wait(self) -> None:
        """Until it is ready."""
        _wait_until_ready(self.port)


def _wait_until_ready(port: int) -> None:
    """Until a service, or the proxy before one, is ready."""
    last = time.monotonic() + _START
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).read()
            return
        assert time.monotonic() < last, f"nothing is ready at port {port}"
        time.sleep(0.05)


@functools.cache
def _rolled() -> Outage:
    home = folder() / "rolling"
    home.mkdir()
    found = rolling(bundle_path(), home)
    print(f"rolling restart: {found}", file=sys.stderr)
    return found


_OF = "client, rolling restart of two instances"


@check("serving", f"{_OF}: prices asked for", ">=", 300)
def calls() -> float:
    return _rolled().calls


@check("serving", f"{_OF}: of them not answered by the service within the time-out of 1 s", "==", 0)
def unanswered() -> float:
    found = _rolled()
    return found.calls - found.sources["service"] + found.late


@check("serving", f"{_OF}: answered and not once in the log, with the same prices", "==", 0)
def lost() -> float:
    return _rolled().lost
