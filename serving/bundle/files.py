"""The folder that a bundle is, and its signature: exactly these files, each read once, all written completely or not at
all, bound together by an Ed25519 key (RFC 8032).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ...atomic import whole_folder, write_new, write_whole
from ...privacy.encryption import ENDING, EncryptionError, decrypted, encrypted, overhead, secret

POLICY = "policy.onnx"
GUARDRAILS = "guardrails.json"
CATALOGUE = "catalogue.json"
GOLDEN = "golden.json"
RESPONSE = "response.json"
RANGE = "training_range.json"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
LIMITS = {POLICY: 64 << 20, GUARDRAILS: 8 << 20, CATALOGUE: 64 << 20, GOLDEN: 32 << 20}
LIMITS |= {RESPONSE: 64 << 20, RANGE: 1 << 20, MANIFEST: 4 << 20, SIGNATURE: 1 << 10}
"""Every file of a bundle and the most bytes it may have."""
Key = TypeVar("Key", Ed25519PrivateKey, Ed25519PublicKey)


class BundleError(ValueError):
    """A bundle, or its key, that cannot be read, trusted or replaced; the message is one line that
    says why.

    Example:
        >>> from repricer.serving import load_bundle
        >>> load_bundle("nothing")
        Traceback (most recent call last):
        repricer.serving.bundle.files.BundleError: nothing must be a bundle: ...; got No such file or directory; ...
    """


def manifest_at(folder: Path) -> bytes | None:
    """The manifest of a bundle as it lies there, encrypted or not, which every other bundle has another of; None where there
    is none.
    """
    for name in (MANIFEST, MANIFEST + ENDING):
        with suppress(OSError):
            return (folder / name).read_bytes()
    return None


def read_files(folder: Path) -> dict[str, bytes]:
    """The contents of a bundle's files.

    Each file is read once, so that the verified bytes are those that are used, even if the folder
    changes meanwhile. Those of an encrypted bundle are decrypted in memory.

    Raises:
        BundleError: A file is missing, no plain file or too large, or there are others; or the
            bundle is encrypted, and the key is missing or another.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries}
        problem = _problem(found)
        if problem is None and not is_encrypted(folder):
            return {name: _read(folder / name, limit) for name, limit in LIMITS.items()}
        if problem is None:
            key = secret()
            sizes = {name: limit + overhead(limit) for name, limit in LIMITS.items()}
            return {name: decrypted(_read(folder / (name + ENDING), size), name, key) for name, size in sizes.items()}
    except EncryptionError as error:
        raise BundleError(f"{folder}: {error}") from error
    except OSError as error:
        problem = error.strerror or str(error)
    raise BundleError(f"{folder} must be a bundle: the files {', '.join(LIMITS)}; got {problem}; export it again")


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a bundle, plain or encrypted."""
    return (folder / MANIFEST).is_file() or is_encrypted(folder)


def is_encrypted(folder: Path) -> bool:
    """Whether a bundle is encrypted."""
    return (folder / (MANIFEST + ENDING)).is_file()


def sealed_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of an encrypted bundle, by name, made of the plain ones. Raises BundleError without a key."""
    try:
        key = secret()
    except EncryptionError as error:
        raise BundleError(str(error)) from error
    return {name + ENDING: encrypted(content, name, key) for name, content in files.items()}


def read_json(content: bytes) -> Any:
    """The JSON of a bundle's file. Raises ValueError where a number is not finite, such as 1e999."""
    return json.loads(content, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"numbers must be finite; got {text[:20]}")
    return value


def _problem(found: Mapping[str, os.DirEntry[str]]) -> str | None:
    """What is wrong with the names or the types of a folder's entries; None where nothing is."""
    if any(entry.is_symlink() for entry in found.values()):
        return "symbolic links, as a mounted ConfigMap has (copy it: cp -rL)"
    ending = ENDING if MANIFEST + ENDING in found else ""
    for name in sorted(found.keys() ^ {name + ending for name in LIMITS}):
        return f"{name!r} as well" if name in found else f"no {name}"
    for name, entry in found.items():
        if not entry.is_file(follow_symlinks=False):
            return f"a {name} that is not a plain file"
    return None


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleError(f"{path} must have at most {limit:,} bytes; got more; export it again")
    return content


