"""What a compiled function is made from: the code and the constants that it reaches, as text for the key of its cache."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_COMPILER = {"numpy", "numba", "math", "builtins"}
"""Packages whose functions Numba compiles in its own way."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range, np.generic)


def reached(function: FunctionType) -> str:
    """The code of a function and of all functions that it calls, with the constants and fields that they name.

    It is read from the loaded code, not from files, which may have changed since.

    Args:
        function: The Python function.

    Returns:
        Text that is equal in two processes if the same machine code comes out, whatever else changed.

    Raises:
        TypeError: A global name is bound to something that compiled code cannot use.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> def quadruple(x):
        ...     return double(double(x))
        >>> "double" in reached(quadruple), "quadruple" in reached(double)
        (True, False)
    """
    return "\n".join(sorted(_Reach(function).lines))


class _Reach:
    """The walk from one function through all that its code names."""

    def __init__(self, function: FunctionType) -> None:
        self.lines: set[str] = set()
        self._followed: set[FunctionType] = set()
        self._follow(function)

    def _follow(self, function: FunctionType) -> None:
        if function in self._followed:
            return
        self._followed.add(function)
        name = f"{function.__module__}.{function.__qualname__}"
        self.lines.add(f"{name}: {_text_of(function.__code__)}")
        self._add(f"{name} defaults", function.__defaults__)
        for cell, content in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._add(f"{name} {cell}", content.cell_contents)
        self._look_up(function.__globals__, set(_names(function.__code__)), function.__module__)

    def _look_up(self, space: dict[str, Any], names: set[str], of: str) -> None:
        """Add what names are bound to; an attribute of a module is a name, too."""
        for name in names & space.keys():
            value = space[name]
            if not isinstance(value, ModuleType):
                self._add(f"{of}.{name}", value)
            elif not _of_compiler(value.__name__):
                self._look_up(vars(value), names - {name}, value.__name__)

    def _add(self, name: str, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self.lines.add(f"{name} = {type(value).__name__} {value!r}")
        elif isinstance(value, np.ndarray):
            self.lines.add(f"{name} = {value.dtype} {value.shape} {value.tobytes().hex()}")
        elif isinstance(value, tuple | list):
            for index, item in enumerate(value):
                self._add(f"{name}[{index}]", item)
        elif isinstance(value, type) and hasattr(value, "_fields"):
            self.lines.add(f"{name} = {value.__qualname__} {value._fields}")  # pyright: ignore[reportAttributeAccessIssue]
        else:
            self._add_function(name, value)

    def _add_function(self, name: str, value: Any) -> None:
        """Follow a function; those that Numba compiles in its own way end the walk. Raises TypeError."""
        if hasattr(value, "targetoptions"):  # the options of Numba's decorator, which are part of what is compiled
            self.lines.add(f"{name} is compiled with {value.targetoptions}")
        function = inspect.unwrap(value) if callable(value) else value
        if isinstance(function, FunctionType) and not _of_compiler(function.__module__):
            self._follow(function)
        elif not _of_compiler(getattr(function, "__module__", None) or ""):
            can = "a function, a named tuple, or a number, text or array, or a tuple of these"
            raise TypeError(f"{name} must be {can}, as compiled code names it; got {value!r}; pass it as an argument")


def _of_compiler(module: str) -> bool:
    return module.partition(".")[0] in _COMPILER


def _names(code: CodeType) -> Iterator[str]:
    """All names in a function's code, and in that of the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _text_of(code: CodeType) -> str:
    """The code without its place in the file."""
    constants = [_text_of(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {code.co_argcount} {names} {constants}"
