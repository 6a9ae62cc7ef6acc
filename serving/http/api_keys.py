"""API keys with roles, stored as salted hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...atomic import write_whole

ROLES = ("read", "price", "admin")
"""From weak to strong, each with the rights of those before it: read; get prices and report
outcomes; switch.
"""
_PREFIX = "rp"


class KeyFileError(ValueError):
    """A file of API keys that cannot be read or changed; the message is one line that says why."""


@dataclass(frozen=True)
class ApiKey:
    """One entry of the file.

    The secrets are random, 256 bits each, and cannot be guessed; a slow hash would add no
    protection.

    Attributes:
        id: The part of the key that identifies it.
        name: The name that logs show.
        role: One of `ROLES`.
        salt: Hexadecimal.
        hash: SHA-256 of salt and secret, hexadecimal.
        created: Time (UTC), ISO 8601.
    """

    id: str
    name: str
    role: str
    salt: str
    hash: str
    created: str

    def may(self, role: str) -> bool:
        """Whether the key has the rights of this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


class KeyRing:
    """The keys of a file at the time it was read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._keys = {key.id: key for key in read_keys(Path(path))}
        if not self._keys:
            raise KeyFileError(f"{path} must hold at least one key; got none; `repricer keys add {path} --role admin`")

    def find(self, token: str) -> ApiKey | None:
        """The key with this token, or None."""
        prefix, _, rest = token.partition("_")
        name, _, secret = rest.partition("_")
        key = self._keys.get(name) if prefix == _PREFIX else None
        if key is None or not hmac.compare_digest(_hash(key.salt, secret), key.hash):
            return None
        return key


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file. Raises KeyFileError."""
    try:
        keys = [ApiKey(**item) for item in json.loads(path.read_text(encoding="utf-8"))["keys"]]
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        if all(isinstance(value, str) for key in keys for value in asdict(key).values()) and all(
            key.role in ROLES for key in keys
        ):
            return keys
        problem = "a key without a known role"
    raise KeyFileError(f"{path} must be a file of API keys; got {problem}; `repricer keys add {path}` makes one")


def add_key(path: Path, *, role: str, name: str) -> str:
    """Add a key to a file and return it; it cannot be shown again.

    Args:
        path: The file; a missing one is created, readable by its owner only.
        role: One of `ROLES`.
        name: The name that logs show.

    Raises:
        KeyFileError: The role is unknown, or the name is taken.
    """
    if role not in ROLES:
        raise KeyFileError(f"role must be one of {', '.join(ROLES)}; got '{role}'; choose one")
    keys = read_keys(path) if path.exists() else []
    if any(key.name == name for key in keys):
        raise KeyFileError(f"{path}: a key's name must be unique; got '{name}' again; choose another or remove it")
    own, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_hex(16)
    key = ApiKey(own, name, role, salt, _hash(salt, secret), datetime.now(UTC).isoformat(timespec="seconds"))
    _write(path, [*keys, key])
    return f"{_PREFIX}_{own}_{secret}"


def remove_key(path: Path, name: str) -> None:
    """Remove a key from a file. Raises KeyFileError where no key has this name."""
    keys = read_keys(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise KeyFileError(f"{path} must hold the key to remove; got no '{name}'; known are {[k.name for k in keys]}")
    _write(path, kept)


def _write(path: Path, keys: list[ApiKey]) -> None:
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    write_whole(path, text, mode=0o600)


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()
