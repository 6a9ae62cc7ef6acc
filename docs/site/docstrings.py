"""Docstrings as griffe wants them: sections named `Examples`, one line per parameter, formulas as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_TOGETHER = re.compile(r"^(\s+)(\*{0,2}\w+(?:, \*{0,2}\w+)+): (.*)$")
_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "varepsilon": "ε",
    "lambda": "λ",
    "rho": "ρ",
    "sigma": "σ",
}
_SECTION = re.compile(r"^(\s*)(Args|Attributes):\s*$")


class Docstrings(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object once it is loaded."""
        if obj.docstring:
            if obj.is_class and "__init__" not in obj.members and not made_by_a_decorator(obj):
                # A named tuple or a protocol: what a dataclass documents as arguments are its attributes.
                obj.docstring.value = re.sub(r"^Args:[ \t]*$", "Attributes:", obj.docstring.value, flags=re.MULTILINE)
            text = re.sub(r"^(\s*)Example:[ \t]*$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
            text = re.sub(r":math:`([^`]*)`", lambda found: f"`{plain(found[1])}`", text)
            obj.docstring.value = "\n".join(separated(text.split("\n")))


def plain(formula: str) -> str:
    """A formula of TeX with letters in the place of commands."""
    return re.sub(r"\\+(\w+)", lambda found: _GREEK.get(found[1], found[1]), formula)


def made_by_a_decorator(obj: griffe.Object) -> bool:
    """Whether a decorator makes the constructor, as that of a dataclass does."""
    return any("dataclass" in str(decorator.value) for decorator in getattr(obj, "decorators", []))


def separated(lines: list[str]) -> Iterator[str]:
    """The lines, with parameters that share a description one by one (`low, high: bounds`)."""
    section: int | None = None
    for number, line in enumerate(lines):
        if found := _SECTION.match(line):
            section = len(found[1])
        elif line.strip() and section is not None and len(line) - len(line.lstrip()) <= section:
            section = None
        shared = _TOGETHER.match(line) if section is not None else None
        if not shared:
            yield line
            continue
        indent = shared[1]
        names = shared[2].split(", ")
        text = shared[3]
        more = []  # what continues the description
        for later in lines[number + 1 :]:
            if not later.startswith(indent + " "):
                break
            more.append(later)
        for name in names[:-1]:
            yield f"{indent}{name}: {text}"
            yield from more
        yield f"{indent}{names[-1]}: {text}"
