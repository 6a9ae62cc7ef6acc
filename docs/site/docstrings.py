"""Docstrings as griffe wants them: it knows sections named `Examples`, the code says `Example` where there is one."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Rename the section before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object once it is loaded."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^(\s*)Example:[ \t]*$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
