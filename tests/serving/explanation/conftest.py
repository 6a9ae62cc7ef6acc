from __future__ import annotations

from typing import Any

import pytest
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, example_state, export, load_bundle

from ..conftest import make_run


def usual_state(one: Bundle) -> dict[str, Any]:
    state = example_state(one.catalogue)
    for item in state["products"]:
        item["on_hand"] = None
    return state


@pytest.fixture(scope="module")
def ruled(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Rules that look back, and at other products."""
    rules = {
        "max_changes": 1,
        "change_window_periods": 4,
        "line_order": (("anchovy", "biscuit"),),
        "frozen": ("cider",),
    }
    run = make_run(spec.with_changes(prices=rules), product_wise=True)
    return load_bundle(export(run, tmp_path_factory.mktemp("ruled") / "bundle"))
