"""The structures of compiled code are released."""

import os
import subprocess
import sys


def test_a_market_that_is_dropped_leaves_no_memory_behind():
    code = (
        "import gc, numpy as np; from numba.core.runtime import rtsys; from repricer.envs import LearnerView, Market\n"
        "def run():\n"
        "    view = LearnerView(Market('bench-10-full', num_markets=3), product_wise=product_wise)\n"
        "    raw = np.zeros((view.num_rows, view.action_space.shape[0]), np.float32)\n"
        "    for _ in range(3):\n"
        "        view.step(raw).expected_profit, view.observe()\n"
        "def held():\n"
        "    gc.collect(); now = rtsys.get_allocation_stats(); return now.alloc - now.free, now.mi_alloc - now.mi_free\n"
        "for product_wise in (False, True):\n"
        "    run(); before = held(); run(); run(); print(before == held())"
    )
    env = os.environ | {"NUMBA_NRT_STATS": "1"}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=env).split() == ["True"] * 2
