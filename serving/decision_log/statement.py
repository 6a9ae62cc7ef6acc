"""One signed statement of where all chains of a log end, to be kept where the log's writer has no access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .chain import ChainError, now
from .verification import Head

_PURPOSE = b"repricer log heads\n"
"""Comes first in what is signed, so that no signature of a bundle is one of heads."""


def signed_heads(head: Head, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The ends of all chains with the time (UTC), and their signature (Ed25519), as plain JSON.

    Args:
        head: What `DecisionLog.verify` gave.
        key: Of the kind that signs bundles.

    Example:
        >>> from repricer.serving.decision_log.verification import Head
        >>> key = Ed25519PrivateKey.generate()
        >>> noted = signed_heads(Head(2, "a1", 1, "b1", 4, "c1"), key)
        >>> heads_of(noted, key.public_key())["rows"]
        2
    """
    heads = {**head._asdict(), "time": now()}
    public = key.public_key().public_bytes_raw().hex()
    return {"heads": heads, "public_key": public, "signature": key.sign(_signed(heads)).hex()}


def heads_of(noted: Mapping[str, Any], pinned: Ed25519PublicKey | None) -> dict[str, Any]:
    """The ends of all chains in a statement, once its signature is checked; those of an unsigned note as they are.

    Args:
        noted: What `signed_heads` or `log verify --json` wrote.
        pinned: The key that must have signed; without it the statement's own key only shows that nothing was changed by
            somebody without that key.

    Raises:
        ChainError: It was not signed so, or was changed afterwards.

    Example:
        >>> heads_of({"rows": 2, "hash": "a1"}, None)
        {'rows': 2, 'hash': 'a1'}
    """
    if "signature" not in noted:
        if pinned is not None:
            raise ChainError(
                "a note of the heads must be signed by the given key; got none signed; use log heads --key"
            )
        return dict(noted)
    try:
        own = Ed25519PublicKey.from_public_bytes(bytes.fromhex(noted["public_key"]))
        own.verify(bytes.fromhex(noted["signature"]), _signed(noted["heads"]))
        heads = dict(noted["heads"])
    except (InvalidSignature, KeyError, TypeError, ValueError):
        raise ChainError(
            "a statement of the heads must be as it was signed; got another; get it from where it is kept"
        ) from None
    if pinned is not None and pinned != own:
        raise ChainError(
            "a statement of the heads must be signed by the given key; got another signer; check its source"
        )
    return heads


def _signed(heads: Any) -> bytes:
    return _PURPOSE + json.dumps(heads, sort_keys=True, separators=(",", ":")).encode()
