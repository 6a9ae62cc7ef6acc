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
_SCALE = 2.0**64
_MODULUS = 1 << 8 * WORD
_LARGEST = 2.0**40
_TAG = 32
_PAUSE = 0.05
_SHOP_NAME = re.compile(r"[\w-]{1,40}\Z")
_OPENING = "shop"
_STOP = "stop"


class FederationError(ValueError):
    """What ends a sum over many shops; the message is one line.

    Example:
        >>> raise FederationError("shop 'east' gave up")
        Traceback (most recent call last):
        repricer.privacy.shared_sums.FederationError: shop 'east' gave up
    """


def _must(right: bool, message: str) -> None:
    """Raise FederationError with the message where something is not right."""
    if not right:
        raise FederationError(message)


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
        small = bool((np.abs(values) < _LARGEST).all())
        _must(small, f"its sums must be finite and below {_LARGEST:.0e}; check its sales and prices")
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
    # The upper half of the words stands for negative numbers.
    signed = [total - _MODULUS if total >= _MODULUS // 2 else total for total in totals]
    return np.array([total / _SCALE for total in signed])


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
        few = f"shops must be {LEAST_SHOPS} or more, or sums would tell their parts; got {shops}"
        _must(shops >= LEAST_SHOPS, few)
        letters = f"a shop's name must be 1 to 40 letters, digits, `_` or `-`; got {name!r}; choose another"
        _must(bool(_SHOP_NAME.match(name)), letters)
        nowhere = f"shops must meet in a folder that all reach; got {folder}, which is none; make it"
        _must(folder.is_dir(), nowhere)
        used = f"{folder} must be new for each fit; got shop '{name}' in it; all take another folder"
        _must(not (folder / f"{name}.{_OPENING}").exists(), used)
        self._folder = folder
        self._key = key
        self._wait = wait
        self._say = say
        self._masks = Masks(name)
        self._number = 0
        self._session = b""
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
        alike = {len(part) for part in parts} == {len(values) * WORD}
        _must(alike, "all shops must add as many numbers; got others; install the same version everywhere")
        self._say(f"round {self._number}: sums of {len(parts)} shops")
        return unmasked(parts)

    def _meet(self, shops: int, about: str) -> None:
        """Wait for the openings of all shops, check them, and take facts and keys from them."""
        until = time.monotonic() + self._wait
        names = self._shops_here()
        while len(names) < shops:
            late = f"{shops} shops must come within {self._wait:g} s; got {', '.join(names)}; all begin again"
            _must(time.monotonic() <= until, late)
            time.sleep(_PAUSE)
            names = self._shops_here()
        many = f"{shops} shops must come; got {len(names)}; all begin again with --shops {len(names)}"
        _must(len(names) == shops, many)
        openings = {name: self._read(name, _OPENING) for name in names}
        documents = {name: json.loads(body) for name, body in openings.items()}
        for name, document in documents.items():
            other = f"got from '{name}': {document['about']}"
            _must(document["about"] == about, f"all shops must sum the same: {about}; {other}; agree, and begin again")
        self.facts = {name: document["facts"] for name, document in documents.items()}
        self._keys = {name: bytes.fromhex(document["key"]) for name, document in documents.items()}
        apart = len({*self._keys.values()}) == shops
        _must(apart, "all shops must have keys of their own; got one twice, under which sums would show")
        # From here on, the tag of every file depends on all openings.
        self._session = b"".join(openings.values())

    def _shops_here(self) -> list[str]:
        """Names of the shops whose openings are in the folder, sorted."""
        return [path.stem for path in sorted(self._folder.glob(f"*.{_OPENING}")) if _SHOP_NAME.match(path.stem)]

    def _read(self, name: str, kind: str) -> bytes:
        """What a shop wrote, as soon as it has."""
        path = self._folder / f"{name}.{kind}"
        until = time.monotonic() + self._wait
        again = "begin again without it, in a new folder"
        gone = f"shop '{name}' gave up; begin again, without it if need be, in a new folder"
        late = f"shop '{name}' must write {path.name} within {self._wait:g} s; got none; {again}"
        while not path.exists():
            _must(not (self._folder / f"{name}.{_STOP}").exists(), gone)
            _must(time.monotonic() <= until, late)
            time.sleep(_PAUSE)
        content = path.read_bytes()
        tag = content[:_TAG]
        body = content[_TAG:]
        same = hmac.compare_digest(tag, self._tag(name, kind, body))
        _must(same, f"{path} was not made with this key for this fit; {again}")
        return body

    def _write(self, kind: str, body: bytes) -> None:
        name = self._masks.name
        write_whole(self._folder / f"{name}.{kind}", self._tag(name, kind, body) + body)

    def _tag(self, name: str, kind: str, body: bytes) -> bytes:
        about = f"repricer federate {name} {kind}\n".encode()
        return hmac.digest(self._key, about + len(body).to_bytes(8) + body + self._session, "sha256")
