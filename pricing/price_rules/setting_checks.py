"""Whether the settings of price rules can be, one by one and together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .rule_formulas import DIRECTIONS


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of price rules out of range, or one that lacks another."""
    allowed = {
        "minimum_margin": (0.0, 1.0),
        "max_change": (0.0, np.inf),
        "tick": (0.0, np.inf),
        "max_discount": (0.0, 1.0),
        "max_segment_spread": (0.0, np.inf),
        "max_changes": (1, np.inf),
        "change_window_periods": (2, np.inf),
        "prior_price_periods": (1, np.inf),
    }
    for name, (least, below) in allowed.items():
        value = settings[name]
        numbers = np.atleast_1d(least if value is None else value)
        if (wrong := numbers[~((numbers >= least) & (numbers < below))]).size:
            raise ValueError(f"{name} must lie in [{least:g}, {below:g}); got {wrong[0]:g}; fix the price rules")
        if value is not None and name.endswith(("changes", "periods")) and not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number; got {value:g}; round it")
    direction = settings["direction"]
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}; got {direction!r}; choose one of them")
    _check_window(settings["max_changes"], settings["change_window_periods"])


def _check_window(most: int | None, window: int | None) -> None:
    if (most is None) != (window is None):
        given, lacking = ("max_changes", "change_window_periods")[:: -1 if most is None else 1]
        raise ValueError(f"{given} needs {lacking}; got no {lacking}; give both or neither")
    if most is not None and window is not None and most >= window:
        raise ValueError(
            f"max_changes must be below change_window_periods ({window}), or it forbids nothing; got {most}; "
            "lower it or leave both out"
        )
