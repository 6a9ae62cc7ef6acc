"""Files that are encrypted at rest: AES-GCM in chunks, and the one way to say where the key is.

A file is the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (Online Authenticated-
Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015), as the file format age has it: each
chunk is sealed under its position and a flag that says whether it is the last, so that chunks that
were changed, moved or cut off are noticed. Every file has a key of its own, derived from the secret
and a random salt (HKDF, RFC 5869), and is bound to its name.
"""

from __future__ import annotations

import hmac
import io
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..atomic import whole_folder

ENDING = ".enc"
"""What the name of an encrypted file ends with."""
KEY_FROM = "REPRICER_KEY_FROM"
"""The environment variable that says where the key is."""
_USUAL = "env:REPRICER_KEY"
_MAGIC = b"repricer encrypted 1\n"
_SALT = 32
_CHECK = 16
_KEY_BYTES = 32
_TAG = 16
_CHUNK = 1 << 20
_KEY_SECONDS = 60


class EncryptionError(ValueError):
    """A key or an encrypted file that cannot be used; the message is one line.

    Example:
        >>> secret("vault:shop")
        Traceback (most recent call last):
        repricer.privacy.encryption.EncryptionError: a key must be named by env:NAME, file:PATH or command:WORDS; got 'vault'
    """


def secret(source: str | None = None) -> bytes:
    """The 32 bytes that files are encrypted with.

    Args:
        source: `env:NAME`, `file:PATH`, or `command:WORDS`, which prints it; what the environment
            variable REPRICER_KEY_FROM says by default, else `env:REPRICER_KEY`. It is written as 64
            hexadecimal digits; a file may hold the 32 bytes themselves.

    Raises:
        EncryptionError: There is no key.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "shop.secret"
        >>> path.write_text("00" * 32)
        64
        >>> secret(f"file:{path}") == bytes(32)
        True
    """
    source = source or os.environ.get(KEY_FROM) or _USUAL
    kind, _, where = source.partition(":")
    advice = f"name another with --key-from or {KEY_FROM}"
    if kind not in _READERS or not where:
        raise EncryptionError(f"a key must be named by env:NAME, file:PATH or command:WORDS; got {kind!r}")
    try:
        found = _READERS[kind](where)
    except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise EncryptionError(f"the key must be in {source}; got: {got}; {advice}") from error
    try:
        raw = kind == "file" and len(found) == _KEY_BYTES
        found = found if raw else bytes.fromhex(found.decode("ascii").strip())
    except ValueError:
        found = b""
    if len(found) != _KEY_BYTES:
        must = f"the key in {source} must be 64 hexadecimal digits"
        raise EncryptionError(f"{must}; got something else; make one with `openssl rand -hex 32`")
    return found


def _variable(name: str) -> bytes:
    if name not in os.environ:
        raise LookupError("no such environment variable")
    return os.environ[name].encode()


def _printed(words: str) -> bytes:
    done = subprocess.run(shlex.split(words), capture_output=True, timeout=_KEY_SECONDS, check=False)
    if done.returncode:
        raise ValueError(f"exit code {done.returncode}")
    return done.stdout


_READERS = {"env": _variable, "file": lambda path: Path(path).read_bytes(), "command": _printed}


def encrypt(source: BinaryIO, out: BinaryIO, name: str, key: bytes) -> None:
    """Encrypt a stream, a chunk at a time.

    Args:
        source: What to encrypt.
        name: Name of the plain file, which is needed to decrypt it.
        key: The secret, as `secret` returns it.

    Example:
        >>> out = io.BytesIO()
        >>> encrypt(io.BytesIO(b"1001"), out, "sales.csv", bytes(32))
        >>> b"1001" in out.getvalue()
        False
    """
    salt = os.urandom(_SALT)
    sealing, check = _derived(key, salt)
    out.write(_MAGIC + salt + check)
    chunk = source.read(_CHUNK)
    number = 0
    # An empty stream has one chunk too, so that a file cut off after its header is noticed.
    while chunk or not number:
        after = source.read(_CHUNK)
        out.write(sealing.encrypt(_nonce(number, last=not after), chunk, name.encode()))
        chunk = after
        number = number + 1


