"""Files and folders that are written completely or not at all.

Everything is written under a temporary name in the same folder, flushed to the disk and then
renamed. A process that is killed, or a machine that loses power, leaves the old content or the new
one, never a part of either.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write that finds no room: disk, quota, or largest file."""


def write_whole(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Write a file, or replace one, completely or not at all.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text to encode as UTF-8.
        mode: Permission bits, as for `whole_file`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "prices.txt"
        >>> write_whole(path, "9.99")
        >>> path.read_text()
        '9.99'
    """
    with whole_file(path, mode=mode) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_new(path: Path, content: bytes) -> None:
    """Write a secret file that must not exist yet, such as a key, completely or not at all.

    Args:
        path: The file; its folder must exist.
        content: What to write.

    Raises:
        FileExistsError: `path` exists, even if another process has only just created it.
    """
    with _temporary(path) as temporary:
        _create(temporary, 0o600)
        temporary.write_bytes(content)
        _sync(temporary)
        # A link, unlike a rename, never replaces a file.
        os.link(temporary, path)
        _sync(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Write a document, which may hold NumPy values, as JSON, completely or not at all."""
    write_whole(path, json.dumps(document, indent=2, default=plain) + "\n")


def without_nan(value: Any) -> Any:
    """A document whose numbers that are not finite, which JSON does not know, are None.

    Example:
        >>> without_nan({"wape": [0.1, float("nan")]})
        {'wape': [0.1, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return without_nan(value.tolist())
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any) -> Any:
    """NumPy numbers and arrays as plain data: the `default` of `json.dumps`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


@contextmanager
def whole_file(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A temporary file with the ending of `path`, which it replaces if the block succeeds.

    Args:
        path: The file to write or to replace; its folder must exist.
        mode: Permission bits, which hold from the file's first byte on. By default those of the
            file that is replaced, and for a new file what the umask allows.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "prices.csv"
        >>> with whole_file(path) as temporary:
        ...     _ = temporary.write_text("price")
        ...     path.exists()
        False
        >>> path.read_text()
        'price'
    """
    kept = stat.S_IMODE(path.stat().st_mode) if mode is None and path.exists() else None
    with _temporary(path) as temporary:
        _create(temporary, mode or (0o666 if kept is None else 0o600))
        yield temporary
        if kept is not None:
            temporary.chmod(kept)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def whole_folder(path: Path, *, mode: int = 0o777, at: Path | None = None) -> Iterator[Path]:
    """A temporary folder to fill, which becomes `path` if the block raises nothing.

    An existing folder is replaced; a caller that must not replace one checks that at the end of the
    block. There is no portable call that exchanges two folders: for an instant, a reader may find
    neither.

    Args:
        path: The folder to write or to replace; its parents are created.
        mode: Permission bits of the folder, less what the umask forbids.
        at: Where to fill it, on the same disk; by default under a new name beside `path`. What a
            process that was killed has left there is removed.
    """
    temporary = at or _beside(path)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not `mkdtemp`, whose folders are closed to other users.
        temporary.mkdir(mode=mode)
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        _swap_in(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """The file's folder, locked while the file is read and replaced, so that no change of another process is lost.

    Example:
        >>> with only_writer(Path("keys.json")):
        ...     pass
    """
    import fcntl  # not on every system, and needed where a service writes

    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _swap_in(temporary: Path, path: Path) -> None:
    """Rename the folder to `path`; a folder there is moved aside, and back if that fails."""
    replaced = temporary.with_suffix(".old")
    if path.exists():
        path.rename(replaced)
    try:
        temporary.rename(path)
    except BaseException:
        if replaced.exists():
            replaced.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new name beside a file, whose errors are those of the file: a user knows no other name."""
    temporary = _beside(path)
    try:
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        # A write to a full disk names no file.
        if error.errno in FULL or str(error.filename) == str(temporary):
            error.filename = str(path)
        raise


def _beside(path: Path) -> Path:
    """A new name in the same folder, with the ending by which writers choose the format."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.new{path.suffix}")


def _create(path: Path, mode: int) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def write_table(table: Any, path: Path) -> None:
    """Write a table of pandas, CSV or Parquet, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if os.name != "posix" and path.is_dir():
        return  # Windows opens no folders.
    # Windows flushes only files open for writing; POSIX cannot open read-only files for writing.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
