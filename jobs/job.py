"""What a job is, and where jobs run."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTEMPTS = 4
"""How often a job starts whose process or node dies."""


@dataclass(frozen=True)
class Job:
    """A function and its inputs, which determine its result.

    Attributes:
        work: The function, as "package.module:name"; it takes `inputs` and a folder of its own for what it wants to
            find again after it was interrupted, and returns what JSON can hold.
        inputs: What JSON can hold.
        code: Fingerprint of the code behind the function, see `code_fingerprint`.

    Example:
        >>> Job("math:hypot", {"x": 1}).key == Job("math:hypot", {"x": 1}).key
        True
    """

    work: str
    inputs: dict[str, Any]
    code: str = ""

    @property
    def key(self) -> str:
        """The name of the job: a hash of all that determines its result."""
        text = json.dumps([self.work, self.inputs, self.code], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def run(self, scratch: Path) -> Any:
        """Do the work in this process.

        Args:
            scratch: Folder in which the job may keep a folder of its own.
        """
        module, _, name = self.work.partition(":")
        function: Callable[[dict[str, Any], Path], Any] = getattr(importlib.import_module(module), name)
        return function(self.inputs, scratch / self.key)


@dataclass(frozen=True)
class Failure:
    """Why a job has no result, in one line.

    Example:
        >>> Failure("ValueError: steps must be at least 1").reason
        'ValueError: steps must be at least 1'
    """

    reason: str


Ended = tuple[Job, Any]
"""A job and its result, or a `Failure`."""


@dataclass(frozen=True)
class Place:
    """Where jobs run.

    Attributes:
        on: "local", for processes of this machine; "ray", for the Ray cluster that RAY_ADDRESS names or that runs on
            this machine, else one of this machine alone; or the address of a Ray cluster, "ray://HOST:PORT".
        workers: Processes of "local", by default one; on a cluster its cores decide.

    Raises:
        ValueError: There is no such place, or it is a cluster and `workers` is given.

    Example:
        >>> Place("local", workers=2)
        Place(on='local', workers=2)
    """

    on: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.on not in ("local", "ray") and not self.on.startswith("ray://"):
            raise ValueError(f"--on must be local, ray or ray://HOST:PORT; got '{self.on}'; choose one of them")
        if self.on != "local" and self.workers is not None:
            raise ValueError(f"processes are for --on local; got {self.workers} with {self.on}; leave them out")

    @classmethod
    def asked(cls, on: str, workers: int | None) -> Place:
        """As the options of a command say: on this machine, one process per core by default."""
        return cls(on, workers or (os.cpu_count() if on == "local" else None))


def attempted(job: Job, scratch: Path) -> Any:
    """The result of a job, or a `Failure` where its work raises an exception."""
    try:
        return job.run(scratch)
    except Exception as error:
        return Failure(" ".join(f"{type(error).__name__}: {error}".split()))


@functools.cache
def code_fingerprint(*places: str) -> str:
    """Hash of the code that a result depends on: after a change, no old result is taken for a new one.

    Args:
        places: Folders and files of the package, such as "agents".

    Example:
        >>> code_fingerprint("envs") == code_fingerprint("agents")
        False
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for place in places:
        for path in sorted([root / place, *(root / place).rglob("*")]):
            if path.suffix in (".py", ".toml"):
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
