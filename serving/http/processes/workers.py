"""Workers: processes that accept the connections of one socket, and the process that keeps them
running. POSIX only.

Each worker is this command line again, with its socket inherited. uvicorn's supervisor would
restart all workers on a hang-up, which means a reload here, and end all where one cannot start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .connections import Listener
from .server import notify

_INHERITED = "REPRICER_WORKER"
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_TURN = 0.1
_STARTING, _SILENT = 60.0, 10.0
"""Seconds after which a worker that is not ready, or gives no sign of life, is replaced."""
_PAUSE = 1.0
"""Seconds between two starts of a worker, five times as many where it could not start."""
_log = logging.getLogger(__name__)


class Inherited(NamedTuple):
    """What a worker got from the process that started it.

    Attributes:
        number: Its number, from 0.
        lives: How many workers of this number there were before.
        listener: File descriptor of the socket.
        sign: File descriptor for its signs of life.
    """

    number: int
    lives: int
    listener: int
    sign: int

    @classmethod
    def here(cls) -> Inherited | None:
        """Of this process; None where it is no worker."""
        words = os.environ.get(_INHERITED)
        return None if words is None else cls(*map(int, words.split()))

    def share_metrics(self) -> None:
        """Count in files that every worker reads, before anything is counted; a worker goes on
        where its predecessor stopped.
        """
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(lambda: self.number)
        Path(os.environ[_METRICS], f"{self.number}.pid").write_text(str(os.getpid()))

    def alive(self) -> bool:
        """Give a sign of life; False where nobody is left to see it."""
        try:
            with contextlib.suppress(BlockingIOError):
                os.write(self.sign, b".")
        except BrokenPipeError:
            return False
        return True


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    signs: int
    started: float
    lives: int
    seen: float | None = None

    def look(self, now: float) -> None:
        """Note a sign of life."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self.signs, 1 << 10):
                self.seen = now

    def stuck(self, now: float) -> bool:
        return now - self.started > _STARTING if self.seen is None else now - self.seen > _SILENT


class Workers:
    """Keeps workers running until SIGTERM or SIGINT; a hang-up is passed on to one of them.

    Args:
        command: The command of a worker.
        listener: The socket that they share.
        count: How many.
        patience: Seconds that they have to stop.
    """

    def __init__(self, command: Sequence[str], listener: Listener, count: int, patience: float) -> None:
        self._command, self._listener, self._count, self._patience = command, listener, count, patience
        self._stopping, self._code = False, 0
        self._workers: list[_Worker] = []

    def run(self) -> int:
        """Run them; returns the exit code, that of the first worker where it could not start."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)
        with tempfile.TemporaryDirectory(prefix="repricer-metrics-") as metrics:
            environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
            self._environment = environment | {_METRICS: metrics}
            # One alone says what is wrong where none can start.
            self._workers.append(self._start(0))
            told = False
            while not self._stopping:
                self._look()
                ready = sum(worker.seen is not None for worker in self._workers)
                if ready and len(self._workers) < self._count:
                    self._workers += [self._start(number) for number in range(1, self._count)]
                if not told and ready == self._count:
                    told = True
                    _log.info("all workers are ready", extra={"facts": {"workers": ready}})
                    notify("READY=1")
                time.sleep(_TURN)
            self._end()
        return self._code

    def _look(self) -> None:
        now = time.monotonic()
        for place, worker in enumerate(self._workers):
            worker.look(now)
            code = worker.process.poll()
            if code is None:
                if worker.stuck(now):
                    _log.error("worker gives no sign of life", extra={"facts": {"worker": worker.number}})
                    worker.process.kill()
            elif all(one.seen is None and not one.lives for one in self._workers):
                self._stopping, self._code = True, code
            elif now - worker.started > (_PAUSE if worker.seen else 5 * _PAUSE):
                _log.error("worker ended", extra={"facts": {"worker": worker.number, "code": code}})
                os.close(worker.signs)
                self._workers[place] = self._start(worker.number, worker.lives + 1)

    def _start(self, number: int, lives: int = 0) -> _Worker:
        signs, sign = os.pipe()
        os.set_blocking(signs, False)
        os.set_blocking(sign, False)
        inherited = Inherited(number, lives, self._listener.fileno(), sign)
        environment: Mapping[str, str] = self._environment | {_INHERITED: " ".join(map(str, inherited))}
        # Standard input is no worker's business.
        process = subprocess.Popen(
            self._command, env=environment, pass_fds=(inherited.listener, sign), stdin=subprocess.DEVNULL
        )
        os.close(sign)
        return _Worker(number, process, signs, time.monotonic(), lives)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _hang_up(self, *_: object) -> None:
        """One worker reloads, and the others follow by the log; one that still starts would end."""
        for worker in self._workers:
            if worker.seen is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGHUP)
                return

    def _end(self) -> None:
        notify("STOPPING=1")
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        until = time.monotonic() + self._patience
        for worker in self._workers:
            try:
                worker.process.wait(max(until - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                _log.error("worker did not stop", extra={"facts": {"worker": worker.number}})
                worker.process.kill()
                worker.process.wait()
        _log.info("all workers have stopped")


def worker_command() -> list[str]:
    """The command line of this process, for a worker: without the folder where the service was
    started, whose files may be called like modules.
    """
    return [sys.executable, "-P", "-m", "repricer.cli", *sys.argv[1:]]
