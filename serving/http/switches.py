"""Switches that survive the process and reach every instance: their positions are kept in
the decision log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..bundle.files import MANIFEST, BundleError, read_files
from ..bundle.signing import sha256
from ..decision_log.log import DecisionLog
from ..decision_log.storage import LogError
from .deployment import Deployment, DeploymentError

_SECONDS = 0.5
"""Between two looks at what other instances have thrown."""
_log = logging.getLogger(__name__)


class Switches:
    """The switches of a deployment, which last as long as the log; without one, as long
    as the process.

    Args:
        deployment: What they switch.
        log: Where every throw is recorded.
    """

    def __init__(self, deployment: Deployment, log: DecisionLog | None) -> None:
        self._deployment, self._log, self._throwing = deployment, log, threading.Lock()
        self._reason: str | None = None  # why other instances could not be followed the last time
        if log is not None:
            self._restore(log)

    def throw(self, switch: str, change: Callable[[], Any], by: str, reason: str = "") -> Any:
        """Change a switch and record who did it and why; nothing changes where that fails.

        Args:
            switch: kill_switch, holdout, shadow or bundle.
            change: Changes it.
            by: Who.
            reason: Why.

        Raises:
            DeploymentError: It cannot be changed now.
            BundleError: A bundle cannot be trusted.
            LogError: It cannot be recorded.
        """
        with self._throwing:
            before = self._deployment.slots
            found = change()
            position = self._positions()[switch]
            facts = {"switch": switch, "position": position, "by": by, "reason": reason}
            try:
                self._record(switch, position, by, reason)
            except (LogError, BundleError):
                self._deployment.put(before)
                raise
        _log.info("thrown", extra={"facts": facts})
        return found

    async def follow(self) -> None:
        """Do as other instances do, until cancelled."""
        while self._log is not None:
            await asyncio.sleep(_SECONDS)
            await asyncio.to_thread(self._follow, self._log)

    def _follow(self, log: DecisionLog) -> None:
        try:
            with self._throwing:
                self._apply(log, log.switches())
            reason = None
        except (LogError, BundleError, DeploymentError) as error:
            reason = str(error)
        if reason is not None and reason != self._reason:
            _log.error("switches not followed", extra={"facts": {"reason": reason}})
        self._reason = reason

    def _positions(self) -> dict[str, Any]:
        slots = self._deployment.slots
        return {
            "kill_switch": slots.killed,
            "holdout": slots.holdout,
            "shadow": slots.shadow is not None,
            "bundle": self._deployment.bundle.digest,
        }

    def _record(self, switch: str, position: Any, by: str, reason: str) -> None:
        if self._log is None:
            return
        known = switch != "bundle" or self._log.bundle_files(position) is not None
        files = {} if known else read_files(self._deployment.path)
        if files and sha256(files[MANIFEST]) != position:
            raise BundleError(f"{self._deployment.path} must stay while it is loaded; got another bundle; reload again")
        self._log.record_switch(switch, position, by, reason, files)

    def _restore(self, log: DecisionLog) -> None:
        """As the log says; a bundle that it has not seen yet takes over, and so does a kill switch
        at the start.
        """
        kept, own = log.switches(), self._positions()
        if own["kill_switch"] and not kept.get("kill_switch"):
            kept["kill_switch"] = True
            log.record_switch("kill_switch", True, "start", "--kill-switch")
        if log.bundle_files(own["bundle"]) is None:
            kept.pop("bundle", None)
            self._record("bundle", own["bundle"], "start", "a bundle that the log had not seen")
        for switch, position in kept.items():
            if position != own[switch]:
                facts = {"switch": switch, "position": position, "instead_of": own[switch]}
                _log.warning("switch as it was thrown last", extra={"facts": facts})
        self._apply(log, kept)

    def _apply(self, log: DecisionLog, positions: dict[str, Any]) -> None:
        """Bring the switches into these positions, the kill switch first."""
        own, deployment = self._positions(), self._deployment
        setters: dict[str, Callable[[Any], Any]] = {
            "kill_switch": deployment.kill,
            "holdout": deployment.hold_out,
            "bundle": lambda digest: self._activate(log, digest),
        }
        for switch, setter in setters.items():
            if switch in positions and positions[switch] != own[switch]:
                setter(positions[switch])
        if positions.get("shadow", own["shadow"]) != own["shadow"]:
            with contextlib.suppress(DeploymentError):  # not every instance has a second bundle
                deployment.shadow(positions["shadow"])

    def _activate(self, log: DecisionLog, digest: str) -> None:
        files = log.bundle_files(digest)
        if files is not None:
            self._deployment.activate(self._deployment.verified(files))