def check_target(out: Path) -> None:
    """Raise BundleError unless `out` is a new path, or a bundle (valid or not) that may be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink():
        with os.scandir(out) as entries:
            if _problem({entry.name: entry for entry in entries}) is None:
                return
    raise BundleError(f"{out} must be a new path or a bundle to replace; got something else; choose another path")


def write_files(out: Path, files: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Put the files at `out`, completely or not at all, once `check` has passed on the folder that holds them."""
    with whole_folder(out) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        check(temporary)
        check_target(out)


# Ed25519 keys and the signature that binds a bundle's files together (RFC 8032).


def own_key_paths(out: Path) -> tuple[Path, Path]:
    """Paths of the private and the public key that `export` makes by default: OUT.key.pem and OUT.pub.pem."""
    return out.with_name(out.name + ".key.pem"), out.with_name(out.name + ".pub.pem")


def own_key(out: Path) -> Ed25519PrivateKey:
    """The key beside the bundle, created on first use and readable by its owner only."""
    private, public = own_key_paths(out)
    if not private.exists():
        private.parent.mkdir(parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_new(private, pem)
    key = read_private_key(private)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not public.exists() or public.read_bytes() != pem:
        write_whole(public, pem)
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The signing key, from a PEM file without a password. Raises BundleError."""
    return _read_key(path, lambda pem: load_pem_private_key(pem, password=None), Ed25519PrivateKey, "private")


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key that must have signed a bundle, from a PEM file. Raises BundleError."""
    return _read_key(path, load_pem_public_key, Ed25519PublicKey, "public")


def _read_key(path: Path, load: Callable[[bytes], Any], kind: type[Key], word: str) -> Key:
    try:
        key = load(path.read_bytes())
    except OSError as error:
        problem = error.strerror
    except (ValueError, TypeError, UnsupportedAlgorithm):
        problem = "something else, or a key with a password"
    else:
        if isinstance(key, kind):
            return key
        problem = f"a {type(key).__name__}"
    raise BundleError(f"{path} must be an Ed25519 {word} key (PEM, no password); got {problem}; give another file")


def seal(files: Mapping[str, bytes], facts: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, bytes]:
    """Add the manifest, with sizes and hashes of the files and these facts, and its signature."""
    listed = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()}
    manifest = to_json(MANIFEST, {**facts, "files": listed})
    return {**files, MANIFEST: manifest, SIGNATURE: _signature_file(key.public_key(), key.sign(manifest))}


def _signature_file(public: Ed25519PublicKey, signature: bytes) -> bytes:
    return to_json(SIGNATURE, {"public_key": public.public_bytes_raw().hex(), "signature": signature.hex()})


def open_seal(files: Mapping[str, bytes], pinned: Ed25519PublicKey | None) -> dict[str, Any]:
    """Verify the signature of the manifest and every hash in it.

    Args:
        files: The contents of the bundle's files.
        pinned: The key to trust; without it the bundle's own key only shows that nothing changed
            since the export.

    Returns:
        The manifest.

    Raises:
        BundleError: A signature or a hash does not match.
    """
    document = read_json(files[SIGNATURE])
    own = Ed25519PublicKey.from_public_bytes(bytes.fromhex(document["public_key"]))
    signature = bytes.fromhex(document["signature"])
    if files[SIGNATURE] != _signature_file(own, signature):
        raise BundleError(f"{SIGNATURE} must be as it was written; got other bytes; export it again")
    if pinned is not None and pinned != own:
        raise BundleError(f"{SIGNATURE} must be made with the given public key; got another signer; check its source")
    try:
        own.verify(signature, files[MANIFEST])
    except InvalidSignature as error:
        raise BundleError(f"{MANIFEST} must be as it was signed; got other bytes; export it again") from error
    manifest = read_json(files[MANIFEST])
    wanted = files.keys() - {MANIFEST, SIGNATURE}
    if manifest["files"].keys() != wanted:
        raise BundleError(f"{MANIFEST} must list {', '.join(sorted(wanted))}; got other names; export it again")
    for name, entry in manifest["files"].items():
        if (len(files[name]), sha256(files[name])) != (entry["bytes"], entry["sha256"]):
            raise BundleError(f"{name} must be as {MANIFEST} lists it; got other bytes; export it again")
    return manifest


def sha256(content: bytes) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def to_json(name: str, document: Any) -> bytes:
    """A JSON file of a bundle. Raises BundleError for a value that JSON does not have, such as NaN."""
    try:
        return json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise BundleError(f"{name} must hold plain finite JSON; got: {error}; fix the run") from error
