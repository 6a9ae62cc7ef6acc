"""How a section's fields are declared and checked: shape, bounds and meaning stand in the field's metadata."""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ScenarioError


def array(
    shape: str,
    doc: str,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    default: Any = None,
    optional: bool = False,
) -> Any:
    """A field that holds numbers: shape letters (of T, C, N, K), the closed interval allowed, the meaning."""
    metadata = {"shape": shape, "low": low, "high": high, "doc": doc, "optional": optional}
    if default is None and not optional:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def scalar(doc: str, *, low: float = -np.inf, high: float = np.inf, **kwargs: Any) -> Any:
    """A field that holds one number, or None where that is its default."""
    return array("", doc, low=low, high=high, **kwargs)


def value(doc: str, **kwargs: Any) -> Any:
    """A field that holds names or a nested section."""
    return field(metadata={"doc": doc}, **kwargs)


def choice(doc: str, *allowed: str, **kwargs: Any) -> Any:
    """A field that holds one of a few words."""
    return field(metadata={"doc": doc, "choices": allowed}, **kwargs)


def validated(part: Any, where: str, sizes: dict[str, int]) -> Any:
    """The section with its arrays spread to full shape, frozen, and everything inside its bounds."""
    changed = {}
    for item in fields(part):
        current, key = getattr(part, item.name), f"{where}.{item.name}"
        if "shape" in item.metadata:
            changed[item.name] = _number(current, key, item.metadata, sizes)
            if item.type == "int":
                changed[item.name] = _whole(changed[item.name], key)
        elif "choices" in item.metadata and current not in item.metadata["choices"]:
            allowed = ", ".join(item.metadata["choices"])
            raise ScenarioError(f"{key} must be one of {allowed}; got {current!r}; choose one of them")
    return replace(part, **changed)


def _number(current: Any, key: str, metadata: Any, sizes: dict[str, int]) -> Any:
    if current is None and metadata["optional"]:
        return None
    try:
        numbers = np.array(current, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{key} must be numbers; got {current!r}; mend the value") from error
    outside = ~((numbers >= metadata["low"]) & (numbers <= metadata["high"]))
    if outside.any():
        raise ScenarioError(
            f"{key} must lie in [{metadata['low']:g}, {metadata['high']:g}]; got {numbers[outside].flat[0]:g}"
            f"{_position(outside)}; mend the value"
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
        full = np.ascontiguousarray(np.broadcast_to(numbers, shape))
    except ValueError as error:
        wanted = " x ".join(f"{letter}={sizes[letter]}" for letter in letters)
        raise ScenarioError(
            f"{key} must have shape ({wanted}), or spread to it; got shape {numbers.shape}; "
            "give one value for each, or one for all"
        ) from error
    full.setflags(write=False)
    return full


def _position(outside: NDArray[np.bool_]) -> str:
    return f" (item {int(np.flatnonzero(outside)[0]) + 1})" if outside.ndim else ""


def _whole(number: float, key: str) -> int:
    if number != int(number):
        raise ScenarioError(f"{key} must be a whole number; got {number:g}; round it")
    return int(number)
