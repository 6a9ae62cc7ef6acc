"""What is declared once, and dealt with in several modules: one that forgets it is no module."""

from __future__ import annotations

from typing import Any


def check_complete(where: str, what: str, wanted: Any, there: Any) -> None:
    """Refuse a module that deals with fewer things than are declared, or with others.

    Args:
        where: The module.
        what: What it has for each of them.
        wanted: Names of those that are declared.
        there: Names of those that it deals with.

    Raises:
        ImportError: They differ.

    Example:
        >>> check_complete("here", "a name", ["period"], ["period"])
    """
    lacking = sorted(set(wanted) - set(there))
    strange = sorted(set(there) - set(wanted))
    if lacking:
        raise ImportError(f"{where} must have {what} for every one declared; got none for {', '.join(lacking)}; add it")
    if strange:
        raise ImportError(f"{where} must have {what} for none but those declared; got {', '.join(strange)}; declare it")
