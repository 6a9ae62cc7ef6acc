"""The folder that a bundle is: exactly these files, each read once, all written completely or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...atomic import whole_folder
from ...privacy.encryption import ENDING, EncryptionError, decrypted, encrypted, overhead, secret

POLICY, GUARDRAILS, CATALOGUE, GOLDEN = "policy.onnx", "guardrails.json", "catalogue.json", "golden.json"
RESPONSE, RANGE = "response.json", "training_range.json"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
LIMITS = {
    POLICY: 64 << 20,
    GUARDRAILS: 8 << 20,
    CATALOGUE: 64 << 20,
    GOLDEN: 32 << 20,
    RESPONSE: 64 << 20,
    RANGE: 1 << 20,
    MANIFEST: 4 << 20,
    SIGNATURE: 1 << 10,
}
"""Every file of a bundle and the most bytes it may have."""


class BundleError(ValueError):
    """A bundle, or its key, that cannot be read, trusted or replaced; the message is one line that
    says why.

    Example:
        >>> from repricer.serving import load_bundle
        >>> load_bundle("nothing")
        Traceback (most recent call last):
        repricer.serving.bundle.files.BundleError: nothing must be a bundle: ...; got No such file or directory; ...
    """


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
            key, sizes = secret(), {name: limit + overhead(limit) for name, limit in LIMITS.items()}
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
