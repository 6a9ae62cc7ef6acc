"""Replace customer ids by keyed pseudonyms, so that no table holds who a customer is."""

from __future__ import annotations

import hmac

import pandas as pd

from .schema import DataError

_SHORTEST_KEY = 16


def pseudonymise(ids: pd.Series, key: bytes) -> pd.Series:
    """Map each id to "c_" and the first 16 hex digits of HMAC-SHA256(`key`, id) (RFC 2104).

    Missing ids stay missing. The same id and key always give the same pseudonym; without the key it
    cannot be traced back by trying ids out. With n customers, two share a pseudonym with a chance of about
    n² / 2⁶⁵.

    Raises:
        DataError: the key is shorter than 16 bytes.
    """
    if len(key) < _SHORTEST_KEY:
        raise DataError(
            f"key must hold at least {_SHORTEST_KEY} bytes; got {len(key)}; make one with secrets.token_bytes(32)"
        )
    pseudonyms = {raw: "c_" + hmac.digest(key, str(raw).encode(), "sha256").hex()[:16] for raw in ids.dropna().unique()}
    return ids.map(pseudonyms)
