"""The Gymnasium environment starts without torch."""

import subprocess
import sys

import pytest


def test_the_gymnasium_environment_needs_no_torch():
    code = (
        "import sys, gymnasium, repricer; env = gymnasium.make('repricer/StationaryLogit-v0'); env.reset(seed=0);"
        "env.step(env.action_space.sample()); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize("libraries", ["repricer, gymnasium", "gymnasium, repricer"])
def test_the_scenarios_are_registered_whichever_is_imported_first(libraries: str) -> None:
    code = f"import {libraries}; print(*gymnasium.registry)"
    registered = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert {"repricer/Market-v0", "repricer/StationaryLogit-v0"} <= set(registered)
