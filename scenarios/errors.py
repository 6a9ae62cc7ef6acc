"""The error that invalid scenarios raise."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class ScenarioError(ValueError):
    """A scenario is invalid; the message says in one line what is wrong and how to fix it.

    Example:
        >>> from repricer import load_scenario
        >>> try:
        ...     load_scenario("grocrey")
        ... except ScenarioError as error:
        ...     print(str(error).split("; ")[-1])
        did you mean 'grocery'?
    """


def nearest(word: str, known: Sequence[str], prefix: str = "") -> str:
    """What to do about an unknown word: the known one that is nearest, with a prefix, or
    all of them.

    Example:
        >>> nearest("rat", ["rate", "segments"])
        "did you mean 'rate'?"
    """
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{prefix}{near[0]}'?" if near else f"known are {', '.join(known)}"


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
