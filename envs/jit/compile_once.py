"""One process at a time compiles a function; others that need it wait, and load what it kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from filelock import FileLock
from numba.core.compiler_lock import global_compiler_lock


def one_at_a_time(compile: Callable[[Any], Any], cache: Any) -> Callable[[Any], Any]:
    """A function's compilation, which waits while another process compiles the same function.

    Functions are locked on the way down from callers to what they call, so that no two processes wait for each other.

    Args:
        compile: Compiles for arguments of these types, or loads the machine code that is kept for them.
        cache: The function's `SourceCache`.
    """

    def compile_alone(signature: Any) -> Any:
        lock = cache.index_file.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        # Numba's own lock first: another thread of this process would hold it, and wait for the file.
        with global_compiler_lock, FileLock(lock, is_singleton=True):
            return compile(signature)

    return compile_alone
