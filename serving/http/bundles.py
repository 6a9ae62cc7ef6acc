"""The bundles of a service: the one at its path, and those that the log holds."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..bundle.files import MANIFEST, BundleError, is_encrypted, read_files, sealed_files, sha256
from ..bundle.reading import Bundle, load_bundle
from ..decision_log.log import DecisionLog
from ..documents import FilePath
from .switchboard import Positions


class Bundles:
    """Verified bundles by their digests.

    Args:
        path: Folder of the bundle that a reload reads.
        public_key: PEM file of the key that must have signed every bundle; any key by default.
        log: Holds the files of those that were active or on trial.
        jurisdictions: Those for which every bundle must have been made.
    """

    def __init__(
        self, path: FilePath, public_key: FilePath | None, log: DecisionLog, jurisdictions: Sequence[str] = ()
    ) -> None:
        self.path = Path(path)
        self._public_key = public_key
        self._log = log
        self._jurisdictions = tuple(jurisdictions)
        self._loaded = dict[str, Bundle]()

    def at_path(self) -> Bundle:
        """The bundle that is at the path now. Raises BundleError."""
        bundle = load_bundle(self.path, public_key=self._public_key)
        bundle.check_made_for(self._jurisdictions)
        return self._loaded.setdefault(bundle.digest, bundle)

    def get(self, digest: str) -> Bundle:
        """A bundle that is loaded, or in the log. Raises BundleError, ChainError, LogError."""
        bundle = self._known(digest)
        bundle.check_made_for(self._jurisdictions)
        return bundle

    def check_update(self, bundle: Bundle, active: str) -> None:
        """Raise BundleError where a bundle is older than the active one; ChainError, LogError."""
        try:
            own = bundle.manifest["created"]
            then = self._known(active).manifest["created"]
        except BundleError:
            return  # of a key that no longer counts: it cannot go on here
        if own < then:
            raise BundleError(f"{self.path} must be newer than the active bundle ({then}); got one of {own}; roll back")

    def _known(self, digest: str) -> Bundle:
        if digest not in self._loaded:
            files = self._log.bundle_files(digest)
            if files is None:
                raise BundleError(f"bundle {digest} must be in the log; got none; put it at the path and reload")
            with tempfile.TemporaryDirectory() as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                self._loaded[digest] = load_bundle(folder, public_key=self._public_key)
        return self._loaded[digest]

    def keep(self, digests: Collection[str | None]) -> None:
        """Let go of all others."""
        self._loaded = {digest: bundle for digest, bundle in self._loaded.items() if digest in digests}

    def files(self, positions: Positions) -> dict[str, Mapping[str, bytes]]:
        """The files of the active bundle or of the one on trial, where the log does not have them yet. Raises
        BundleError.
        """
        there = self._log.bundles()
        missing = [digest for digest in (positions.active, *(positions.trial or ())[:1]) if digest not in there]
        if not missing:
            return {}
        files = read_files(self.path)
        if missing != [sha256(files[MANIFEST])]:
            raise BundleError(f"{self.path} must stay while it is loaded; got another bundle; reload again")
        # What is encrypted on the disk stays so in the log.
        return {missing[0]: sealed_files(files) if is_encrypted(self.path) else files}
