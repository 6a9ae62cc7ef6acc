"""The cache on disk of compiled functions: renewed when any file that they are made from changes.

Numba looks at the file of the function itself alone. What other files contribute would live on: a
changed callee in its callers, or a form of the cache that a newer version no longer reads.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache

_PACKAGE = Path(__file__).parents[2]
_SOURCES = ("envs/jit", "envs/kernels", "pricing", "agents/ppo")


@functools.cache
def sources() -> str:
    """A hash of the files that compiled functions call one another from."""
    files = sorted(file for folder in _SOURCES for file in (_PACKAGE / folder).rglob("*.py"))
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=16).hexdigest()


class SourceCache(FunctionCache):
    """The cache of a function, which is empty after a change of any of the sources.

    Args:
        function: The Python function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, sources())
