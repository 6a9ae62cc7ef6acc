"""Who may ask what: API keys with roles, kept as salted hashes."""

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
"""Each may do what those before it may: look, ask for prices and tell outcomes, throw switches."""
_PREFIX = "rp"


class KeyFileError(ValueError):
    """A file of API keys that cannot be read; the message is one line that says why."""


@dataclass(frozen=True)
class ApiKey:
    """One line of the file. id: what the key itself starts with. hash: of salt and secret, SHA-256, hexadecimal.

    The secrets are drawn, 256 bits each: nobody can try them all, so a slow hash would protect nothing more.
    """

    id: str
    name: str
    role: str
    salt: str
    hash: str
    created: str

    def may(self, role: str) -> bool:
        """Whether it includes this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


class KeyRing:
    """The keys of a file, as they were when it was read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._keys = {key.id: key for key in read_keys(Path(path))}
        if not self._keys:
            raise KeyFileError(f"{path} must hold at least one key; got none; `repricer keys add {path} --role admin`")

    def find(self, token: str) -> ApiKey | None:
        """The key that this is, or None."""
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
    """Add a key to the file, made if missing and open to its owner alone, and return it: it is told this once."""
    if role not in ROLES:
        raise KeyFileError(f"role must be one of {', '.join(ROLES)}; got '{role}'; choose one")
    keys = read_keys(path) if path.exists() else []
    if any(key.name == name for key in keys):
        raise KeyFileError(f"{path}: a key's name must stand once; got '{name}' again; choose another or remove it")
    own, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_hex(16)
    key = ApiKey(own, name, role, salt, _hash(salt, secret), datetime.now(UTC).isoformat(timespec="seconds"))
    _write(path, [*keys, key])
    return f"{_PREFIX}_{own}_{secret}"


def remove_key(path: Path, name: str) -> None:
    """Take a key out of the file. Raises KeyFileError where there is none of this name."""
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
