"""A log message while the market's loops are compiled."""

from __future__ import annotations

import logging

from numba.core.event import Event, Listener, register

_log = logging.getLogger(__name__)
# `repricer.envs`, whose kernels take the time.
_COMPILED = __name__.removesuffix(".jit.compile_notice")


class CompilationNotice(Listener):
    """Logs, once per process, that functions of `repricer.envs` are being compiled.

    Functions in Numba's cache do not count.
    """

    def __init__(self) -> None:
        self._logged = False

    def on_start(self, event: Event) -> None:
        """Numba starts to compile a function."""
        module = str(event.data["dispatcher"].py_func.__module__)  # pyright: ignore[reportOptionalSubscript]
        if not self._logged and module.startswith(_COMPILED):
            self._logged = True
            _log.info("compiling the market's loops: a minute or two, once on this machine")

    def on_end(self, event: Event) -> None:
        """Numba has finished a function: nothing to log."""


register("numba:compile", CompilationNotice())
