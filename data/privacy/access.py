"""Who may read which tables, by role, and the log of who did."""

from __future__ import annotations

import getpass
import json
import os
import tomllib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pandas as pd
from click.core import ParameterSource

from ..schema import SCHEMAS, DataError

ROLE = "REPRICER_ROLE"
"""The environment variable that names the role; `--as` sets it."""
ALL = "all"


@dataclass(frozen=True)
class Access:
    """What the present role may read of a folder of tables.

    Attributes:
        folder: The folder.
        role: Its name; None where no roles are declared.
        allowed: By table, its columns or `all`; None for everything.
    """

    folder: Path
    role: str | None
    allowed: dict[str, Any] | None

    @classmethod
    def to(cls, folder: Path) -> Access:
        """What FOLDER.roles.toml allows the role in REPRICER_ROLE; everything where there is no such file.

        Raises:
            DataError: The file is faulty, does not know the role, or is not there for the role that `--as` names.

        Example:
            >>> Access.to(Path("shop")).allowed is None
            True
        """
        path, role = beside(folder, "roles.toml"), os.environ.get(ROLE)
        if not path.is_file():
            context = click.get_current_context(silent=True)
            # The variable may be set for many folders, some of them without roles; the option means this one.
            if context is not None and context.get_parameter_source("as") == ParameterSource.COMMANDLINE:
                raise DataError(
                    f"--as must name a role of {path}; got {role}, and no such file; write it, or leave --as out"
                )
            return cls(folder, role, None)
        try:
            roles = tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} must be TOML; got: {error}; fix it") from error
        if role not in roles:
            raise DataError(
                f"{folder} must be read as one of {', '.join(roles)}; got {role or 'no role'}; give --as, or set {ROLE}"
            )
        return cls(folder, role, _checked(path, role, roles[role]))

    def check_whole(self) -> None:
        """Raise DataError unless everything may be read, as a change of the folder needs."""
        if self.allowed is not None and any(self.allowed.get(name) != ALL for name in SCHEMAS):
            raise self._refused(f'all tables of {self.folder} ("{ALL}" for each)', ", ".join(self.allowed) or "nothing")

    def tables(self, there: Iterable[str]) -> list[str]:
        """The tables that may be read, among those that are there. Raises DataError without sales."""
        if self.allowed is not None and "sales" not in self.allowed:
            raise self._refused("sales, which every command needs", ", ".join(self.allowed) or "nothing")
        return [name for name in there if self.allowed is None or name in self.allowed]

    def view(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """The part of a table that may be read. Raises DataError where a required column may not."""
        allowed = ALL if self.allowed is None else self.allowed[name]
        if allowed == ALL:
            return table
        lacking = [column for column, spec in SCHEMAS[name].columns.items() if spec.required and column not in allowed]
        if lacking:
            raise self._refused(f"{name}, of which {', '.join(lacking)} is needed", ", ".join(allowed))
        return table[[column for column in table if column in allowed]]

    def note(self, what: Iterable[str]) -> None:
        """Append to FOLDER.access.log: when, who, as which role, by which command, which tables.

        Raises:
            DataError: Roles are declared, and the log cannot be written.
        """
        context = click.get_current_context(silent=True)
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "user": _user(),
            "role": self.role,
            "command": "python" if context is None else context.command_path,
            "tables": list(what),
        }
        path = beside(self.folder, "access.log")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            said = f"{path} must be writable, to note who reads; got: {error.strerror}; allow it"
            if self.allowed is not None:
                raise DataError(said) from error
            warnings.warn(said, stacklevel=2)

    def _refused(self, what: str, may: str) -> DataError:
        return DataError(f"role {self.role} may not read {what}; it may read {may}; change {self.folder}.roles.toml")


def beside(folder: Path, kind: str) -> Path:
    """The file of this kind beside a folder of tables: FOLDER.KIND."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.{kind}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return str(os.getuid())


def _checked(path: Path, role: str, table: Any) -> dict[str, Any]:
    """What a role may read, checked."""
    known = isinstance(table, dict) and all(
        name in SCHEMAS and (value == ALL or (isinstance(value, list) and all(isinstance(one, str) for one in value)))
        for name, value in table.items()
    )
    if not known:
        raise DataError(
            f'{path}: [{role}] must give tables ({", ".join(SCHEMAS)}) their columns, or "{ALL}"; got {table!r}; fix it'
        )
    return table
