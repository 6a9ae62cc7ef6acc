"""Prices from the bundle at hand, as the service would give them by the switches that it last named: the same policies,
arms and price rules.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ..serving.bundle.files import manifest_at
from ..serving.bundle.reading import DriftAlarm, load_bundle
from ..serving.documents import FilePath
from ..serving.http.slots import ArmAssignment, Slots, answered
from ..serving.market_state import State, StateError
from ..serving.predictor import Fallback, Predictor, fallback_policy
from .answers import RefusedError
from .switches import Switches


class LocalPrices:
    """The policy of a bundle and its fallbacks; several threads may share them.

    Args:
        path: Folder of the bundle.
        public_key: PEM file of the key that must have signed it; any key by default.

    Raises:
        BundleError: The bundle cannot be read or trusted; a ValueError with one line.
    """

    def __init__(self, path: FilePath, public_key: FilePath | None) -> None:
        self._manifest = manifest_at(Path(path))
        bundle = load_bundle(path, public_key=public_key)
        self.digest = bundle.digest
        self._drift = DriftAlarm(bundle.seen.names)
        self._policy = Predictor(bundle)
        self._fallbacks = {name: Predictor(bundle, fallback_policy(name, bundle)) for name in get_args(Fallback)}
        self._draws = ArmAssignment(0)

    def is_at(self, path: FilePath) -> bool:
        """Whether the bundle at a path is still this one."""
        return manifest_at(Path(path)) == self._manifest

    def price(self, state: State, switches: Switches | None, request_id: str) -> dict[str, Any]:
        """The answer to a state, as the service gives it.

        Args:
            state: Plain data.
            switches: What the service last said. Where it never said anything, its kill switch may be on, and the
                current prices stay, as far as the price rules allow.
            request_id: Names the answer.

        Raises:
            RefusedError: The state is wrong.
        """
        found = answered(self._slots(switches), self._draws_of(switches), [state])[0][0]
        if isinstance(found, StateError):
            raise RefusedError(422, str(found))
        return json.loads(found.to_json(request_id))

    def _slots(self, switches: Switches | None) -> Slots:
        if switches is None:
            return Slots(self._policy, self._fallbacks["in-force"], self._drift, killed=True)
        # The base prices have a name of their own.
        fallback = self._fallbacks.get(switches.fallback, self._fallbacks["base"])
        slots = Slots(self._policy, fallback, self._drift)
        return replace(slots, holdout=switches.holdout, killed=switches.killed)

    def _draws_of(self, switches: Switches | None) -> ArmAssignment:
        """As the service draws arms: a named market stays in its own."""
        if switches is not None and switches.seed != self._draws.seed:
            self._draws = ArmAssignment(switches.seed)
        return self._draws
