"""docs/profiles.md: its examples are run as a reader would, on the demonstration data set."""

from __future__ import annotations

import doctest
from pathlib import Path

from repricer.profiles import FEATURES

GUIDE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")


def test_python_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "profiles.md", "profiles.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_feature_is_described():
    rows = [f"| `{name}` | {meaning} |" for name, meaning in FEATURES.items()]
    assert "\n".join(rows) in GUIDE
