"""A signed statement of where all chains of a log end: whoever holds it can show later that nothing was cut or replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ..bundle.files import read_private_key, read_public_key
from .verification import Head

_SEAL = ("public_key", "signature")


class StatementError(ValueError):
    """A statement that was changed, or that another key has signed; the message is one line that says why.

    Example:
        >>> isinstance(StatementError("the statement must be ..."), ValueError)
        True
    """


def stated(head: Head, key: str | Path) -> dict[str, Any]:
    """The ends of all chains and the time in UTC, signed with Ed25519 (RFC 8032).

    Args:
        head: The ends, as `DecisionLog.verify` gives them.
        key: PEM file of an Ed25519 private key, as `repricer export` makes one.

    Raises:
        BundleError: The key cannot be read.

    Example:
        >>> stated(log.verify(), "operator.key.pem")["rows"]  # doctest: +SKIP
        1000
    """
    private = read_private_key(Path(key))
    facts = {**head._asdict(), "stated": datetime.now(UTC).isoformat(timespec="seconds")}
    signature = private.sign(_signed_text(facts)).hex()
    return facts | {"public_key": private.public_key().public_bytes_raw().hex(), "signature": signature}


def checked_statement(statement: Mapping[str, Any], public_key: str | Path) -> Mapping[str, Any]:
    """The statement, if it is as this key has signed it.

    Args:
        statement: What `stated` returned.
        public_key: PEM file of the Ed25519 public key that must have signed it.

    Raises:
        BundleError: The key cannot be read.
        StatementError: It is not signed, another key has signed it, or it was changed.

    Example:
        >>> checked_statement(statement, "operator.pub.pem") is statement  # doctest: +SKIP
        True
    """
    pinned = read_public_key(Path(public_key))
    must = "a statement of the heads must be signed by the given public key"
    if not is_signed(statement):
        raise StatementError(
            f"{must}; got one without a signature; leave --public-key out, or sign it by log verify --sign"
        )
    try:
        own = Ed25519PublicKey.from_public_bytes(bytes.fromhex(statement["public_key"]))
        signature = bytes.fromhex(statement["signature"])
    except (TypeError, ValueError):
        raise StatementError(f"{must}; got a signature that is none; restore the file") from None
    if own != pinned:
        raise StatementError(f"{must}; got another signer; check where it comes from")
    try:
        pinned.verify(signature, _signed_text({name: value for name, value in statement.items() if name not in _SEAL}))
    except InvalidSignature:
        raise StatementError(f"{must}; got one that was changed since; restore the file") from None
    return statement


def is_signed(statement: Mapping[str, Any]) -> bool:
    """Whether it bears a signature, right or not.

    Example:
        >>> is_signed({"rows": 3}), is_signed({"rows": 3, "signature": "00"})
        (False, True)
    """
    return any(name in statement for name in _SEAL)


def _signed_text(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
