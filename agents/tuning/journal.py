"""A study in a file of a folder, which one command at a time works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna import Study
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

LOCK_FILE = "study.lock"


def open_journal(path: Path, pruner: BasePruner) -> Study:
    """The study of a file, new or as an interrupted command left it.

    Raises:
        ValueError: The file holds something else.
    """
    _drop_partial_line(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), _NoLock(str(path))))
        return optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} must be a study; got: {error}; choose another --out") from error


def _drop_partial_line(path: Path) -> None:
    """Drop a last line that a kill or a full disk truncated: lines appended to it would be lost."""
    if path.is_file():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


class _NoLock(JournalFileOpenLock):
    """No lock: that of the folder is held already, and Optuna's own would survive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder, which the operating system releases if the process is killed."""
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder} must be tuned by one command at a time; got a second one; wait for the first"
        ) from None
    try:
        yield
    finally:
        lock.release()
