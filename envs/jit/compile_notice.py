"""A word to whoever waits while the market's loops are compiled."""

from __future__ import annotations

import logging

from numba.core.event import Event, Listener, register

_log = logging.getLogger(__name__)


class CompilationNotice(Listener):
    """Logs, once a process, that functions of this package are being compiled; what is found in Numba's cache is not."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: Event) -> None:
        """Numba begins with a function."""
        module = str(event.data["dispatcher"].py_func.__module__)  # pyright: ignore[reportOptionalSubscript]
        if not self._told and module.startswith(__package__ or ""):
            self._told = True
            _log.info("compiling the market's loops: a minute or two, once on this machine")

    def on_end(self, event: Event) -> None:
        """Nothing to say."""


register("numba:compile", CompilationNotice())
