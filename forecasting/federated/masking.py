"""Sums of which nobody sees a part: masks that cancel between each two shops (Bonawitz et al. 2017).

Of that protocol this is the part without recovery: the masks of a shop that is gone are not rebuilt;
the sum is taken again among the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

WORD = 16
"""Bytes of a number: 128 bits, of which 64 stand after the point."""
_SCALE, _MODULUS = 2.0**64, 1 << 8 * WORD
_LARGEST = 2.0**40


class Masks:
    """The secrets that a shop has with each other shop, for one fit.

    Attributes:
        public: its X25519 public key, which the others need.

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
        """Return the values under the masks of a round, `WORD` bytes each.

        Args:
            values: (n,) numbers.
            number: of the round; masks are used once, so a number must not come again.
            keys: public key of each shop in the round, by name.

        Raises:
            ValueError: a value is not finite, or too large.
        """
        if not (np.abs(values) < _LARGEST).all():
            raise ValueError(f"its sums must be finite and below {_LARGEST:.0e}; check its sales and prices")
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
    """Return the sum (n,) of what all shops of a round sent."""
    totals = [sum(column) % _MODULUS for column in zip(*map(_words, parts), strict=True)]
    return np.array([(total - _MODULUS if total >= _MODULUS // 2 else total) / _SCALE for total in totals])


def _words(content: bytes) -> list[int]:
    return [int.from_bytes(content[at : at + WORD]) for at in range(0, len(content), WORD)]
