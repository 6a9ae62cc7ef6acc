"""Replace customer ids by keyed pseudonyms, so that no table identifies a customer."""

from __future__ import annotations

import hmac
import re

import pandas as pd
import polars as pl

from . import PrivacyError

_SHORTEST_KEY = 16
PSEUDONYM = re.compile(r"\bc_[0-9a-f]{16}\b")
"""What a pseudonym looks like."""


class Pseudonyms:
    """The pseudonyms of one key, each computed once.

    Raises:
        PrivacyError: The key is shorter than 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _SHORTEST_KEY:
            must = f"key must hold at least {_SHORTEST_KEY} bytes"
            raise PrivacyError(f"{must}; got {len(key)}; make one with secrets.token_bytes(32)")
        self._key = key
        self._names: dict[str, str] = {}

    def of(self, raw: object) -> str:
        """The pseudonym of an id."""
        return "c_" + hmac.digest(self._key, str(raw).encode(), "sha256").hex()[:16]

    @property
    def key_id(self) -> str:
        """A mark of the key, which tells it from others and gives nothing of it away."""
        return hmac.digest(self._key, b"repricer: which key", "sha256").hex()[:16]

    def replace(self, ids: pl.Series) -> pl.Series:
        """A column of ids, each replaced by its pseudonym; missing ids stay missing."""
        ids = as_text(ids)
        seen = ids.drop_nulls().unique().to_list()
        names = [self._names.get(raw) or self._names.setdefault(raw, self.of(raw)) for raw in seen]
        return ids.replace_strict(pl.Series(seen, dtype=pl.String), pl.Series(names, dtype=pl.String), default=None)


def as_text(ids: pl.Series) -> pl.Series:
    """Ids as the texts that pseudonyms are made of: 1001.0, which missing values make of 1001, is 1001."""
    if ids.dtype.is_float() and (ids.drop_nulls() % 1 == 0).all():
        ids = ids.cast(pl.Int64)
    return ids.cast(pl.String)


def pseudonymise(ids: pd.Series, key: bytes) -> pd.Series:
    """Replace ids by keyed pseudonyms.

    A pseudonym is "c_" and the first 16 hexadecimal digits of HMAC-SHA256(`key`, id) (RFC 2104).

    The same id and key always give the same pseudonym. Without the key, an id cannot be found by
    trying all ids. Two of n customers share a pseudonym with a probability of about n² / 2⁶⁵.

    Args:
        ids: The ids; missing ones stay missing.
        key: The secret, at least 16 bytes.

    Raises:
        PrivacyError: The key is shorter than 16 bytes.

    Example:
        >>> pseudonymise(pd.Series([1001, 1001, None]), b"sixteen bytes or more").nunique()
        1
    """
    pseudonyms = Pseudonyms(key)
    return ids.map({raw: pseudonyms.of(raw) for raw in ids.dropna().unique()})
