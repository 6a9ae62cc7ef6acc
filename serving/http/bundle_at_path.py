"""The bundle that lies at a path now, for a service that prices nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from ..bundle.files import manifest_at
from ..bundle.reading import Bundle, load_bundle
from ..documents import FilePath


class BundleAtPath:
    """The bundle at a path, which is read and verified again where another one lies there. Several threads may use it.

    Args:
        path: Its folder.
        public_key: PEM file of the key that must have signed it; any key by default.
        jurisdictions: Those for which it must have been made.

    Raises:
        BundleError: It cannot be trusted, or was not made for them.
    """

    def __init__(self, path: FilePath, public_key: FilePath | None, jurisdictions: Sequence[str]) -> None:
        self._path = Path(path)
        self._public_key = public_key
        self._jurisdictions = tuple(jurisdictions)
        self._lock = threading.Lock()
        self._manifest = manifest_at(self._path)
        self._bundle = self._loaded()

    def __call__(self) -> Bundle:
        """The bundle. Raises BundleError."""
        with self._lock:
            manifest = manifest_at(self._path)
            if manifest != self._manifest:
                self._bundle = self._loaded()
                self._manifest = manifest
            return self._bundle

    def _loaded(self) -> Bundle:
        bundle = load_bundle(self._path, public_key=self._public_key)
        bundle.check_made_for(self._jurisdictions)
        return bundle
