"""`make check` prints the size of the package by room: lines of code without blanks, comments, docstrings and imports."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGETS = {
    "serving + planning": 6_600,
    "envs": 4_000,
    "agents": 3_900,
    "cli": 2_900,
    "all": 38_500,
}
"""At most so many lines; CONTRIBUTING says why. A room without a target is bound by that of all."""
_TOGETHER = {"serving": "serving + planning", "planning": "serving + planning"}
_LEFT_OUT = ("tests", "docs", "build", "site", "demo", "runs")


def lines_of_code(source: str) -> int:
    """Lines of code of a module."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None:
                skipped |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and i not in skipped for i, line in lines)


def sizes() -> tuple[Counter[str], int]:
    """Lines of code by room, with those of all rooms, and the number of modules."""
    files = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).parts[0].startswith((".", *_LEFT_OUT))]
    lines: Counter[str] = Counter()
    for path in files:
        parts, count = path.relative_to(ROOT).parts, lines_of_code(path.read_text(encoding="utf-8"))
        room = parts[0] if len(parts) > 1 else "(root)"
        lines[_TOGETHER.get(room, room)] += count
        lines["all"] += count
    return lines, len(files)


if __name__ == "__main__":
    counted, modules = sizes()
    rooms = [
        f"{room} {n:,}" + (f" of {TARGETS[room]:,}" if room in TARGETS else "") for room, n in counted.most_common()
    ]
    print(f"lines of code, of at most so many, in {modules} modules: {', '.join(rooms)}")
