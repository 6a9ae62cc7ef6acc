"""The examples of docs/price_response.md, run as a reader would."""

from __future__ import annotations

import doctest
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "price_response.md").read_text(encoding="utf-8")


def test_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "price_response.md", "price_response.md", 0)
    assert len(test.examples) > 15
    assert doctest.DocTestRunner().run(test).failed == 0
