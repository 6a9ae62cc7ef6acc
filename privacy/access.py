"""Who may read which tables, by role, and the log of who did."""

from __future__ import annotations

import getpass
import json
import os
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import PrivacyError

if TYPE_CHECKING:
    import pandas as pd

ROLE = "REPRICER_ROLE"
"""The environment variable that names the role; `--as` sets it."""
ALL = "all"


@dataclass(frozen=True)
class Reader:
    """Who reads tables.

    Attributes:
        role: The role, None for none.
        command: What the log says that the reader runs.
        role_required: Whether a folder without declared roles is an error.
    """

    role: str | None
    command: str = "python"
    role_required: bool = False


_READER: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def reading_as(reader: Reader) -> Iterator[None]:
    """Read tables as this reader until the end of the block, instead of as the role in REPRICER_ROLE.

    Args:
        reader: The reader.

    Example:
        >>> with reading_as(Reader("analyst")):
        ...     Access.to(Path("shop"), {}).reader.role
        'analyst'
    """
    token = _READER.set(reader)
    try:
        yield
    finally:
        _READER.reset(token)


@dataclass(frozen=True)
class Access:
    """What a reader may read of a folder of tables.

    Attributes:
        folder: The folder.
        reader: The reader.
        required: The required columns of each table, by name.
        allowed: By table, its columns or `all`; None for everything.
    """

    folder: Path
    reader: Reader
    required: Mapping[str, Sequence[str]]
    allowed: dict[str, Any] | None

    @classmethod
    def to(cls, folder: Path, required: Mapping[str, Sequence[str]]) -> Access:
        """What FOLDER.roles.toml allows the reader; everything where there is no such file.

        The reader is that of `reading_as`, else whoever has the role in REPRICER_ROLE.

        Args:
            folder: The folder.
            required: The required columns of each table, by name.

        Raises:
            PrivacyError: The file is faulty, does not know the role, or is not there for a reader that requires it.

        Example:
            >>> Access.to(Path("shop"), {"sales": ["date"]}).allowed is None
            True
        """
        path = beside(folder, "roles.toml")
        reader = _READER.get() or Reader(os.environ.get(ROLE))
        role = reader.role
        if not path.is_file():
            # The variable may be set for many folders, some of them without roles; the option means this one.
            if reader.role_required:
                must = f"--as must name a role of {path}"
                raise PrivacyError(f"{must}; got {role}, and no such file; write it, or leave --as out")
            return cls(folder, reader, required, None)
        try:
            roles = tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PrivacyError(f"{path} must be TOML; got: {error}; fix it") from error
        if role not in roles:
            must = f"{folder} must be read as one of {', '.join(roles)}"
            raise PrivacyError(f"{must}; got {role or 'no role'}; give --as, or set {ROLE}")
        return cls(folder, reader, required, _checked(path, role, roles[role], required))

    def check_whole(self) -> None:
        """Raise PrivacyError unless everything may be read, as a change of the folder needs."""
        if self.allowed is not None and any(self.allowed.get(name) != ALL for name in self.required):
            raise self._refused(f'all tables of {self.folder} ("{ALL}" for each)', ", ".join(self.allowed) or "nothing")

    def tables(self, there: Iterable[str]) -> list[str]:
        """The tables that may be read, among those that are there. Raises PrivacyError without sales."""
        if self.allowed is not None and "sales" not in self.allowed:
            raise self._refused("sales, which every command needs", ", ".join(self.allowed) or "nothing")
        return [name for name in there if self.allowed is None or name in self.allowed]

    def view(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """The part of a table that may be read. Raises PrivacyError where a required column may not."""
        allowed = ALL if self.allowed is None else self.allowed[name]
        if allowed == ALL:
            return table
        lacking = [column for column in self.required[name] if column not in allowed]
        if lacking:
            raise self._refused(f"{name}, of which {', '.join(lacking)} is needed", ", ".join(allowed))
        return table[[column for column in table if column in allowed]]

    def note(self, what: Iterable[str]) -> None:
        """Append to FOLDER.access.log: when, who, as which role, by which command, which tables.

        Raises:
            PrivacyError: Roles are declared, and the log cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        reader = self.reader
        row = {"time": now, "user": _user(), "role": reader.role, "command": reader.command, "tables": list(what)}
        path = beside(self.folder, "access.log")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            message = f"{path} must be writable, to note who reads; got: {error.strerror}; allow it"
            if self.allowed is not None:
                raise PrivacyError(message) from error
            warnings.warn(message, stacklevel=2)

    def _refused(self, what: str, may: str) -> PrivacyError:
        return PrivacyError(
            f"role {self.reader.role} may not read {what}; it may read {may}; change {self.folder}.roles.toml"
        )


def beside(folder: Path, kind: str) -> Path:
    """The file of this kind beside a folder of tables: FOLDER.KIND."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.{kind}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return str(os.getuid())


def _checked(path: Path, role: str, table: Any, required: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What a role may read, checked."""
    known = isinstance(table, dict) and all(
        name in required and (value == ALL or (isinstance(value, list) and all(isinstance(one, str) for one in value)))
        for name, value in table.items()
    )
    if not known:
        raise PrivacyError(
            f'{path}: [{role}] must give tables ({", ".join(required)}) their columns, or "{ALL}"; got {table!r}; fix it'
        )
    return table
