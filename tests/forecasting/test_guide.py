"""The examples of docs/forecasting.md, run as a reader would."""

from __future__ import annotations

import doctest
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "forecasting.md").read_text(encoding="utf-8")


def test_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "forecasting.md", "forecasting.md", 0)
    assert len(test.examples) > 20
    assert doctest.DocTestRunner().run(test).failed == 0
