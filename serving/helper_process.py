"""A process that calls functions for the one that started it: what it computes, and what waits for a
database, does not hold up the interpreter that answers requests.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar, cast

T = TypeVar("T")
_GRACE_SECONDS = 5
_PIPE_BYTES = 1 << 20
"""Most that Linux lets anybody have."""


class HelperError(OSError):
    """The process has ended before it answered; the next call starts another one."""


class HelperProcess:
    """Calls functions in a process of its own, one at a time.

    Functions, arguments and results are pickled. The process ends with the one that started it, and
    leaves signals to it: a pool of the standard library does neither, and imports the command again.

    Args:
        prepare: Gives the first argument of all functions; called in the process when it starts.
        idle: Whether it works only where nothing else wants the core.

    Example:
        >>> helper = HelperProcess(list, "ab")
        >>> helper.call(len)
        2
        >>> helper.close()
    """

    def __init__(self, prepare: Callable[..., Any], *given: Any, idle: bool = False) -> None:
        self._first = (prepare, given, idle)
        self._calling = threading.Lock()
        self._process = self._started()

    def call(self, function: Callable[..., T], *given: Any) -> T:
        """What `function` returns for what was prepared and these arguments. Raises what it raised, and HelperError."""
        message = pickle.dumps((function, given), pickle.HIGHEST_PROTOCOL)
        with self._calling:
            if self._process.poll() is not None:
                self._end()
                self._process = self._started()
            asked, told = self._pipes
            try:
                asked.write(message)
                asked.flush()
                done, result = pickle.load(told)
            except Exception as error:
                # Whatever it was, the next answer would be read from the wrong place.
                self._end()
                raise HelperError("a process of the service has ended") from error
        if not done:
            raise result
        return cast(T, result)

    def close(self) -> None:
        """Let the process end."""
        with self._calling, suppress(OSError, subprocess.TimeoutExpired):
            self._pipes[0].close()
            self._process.wait(_GRACE_SECONDS)
        self._end()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        return cast(Any, self._process.stdin), cast(Any, self._process.stdout)

    def _started(self) -> subprocess.Popen[bytes]:
        # Without the folder where the service was started, whose files may be called like modules.
        command = [sys.executable, "-P", "-m", __name__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=_PIPE_BYTES)
        # Not among the arguments, which everybody on the machine may read: a URL may hold a password.
        with suppress(OSError):
            pickle.dump(self._first, cast(Any, process.stdin))
        return process

    def _end(self) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Call functions until the input ends."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    # What a function prints is no answer.
    sys.stdout = sys.stderr
    with suppress(EOFError, BrokenPipeError):
        prepare, arguments, idle = pickle.load(given)
        if idle:
            _yield_to_others()
        prepared = prepare(*arguments)
        while True:
            function, arguments = pickle.load(given)
            answers.write(_answer(function, prepared, arguments))
            answers.flush()


def _yield_to_others() -> None:
    if hasattr(os, "nice"):
        os.nice(19)
    # Even the nicest process keeps one that wakes waiting for some milliseconds, now and then.
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _answer(function: Callable[..., Any], prepared: Any, given: tuple[Any, ...]) -> bytes:
    try:
        found = (True, function(prepared, *given))
    except Exception as error:
        found = (False, error)
    return pickle.dumps(found, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
