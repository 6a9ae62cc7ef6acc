"""How the market's loops are compiled: decorators, their cache on disk, and structures of many arrays."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.event import Event, Listener, register
from numba.experimental import structref
from numba.extending import overload, register_jitable

from .compile_once import one_at_a_time
from .reach import reached

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_COMPILER = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_HERE.glob("*.py")))).hexdigest()
"""The files that say how functions are compiled, and what the compiled form of others is."""


class SourceCache(FunctionCache):
    """The cache on disk of a function, which is empty after a change of anything that its machine code is made from.

    Numba looks at the file of the function itself alone: its callees in other files would live on, changed or not. See
    `reach.py` for what else is looked at.

    Args:
        function: The Python function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._file_stamp = self._cache_file._source_stamp
        self._stamped = False

    @property
    def index_file(self) -> Path:
        """The file that lists what is kept."""
        return Path(self._cache_path) / self._cache_file._index_name

    def holds_any(self) -> bool:
        """Whether machine code is kept that is made from the function as it is now."""
        self._stamp()
        return bool(self._cache_file._load_index())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for arguments of these types, or None."""
        self._stamp()
        return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the machine code for arguments of these types."""
        self._stamp()
        super().save_overload(sig, data)

    def _stamp(self) -> None:
        """At the first call, when all functions that it calls are defined."""
        if not self._stamped:
            made_from = hashlib.sha256(reached(self._py_func).encode()).hexdigest()
            self._cache_file._source_stamp = (self._file_stamp, _COMPILER, made_from)
            self._stamped = True

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # Numba tells named tuples apart by their name and types alone.
        return (*super()._index_key(sig, codegen), tuple(_field_names(kind) for kind in sig))


def _field_names(kind: Any) -> tuple[Any, ...]:
    """The fields of a named tuple, and of those in it."""
    own: Any = kind.fields if isinstance(kind, types.BaseNamedTuple) else ()  # pyright: ignore[reportAttributeAccessIssue]
    parts: Any = kind if isinstance(kind, types.BaseTuple) else ()
    return (own, *(_field_names(part) for part in parts))


def _decorator(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        # Division by zero is as in numpy: Python's check would keep loops from SIMD.
        dispatcher: Any = njit(error_model="numpy", no_cfunc_wrapper=True, **options)(function)  # pyright: ignore[reportCallIssue]
        if hasattr(dispatcher, "_cache"):  # with NUMBA_DISABLE_JIT it is the function itself
            dispatcher._cache = SourceCache(function)
            dispatcher.compile = one_at_a_time(dispatcher.compile, dispatcher._cache)
        return dispatcher

    return decorate


compiled = _decorator()
# For small functions, functions that return views, and large ones with one caller.
inlined = _decorator(inline="always")
# For loops over the caller's scratch: inside the function that allocates it, the compiler knows
# that the scratch overlaps with nothing, removes its checks and keeps lanes in registers.
merged = _decorator(forceinline=True)


def callable_formulas(*modules: ModuleType) -> None:
    """Let compiled code call the functions of these modules as they are.

    Args:
        modules: Modules of other rooms, such as `pricing`.
    """
    for module in modules:
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                register_jitable(error_model="numpy")(function)


class CompilationNotice(Listener):
    """Logs, once per process, that functions of `repricer.envs` are being compiled; those in the cache do not count."""

    def __init__(self) -> None:
        self._logged = False

    def on_start(self, event: Event) -> None:
        """Numba starts to compile a function."""
        module = str(event.data["dispatcher"].py_func.__module__)  # pyright: ignore[reportOptionalSubscript]
        if not self._logged and module.startswith(__name__.removesuffix(".jit.compiling")):
            self._logged = True
            _log.info("compiling the market's loops: a minute or two, once on this machine")

    def on_end(self, event: Event) -> None:
        """Numba has finished a function: nothing to log."""


register("numba:compile", CompilationNotice())


@structref.register
class _StructureType(types.StructRef):
    def __init__(self, fields: Any) -> None:
        super().__init__(fields)
        # It is part of the names of all functions that take the structure: not a thousand words.
        self.name = f"Structure({hashlib.sha256(self.name.encode()).hexdigest()[:16]})"


class Structure(structref.StructRefProxy):
    """A named tuple behind one pointer, and so are the named tuples in it.

    A tuple of a hundred arrays is a thousand words to the compiler, copied wherever it is named, and Python would take
    longer to pass it than the period of a small market.

    Args:
        group: The named tuple.
    """

    def __new__(cls, group: Any) -> Any:
        """Hold these values."""
        return _structure(group)


structref.define_boxing(_StructureType, Structure)


def _kind(kind: Any) -> Any:
    if not isinstance(kind, types.BaseNamedTuple):
        return types.unliteral(kind)
    of: Any = kind
    return _StructureType([(name, _kind(part)) for name, part in zip(of.fields, of, strict=True)])


def held(value):
    """A value as a structure holds it."""
    return value


@overload(held)
def _held(value):
    if not isinstance(value, types.BaseNamedTuple):
        return lambda value: value
    names: Any = value.fields  # pyright: ignore[reportAttributeAccessIssue]
    fields = "\n".join(f"    made.{name} = held(value.{name})" for name in names)
    space: dict[str, Any] = {"new": structref.new, "held": held, "kind": _kind(value)}
    exec(f"def make(value):\n    made = new(kind)\n{fields}\n    return made", space)
    return space["make"]


@compiled
def _structure(group):
    return held(group)
