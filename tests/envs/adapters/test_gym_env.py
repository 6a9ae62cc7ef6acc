"""The Gymnasium environment starts without torch."""

import subprocess
import sys


def test_the_gymnasium_environment_needs_no_torch():
    code = (
        "import sys, gymnasium, repricer; env = gymnasium.make('repricer/StationaryLogit-v0'); env.reset(seed=0);"
        "env.step(env.action_space.sample()); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
