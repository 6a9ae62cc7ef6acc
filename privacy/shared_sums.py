"""Sums over shops of which no shop sees a part: files in a folder that all reach, under masks that cancel between each two.

The masks are those of Bonawitz et al. (2017), Practical Secure Aggregation for Privacy-Preserving Machine
Learning, without recovery: where a shop is gone, the others begin again without it, in a new folder.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..atomic import write_whole

LEAST_SHOPS = 3
"""With two, each would know the other's sums from the total."""
WORD = 16
"""Bytes of a number: 128 bits, of which 64 stand after the point."""
_SCALE, _MODULUS = 2.0**64, 1 << 8 * WORD
_LARGEST = 2.0**40
_TAG, _PAUSE = 32, 0.05
_NAME = re.compile(r"[\w-]{1,40}\Z")
_OPENING, _STOP = "shop", "stop"


class FederationError(ValueError):
    """What ends a sum over many shops; the message is one line.

    Example:
        >>> raise FederationError("shop 'east' gave up")
        Traceback (most recent call last):
        repricer.privacy.shared_sums.FederationError: shop 'east' gave up
    """


class Masks:
    """The secrets that a shop has with each other shop, for one folder.

    Attributes:
        public: Its X25519 public key, which the others need.

    Example:
        >>> shops = [Masks("east"), Masks("west")]
        >>> keys = {shop.name: shop.public for shop in shops}
        >>> parts = [shop.masked(np.array([value, 1.0]), 1, keys) for shop, value in zip(shops, (0.25, -2.0))]
        >>> unmasked(parts).tolist()
        [-1.75, 2.0]
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def masked(self, values: np.ndarray, number: int, keys: Mapping[str, bytes]) -> bytes:
        """The values under the masks of a round, `WORD` bytes each.

        Args:
            values: (n,) numbers.
            number: Of the round; masks are used once, so a number must not come again.
            keys: Public key of each shop, by name.

        Raises:
            FederationError: A value is not finite, or too large.
        """
        if not (np.abs(values) < _LARGEST).all():
            raise FederationError(f"its sums must be finite and below {_LARGEST:.0e}; check its sales and prices")
        words = [round(value * _SCALE) for value in values.tolist()]
        for name, public in keys.items():
            if name != self.name:
                sign = 1 if self.name < name else -1
                stream = _words(self._stream(public, number, len(words)))
                words = [word + sign * mask for word, mask in zip(words, stream, strict=True)]
        return b"".join((word % _MODULUS).to_bytes(WORD) for word in words)

    def _stream(self, public: bytes, number: int, size: int) -> bytes:
        """The bytes that both shops of a pair draw from their secret for a round."""
        secret = self._private.exchange(X25519PublicKey.from_public_bytes(public))
        both = b"".join(sorted((self.public, public)))
        seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"repricer federate mask" + both).derive(secret)
        return Cipher(ChaCha20(seed, number.to_bytes(16)), mode=None).encryptor().update(bytes(size * WORD))


def unmasked(parts: Iterable[bytes]) -> np.ndarray:
    """The sum (n,) of what all shops of a round wrote.

    Args:
        parts: The masked values of each shop.

    Raises:
        ValueError: They are not equally many.
    """
    totals = [sum(column) % _MODULUS for column in zip(*map(_words, parts), strict=True)]
    return np.array([(total - _MODULUS if total >= _MODULUS // 2 else total) / _SCALE for total in totals])


def _words(content: bytes) -> list[int]:
    return [int.from_bytes(content[at : at + WORD]) for at in range(0, len(content), WORD)]


class SharedFolder:
    """A shop's place in a folder in which shops add up numbers, each alike and in the same order.

    It writes NAME.shop, which says what it sums, and NAME.1, NAME.2 and so on, its masked numbers of each round; NAME.stop
    where it gives up. Each file carries an HMAC of the common key over all openings, so that no one else can write one, and
    none of another fit counts.

    Args:
        folder: The folder, new for each fit.
        key: What all who take part know.
        name: Of the shop, for the others: letters, digits, `_` and `-`.
        shops: Number of shops.
        about: What is summed, in words that must be the same in all shops.
        facts: What this shop tells all others of itself, as JSON.
        wait: Longest time to wait for another shop's file, in seconds.
        say: Called with a line each round.

    Attributes:
        facts: Of every shop, by name, once all are there.

    Raises:
        FederationError: The folder is not there or was used before, too few shops come, or they sum something else.

    Example:
        >>> with SharedFolder(folder, key, name="east", shops=3, about="visits") as shared:  # doctest: +SKIP
        ...     total = shared.sum(np.array([120.0]))
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        *,
        name: str,
        shops: int,
        about: str,
        facts: Mapping[str, Any] | None = None,
        wait: float = 3600.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        if shops < LEAST_SHOPS:
            raise FederationError(f"shops must be {LEAST_SHOPS} or more, or sums would tell their parts; got {shops}")
        if not _NAME.match(name):
            raise FederationError(
                f"a shop's name must be 1 to 40 letters, digits, `_` or `-`; got {name!r}; choose another"
            )
        if not folder.is_dir():
            raise FederationError(f"shops must meet in a folder that all reach; got {folder}, which is none; make it")
        if (folder / f"{name}.{_OPENING}").exists():
            raise FederationError(
                f"{folder} must be new for each fit; got shop '{name}' in it; all take another folder"
            )
        self._folder, self._key, self._wait, self._say = folder, key, wait, say
        self._masks, self._number, self._session = Masks(name), 0, b""
        opening = {"about": about, "key": self._masks.public.hex(), "facts": dict(facts or {})}
        self._write(_OPENING, json.dumps(opening).encode())
        say(f"shop '{name}' waits in {folder} for {shops - 1} more")
        self._meet(shops, about)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Tell the others where the shop cannot go on."""
        if error is not None:
            self._write(_STOP, b"")

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of all shops' values, which each learns, and no shop learns another's.

        Args:
            values: (n,) numbers, as many in each shop.

        Raises:
            FederationError: A value is not finite, or a shop gave up or is gone.
        """
        self._number += 1
        self._write(str(self._number), self._masks.masked(values, self._number, self._keys))
        parts = [self._read(name, str(self._number)) for name in self.facts]
        if len({len(part) for part in parts} | {len(values) * WORD}) > 1:
            raise FederationError("all shops must add as many numbers; got others; install the same version everywhere")
        self._say(f"round {self._number}: sums of {len(parts)} shops")
        return unmasked(parts)

    def _meet(self, shops: int, about: str) -> None:
        until = time.monotonic() + self._wait
        while (
            len(found := [path for path in sorted(self._folder.glob(f"*.{_OPENING}")) if _NAME.match(path.stem)])
            < shops
        ):
            if time.monotonic() > until:
                here = ", ".join(path.stem for path in found)
                raise FederationError(f"{shops} shops must come within {self._wait:g} s; got {here}; all begin again")
            time.sleep(_PAUSE)
        if len(found) > shops:
            raise FederationError(
                f"{shops} shops must come; got {len(found)}; all begin again with --shops {len(found)}"
            )
        openings = {path.stem: self._read(path.stem, _OPENING) for path in found}
        documents = {name: json.loads(body) for name, body in openings.items()}
        for name, document in documents.items():
            if document["about"] != about:
                raise FederationError(
                    f"all shops must sum the same: {about}; got from '{name}': {document['about']}; agree, and begin again"
                )
        self.facts = {name: document["facts"] for name, document in documents.items()}
        self._keys = {name: bytes.fromhex(document["key"]) for name, document in documents.items()}
        if len({*self._keys.values()}) < shops:
            raise FederationError("all shops must have keys of their own; got one twice, under which sums would show")
        self._session = b"".join(openings.values())

    def _read(self, name: str, kind: str) -> bytes:
        """What a shop wrote, as soon as it has."""
        path, until = self._folder / f"{name}.{kind}", time.monotonic() + self._wait
        while not path.exists():
            if (self._folder / f"{name}.{_STOP}").exists():
                raise FederationError(f"shop '{name}' gave up; begin again, without it if need be, in a new folder")
            if time.monotonic() > until:
                raise FederationError(
                    f"shop '{name}' must write {path.name} within {self._wait:g} s; got none; begin again without it, in a new "
                    "folder"
                )
            time.sleep(_PAUSE)
        content = path.read_bytes()
        tag, body = content[:_TAG], content[_TAG:]
        if not hmac.compare_digest(tag, self._tag(name, kind, body)):
            raise FederationError(
                f"{path} was not made with this key for this fit; begin again without it, in a new folder"
            )
        return body

    def _write(self, kind: str, body: bytes) -> None:
        name = self._masks.name
        write_whole(self._folder / f"{name}.{kind}", self._tag(name, kind, body) + body)

    def _tag(self, name: str, kind: str, body: bytes) -> bytes:
        about = f"repricer federate {name} {kind}\n".encode()
        return hmac.digest(self._key, about + len(body).to_bytes(8) + body + self._session, "sha256")
