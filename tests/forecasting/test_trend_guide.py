"""The examples of docs/trend.md, run as a reader would."""

from __future__ import annotations

import doctest
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "trend.md").read_text(encoding="utf-8")


def test_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "trend.md", "trend.md", 0)
    assert len(test.examples) > 10
    assert doctest.DocTestRunner().run(test).failed == 0
