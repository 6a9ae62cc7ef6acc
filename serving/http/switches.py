"""Switches that survive the process and reach every instance: their positions are kept in
the decision log, or in a file of the same form.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from ..bundle.files import MANIFEST, BundleError, is_encrypted, read_files, sealed_files
from ..bundle.reading import Bundle
from ..bundle.signing import sha256
from ..decision_log.hash_chain import ChainError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from .canary.money import confidence_of_loss
from .deployment import Deployment, DeploymentError

_SECONDS = 0.5
"""Between two looks at what other instances have thrown."""
_MONEY_SECONDS = 300.0
"""Between two looks at what the markets of a newer bundle earn."""
_MONEY_DECISIONS = 20_000
"""The last decisions, at which it looks: reading them takes a few seconds."""
_log = logging.getLogger(__name__)


class Switches:
    """The switches of a deployment, which last as long as the log or the file; without both, as
    long as the process.

    Args:
        deployment: What they switch.
        log: Where every throw is recorded.
        file: Where it is recorded without a log.
        share: Share of the markets that a newer bundle prices first; 0 for all.

    Raises:
        ValueError: The file holds something else.
    """

    def __init__(
        self, deployment: Deployment, log: DecisionLog | None, file: str | None = None, share: float = 0.0
    ) -> None:
        self._share = share
        self._deployment, self._throwing = deployment, threading.Lock()
        self._own = None if log is not None or file is None else DecisionLog(file)
        self._log = log or self._own
        self._counted = -math.inf
        self._reason: str | None = None  # why other instances could not be followed the last time
        if self._log is not None:
            self._restore(self._log)

    def renew(self, by: str, reason: str = "") -> bool:
        """Let the bundle at the path take over: a share of the markets where one is set, else all.

        Returns:
            Whether it is another bundle than the active one.

        Raises:
            BundleError: It cannot be trusted.
            LogError: It cannot be recorded.
        """
        if not self._share:
            return self.throw("bundle", self._deployment.reload, by, reason)
        reloads = self._deployment.metrics.reloads
        try:
            tried = self.throw("canary", lambda: self._deployment.try_newer(self._share), by, reason)
        except BundleError:
            reloads.labels("refused").inc()
            raise
        reloads.labels("tried" if tried else "same").inc()
        return tried

    def throw(self, switch: str, change: Callable[[], Any], by: str, reason: str = "") -> Any:
        """Change a switch and record who did it and why, and so what it changes with it: a bundle
        that becomes active ends a trial. Nothing changes where that fails.

        Args:
            switch: kill_switch, holdout, shadow, bundle or canary.
            change: Changes it.
            by: Who.
            reason: Why.

        Raises:
            DeploymentError: It cannot be changed now.
            BundleError: A bundle cannot be trusted.
            LogError: It cannot be recorded.
        """
        with self._throwing:
            before, known = self._deployment.slots, self._positions()
            found = change()
            now = self._positions()
            thrown = [name for name, position in now.items() if name == switch or position != known[name]]
            try:
                for name in thrown:
                    self._record(self._log, name, now[name], by, reason)
            except (LogError, BundleError):
                self._deployment.put(before)
                raise
        for name in thrown:
            facts = {"switch": name, "position": now[name], "by": by, "reason": reason}
            _log.info("thrown", extra={"facts": facts})
        return found

    async def follow(self) -> None:
        """Do as other instances do, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await asyncio.to_thread(self._follow)

    def close(self) -> None:
        """Close the file; the log is its owner's to close."""
        if self._own is not None:
            self._own.close()

    def _follow(self) -> None:
        reason = None
        try:
            with self._throwing:
                if self._log is not None:
                    self._apply(self._log, self._log.switches())
            self._guard()
        except (LogError, ChainError, BundleError, DeploymentError) as error:
            reason = str(error)
        if reason is not None and reason != self._reason:
            _log.error("switches not followed", extra={"facts": {"reason": reason}})
        self._reason = reason

    def _guard(self) -> None:
        """Count the money of a trial from time to time, and end one that a guard has stopped."""
        canary = self._deployment.slots.canary
        if canary is None:
            return
        if self._log is not None and self._own is None and time.monotonic() > self._counted + _MONEY_SECONDS:
            self._counted, bundle = time.monotonic(), canary.predictor.bundle
            sold = self._log.sold(first=self._log.ends()[0] - _MONEY_DECISIONS)
            canary.guards.earned(confidence_of_loss(sold, bundle.digest, _costs(bundle)))
        if canary.guards.stopped:
            guard, words = canary.guards.stopped
            self.throw("canary", self._deployment.end_trial, "guard", f"{guard}: {words}")
            self._deployment.metrics.canaries.labels(guard).inc()

    def _positions(self) -> dict[str, Any]:
        slots = self._deployment.slots
        return {
            "kill_switch": slots.killed,
            "holdout": slots.holdout,
            "shadow": slots.shadow is not None,
            "bundle": self._deployment.bundle.digest,
            "canary": None if slots.canary is None else slots.canary.position,
        }

    def _record(self, log: DecisionLog | None, switch: str, position: Any, by: str, reason: str) -> None:
        if log is None:
            return
        digest = position["bundle"] if switch == "canary" and position else position if switch == "bundle" else None
        files = {} if digest is None or log.bundle_files(digest) is not None else read_files(self._deployment.path)
        if files and sha256(files[MANIFEST]) != digest:
            raise BundleError(f"{self._deployment.path} must stay while it is loaded; got another bundle; reload again")
        # What is encrypted on the disk stays so in the log.
        hidden = bool(files) and is_encrypted(self._deployment.path)
        log.record_switch(switch, position, by, reason, sealed_files(files) if hidden else files, digest=digest)

    def _restore(self, log: DecisionLog) -> None:
        """As the log says; a bundle that it has not seen yet takes over, and so does a kill switch
        at the start.
        """
        kept, own = log.switches(), self._positions()
        if own["kill_switch"] and not kept.get("kill_switch"):
            kept["kill_switch"] = True
            log.record_switch("kill_switch", True, "start", "--kill-switch")
        if log.bundle_files(own["bundle"]) is None:
            switch, position = "bundle", own["bundle"]
            if self._share and "bundle" in kept:
                switch, position = "canary", {"bundle": own["bundle"], "share": self._share}
            kept[switch] = position
            self._record(log, switch, position, "start", "a bundle that the log had not seen")
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
            "canary": lambda trial: self._try(log, trial),
        }
        for switch, setter in setters.items():
            if switch in positions and positions[switch] != own[switch]:
                setter(positions[switch])
        if positions.get("shadow", own["shadow"]) != own["shadow"]:
            with contextlib.suppress(DeploymentError):  # not every instance has a second bundle
                deployment.shadow(positions["shadow"])

    def _try(self, log: DecisionLog, trial: dict[str, Any] | None) -> None:
        files = None if trial is None else log.bundle_files(trial["bundle"])
        if trial is None or trial["bundle"] == self._deployment.bundle.digest:
            if self._deployment.slots.canary is not None:
                self._deployment.end_trial()
        elif files is not None:
            self._deployment.try_newer(trial["share"], self._deployment.verified(files))

    def _activate(self, log: DecisionLog, digest: str) -> None:
        files = log.bundle_files(digest)
        if files is not None:
            self._deployment.activate(self._deployment.verified(files))


def _costs(bundle: Bundle) -> dict[str, float]:
    """Unit costs by product where the bundle's objective is profit, currency per unit."""
    if bundle.manifest["objective"] != "profit":
        return {}
    return dict(zip(bundle.catalogue.products, bundle.catalogue.unit_cost.tolist(), strict=True))
