"""Declaration and checks of a section's fields: shape, bounds and meaning as metadata; the error of invalid scenarios."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from dataclasses import MISSING, field, fields, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


PRICE = (1e-9, 1e9)
"""Bounds of prices, currency per unit."""
MONEY = (0, 1e9)
"""Bounds of costs and other money, currency."""
SHARE = (0, 1)
"""Bounds of shares."""
FACTOR = (0, 1e3)
"""Bounds of factors."""


def array(
    shape: str, doc: str, low: float = -np.inf, high: float = np.inf, *, default: Any = MISSING, dtype: Any = np.float64
) -> Any:
    """A field of numbers.

    Args:
        shape: One letter (of T, C, N, K, R, Z, M) per dimension; empty for a single number.
        doc: What the numbers mean, with their unit.
        low: Smallest allowed value.
        high: Largest allowed value.
        default: Value if the key is left out, without which it is required; with None it may be None.
        dtype: Precision that it is kept in.
    """
    metadata = {"shape": shape, "low": low, "high": high, "doc": doc, "optional": default is None, "dtype": dtype}
    return field(default=default, metadata=metadata)


def scalar(doc: str, low: float = -np.inf, high: float = np.inf, **kwargs: Any) -> Any:
    """A field of one number."""
    return array("", doc, low, high, **kwargs)


def value(doc: str, **kwargs: Any) -> Any:
    """A field of names, or a whole section."""
    return field(metadata={"doc": doc}, **kwargs)


def choice(doc: str, *allowed: str) -> Any:
    """A field with one of a few allowed words, the first by default."""
    return field(default=allowed[0], metadata={"doc": doc, "choices": allowed})


def flag(doc: str, *, default: bool) -> Any:
    """A field that is true or false."""
    return field(default=default, metadata={"doc": doc, "flag": True})


def shown(content: Any) -> str:
    """A wrong value as error messages show it: short and on one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return " ".join(short.repr(content).split())


def check_words(part: Any, prefix: str) -> None:
    """Check that text is text and lists of names are lists of names."""
    for item in fields(part):
        kind = str(item.type)
        current = getattr(part, item.name)
        key = f"{prefix}{item.name}"
        if {"shape", "choices", "flag"} & set(item.metadata) or (current is None and kind.endswith(" | None")):
            continue
        if kind == "str" and not isinstance(current, str):
            raise ScenarioError(f"{key} must be text; got {shown(current)}; put it in quotes")
        if kind.startswith("tuple[tuple"):
            if not (isinstance(current, tuple | list) and all(map(is_names, current))):
                raise ScenarioError(f'{key} must be lists of names; got {shown(current)}; write them as [["…", "…"]]')
        elif kind.startswith("tuple") and not is_names(current):
            raise ScenarioError(f'{key} must be a list of names; got {shown(current)}; write it as ["…", "…"]')


def is_names(current: Any) -> bool:
    """Whether it is a list of names."""
    return isinstance(current, tuple | list) and all(isinstance(name, str) for name in current)


def whole(part: Any, key: str, where: str) -> int:
    """One field of whole numbers, checked: a size that other fields are broadcast to."""
    metadata = next(item.metadata for item in fields(part) if item.name == key)
    return _whole(_number(getattr(part, key), f"{where}.{key}", metadata, {}), f"{where}.{key}")


def validated(part: Any, where: str, sizes: dict[str, int]) -> Any:
    """The section with arrays broadcast to full shape and read-only, and all bounds checked."""
    changed = {}
    for item in fields(part):
        current = getattr(part, item.name)
        key = f"{where}.{item.name}"
        if "shape" in item.metadata:
            changed[item.name] = _number(current, key, item.metadata, sizes)
            if item.type in ("int", "int | None") and changed[item.name] is not None:
                changed[item.name] = _whole(changed[item.name], key)
        elif "choices" in item.metadata and current not in item.metadata["choices"]:
            allowed = ", ".join(item.metadata["choices"])
            raise ScenarioError(f"{key} must be one of {allowed}; got {shown(current)}; choose one of them")
        elif "flag" in item.metadata and not isinstance(current, bool):
            raise ScenarioError(f"{key} must be true or false; got {shown(current)}; choose one of them")
        elif str(item.type).startswith("tuple") and isinstance(current, tuple | list):
            changed[item.name] = tuple(tuple(inner) if isinstance(inner, list) else inner for inner in current)
    return replace(part, **changed)


def as_numbers(current: Any, key: str) -> NDArray[np.float64]:
    """Nested sequences of numbers as an array; everything else is refused."""
    wrong = _no_number(current)
    if wrong is not None:
        raise ScenarioError(f"{key} must be numbers; got {shown(wrong[0])}; fix the value")
    try:
        return np.array(current, dtype=np.float64)
    except OverflowError as error:
        raise ScenarioError(f"{key} must be numbers below 1e308; got a larger one; fix the value") from error
    except ValueError as error:
        raise ScenarioError(f"{key} must have rows of one length; got {shown(current)}; complete the rows") from error


def _no_number(current: Any) -> tuple[Any] | None:
    """The first item that is not a number, in a tuple of one; None if all are numbers."""
    if isinstance(current, Sequence) and not isinstance(current, str | bytes):
        return next((wrong for item in current if (wrong := _no_number(item))), None)
    if isinstance(current, Real):
        return (current,) if isinstance(current, bool) else None
    return None if hasattr(current, "__array__") and np.asarray(current).dtype.kind in "biuf" else (current,)


def _number(current: Any, key: str, metadata: Any, sizes: dict[str, int]) -> Any:
    if current is None and metadata["optional"]:
        return None
    numbers = as_numbers(current, key)
    outside = ~((numbers >= metadata["low"]) & (numbers <= metadata["high"]))
    if outside.any():
        raise ScenarioError(
            f"{key} must lie in [{metadata['low']:g}, {metadata['high']:g}]; got {numbers[outside].flat[0]:g}"
            f"{_position(outside)}; fix the value"
        )
    letters = metadata["shape"]
    if not letters:
        if numbers.ndim:
            raise ScenarioError(f"{key} must be one number; got a list of {numbers.size}; give one")
        return float(numbers)
    shape = tuple(sizes[letter] for letter in letters)
    if numbers.ndim == 1 and len(shape) == 2 and shape[1] == 1 and numbers.size == shape[0]:
        numbers = numbers[:, None]
    try:
        full = np.ascontiguousarray(np.broadcast_to(numbers, shape), dtype=metadata["dtype"])
    except ValueError as error:
        wanted = " x ".join(f"{letter}={sizes[letter]}" for letter in letters)
        raise ScenarioError(
            f"{key} must have shape ({wanted}), or spread to it; got shape {numbers.shape}; "
            "give one value for each, or one for all"
        ) from error
    full.setflags(write=False)
    return full


def _position(outside: NDArray[np.bool_]) -> str:
    if not outside.ndim:
        return ""
    *row, item = np.argwhere(outside)[0] + 1
    return f" (item {item} of row {row[0]})" if row else f" (item {item})"


def _whole(number: float, key: str) -> int:
    if number != int(number):
        raise ScenarioError(f"{key} must be a whole number; got {number:g}; round it")
    return int(number)
