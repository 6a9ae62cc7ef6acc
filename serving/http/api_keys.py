"""API keys with roles, stored as salted hashes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct, json

from ...atomic import only_writer, write_whole
from ..documents import FilePath

Role = Literal["read", "price", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From weak to strong, each with the rights of those before it: read; get prices and report
outcomes; switch.
"""
_PREFIX = "rp"
_log = logging.getLogger(__name__)


class KeyFileError(ValueError):
    """A file of API keys that cannot be read or changed; the message is one line that says why."""


class ApiKey(Struct, frozen=True):
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
    role: Role
    salt: str
    hash: str
    created: str

    def may(self, role: str) -> bool:
        """Whether the key has the rights of this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


class _File(Struct):
    keys: list[ApiKey]


class KeyRing:
    """The keys of a file, read again within a second after it has changed; none where the file is gone or is none. Where it
    cannot be read for another reason, such as too many open files, the former ones stay.
    """

    def __init__(self, path: FilePath) -> None:
        self._path = Path(path)
        self._looked = time.monotonic()
        self._wrong = ""
        self._keys = read_keys(self._path)
        if not self._keys:
            raise KeyFileError(f"{path} must hold at least one key; got none; `repricer keys add {path} --role admin`")

    def _renew(self) -> None:
        self._looked = time.monotonic()
        try:
            self._keys = read_keys(self._path) if self._path.exists() else []
            wrong = ""
        except KeyFileError as error:
            if (wrong := str(error)) != self._wrong:
                _log.error("keys not reloaded", extra={"facts": {"reason": wrong}})
            self._keys = self._keys if isinstance(error.__cause__, OSError) else []
        self._wrong = wrong

    def find(self, token: str) -> ApiKey | None:
        """The key with this token, or None."""
        if time.monotonic() > self._looked + 1:
            self._renew()
        prefix, _, rest = token.partition("_")
        name, _, secret = rest.partition("_")
        key = next((key for key in self._keys if key.id == name and prefix == _PREFIX), None)
        return key if key and hmac.compare_digest(_hash(key.salt, secret), key.hash) else None


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file. Raises KeyFileError."""
    try:
        status = path.stat()
        keys = json.decode(path.read_bytes(), type=_File).keys
    except (OSError, ValueError) as error:
        got = f"got {getattr(error, 'strerror', None) or error}; `repricer keys add {path}` makes one"
        raise KeyFileError(f"{path} must be a file of API keys; {got}") from error
    # A file of another owner, as a container gets it, may be read through its group.
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o027
    if mode := stat.S_IMODE(status.st_mode) & forbidden:
        raise KeyFileError(f"{path} must be open to its owner alone; got others' rights {mode:o}; `chmod 600 {path}`")
    return keys


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
    own = secrets.token_hex(4)
    secret = secrets.token_urlsafe(32)
    salt = secrets.token_hex(16)
    key = ApiKey(own, name, role, salt, _hash(salt, secret), datetime.now(UTC).isoformat(timespec="seconds"))
    with only_writer(path):
        keys = read_keys(path) if path.exists() else []
        if any(key.name == name for key in keys):
            raise KeyFileError(f"{path}: a key's name must be unique; got '{name}' again; choose another or remove it")
        _write(path, [*keys, key])
    return f"{_PREFIX}_{own}_{secret}"


def remove_key(path: Path, name: str) -> None:
    """Remove a key from a file. Raises KeyFileError where no key has this name."""
    with only_writer(path):
        keys = read_keys(path)
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            known = [key.name for key in keys]
            raise KeyFileError(f"{path} must hold the key to remove; got no '{name}'; known are {known}")
        _write(path, kept)


def _write(path: Path, keys: list[ApiKey]) -> None:
    write_whole(path, json.format(json.encode(_File(keys)), indent=1) + b"\n", mode=0o600)


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()