def decrypt(source: BinaryIO, out: BinaryIO, name: str, key: bytes) -> None:
    """Decrypt a stream, a chunk at a time; what was written counts only if this returns.

    Raises:
        EncryptionError: It is no such stream, its key is another, or it was changed, cut or renamed.

    Example:
        >>> out = io.BytesIO()
        >>> decrypt(io.BytesIO(encrypted(b"1001", "sales.csv", bytes(32))), out, "sales.csv", bytes(32))
        >>> out.getvalue()
        b'1001'
    """
    shown = name + ENDING
    magic = source.read(len(_MAGIC))
    salt = source.read(_SALT)
    check = source.read(_CHECK)
    if magic != _MAGIC or len(check) != _CHECK:
        raise EncryptionError(f"{shown} must be a file that repricer encrypted; got another, or a part; restore it")
    opening, right = _derived(key, salt)
    if not hmac.compare_digest(check, right):
        raise EncryptionError(f"{shown} must be opened with its own key; got another; fix --key-from or {KEY_FROM}")
    chunk = source.read(_CHUNK + _TAG)
    number = 0
    while chunk or not number:
        after = source.read(_CHUNK + _TAG)
        try:
            out.write(opening.decrypt(_nonce(number, last=not after), chunk, name.encode()))
        except InvalidTag as error:
            must = f"{shown} must be as it was encrypted"
            raise EncryptionError(f"{must}; got other bytes, a part, or another name; restore it") from error
        chunk = after
        number = number + 1


def encrypted(content: bytes, name: str, key: bytes) -> bytes:
    """What an encrypted file of this content and name holds; see `encrypt`."""
    out = io.BytesIO()
    encrypt(io.BytesIO(content), out, name, key)
    return out.getvalue()


def decrypted(content: bytes, name: str, key: bytes) -> bytes:
    """The content of an encrypted file; see `decrypt`. Raises EncryptionError."""
    out = io.BytesIO()
    decrypt(io.BytesIO(content), out, name, key)
    return out.getvalue()


def kept_file(folder: Path, name: str) -> Path | None:
    """A file of a folder, plain or encrypted; None where there is neither."""
    both = (folder / name, folder / (name + ENDING))
    return next((path for path in both if path.is_file()), None)


def content_of(path: Path) -> bytes:
    """What a plain or an encrypted file holds. Raises EncryptionError."""
    content = path.read_bytes()
    return decrypted(content, path.name.removesuffix(ENDING), secret()) if path.suffix == ENDING else content


def overhead(size: int) -> int:
    """The bytes by which an encrypted file is longer than its content of `size` bytes."""
    return len(_MAGIC) + _SALT + _CHECK + _TAG * max(1, -(-size // _CHUNK))


def change_folder(folder: Path, key: bytes, *, back: bool = False) -> list[str]:
    """Encrypt the files of a folder, or decrypt them, all or none.

    Args:
        folder: The folder, which is replaced; it has no folders in it.
        back: Whether to decrypt.

    Returns:
        The names of the files that were changed.

    Raises:
        EncryptionError: A file cannot be decrypted.
    """
    changed = []
    with whole_folder(folder, mode=folder.stat().st_mode & 0o777) as unfinished:
        for path in sorted(folder.iterdir()):
            plain_name = path.name.removesuffix(ENDING)
            new_name = plain_name if back else plain_name + ENDING
            is_encrypted = path.suffix == ENDING
            with path.open("rb") as source, (unfinished / new_name).open("wb") as out:
                if is_encrypted != back:  # already as wanted
                    shutil.copyfileobj(source, out)
                    continue
                if back:
                    decrypt(source, out, plain_name, key)
                else:
                    encrypt(source, out, plain_name, key)
                changed.append(path.name)
    return changed


def _derived(key: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    """A file's own key, and bytes that tell the right secret from another."""
    found = HKDF(SHA256(), _KEY_BYTES + _CHECK, salt, b"repricer file").derive(key)
    return AESGCM(found[:_KEY_BYTES]), found[_KEY_BYTES:]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
