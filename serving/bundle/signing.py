"""Ed25519 keys and the signature that binds a bundle's files together (RFC 8032)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
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

from ...atomic import write_new, write_whole
from .files import MANIFEST, SIGNATURE, BundleError, read_json

Key = TypeVar("Key", Ed25519PrivateKey, Ed25519PublicKey)


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
