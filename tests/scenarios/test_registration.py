"""Environments are there whatever else looks for Gymnasium."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("order", ["import repricer, gymnasium", "import gymnasium, repricer"])
def test_a_look_for_gymnasium_hides_no_environment(order):
    """Libraries such as TorchRL look for it with `find_spec` before they import it."""
    code = (
        f"import importlib.util; importlib.util.find_spec('gymnasium'); {order}; "
        "importlib.util.find_spec('gymnasium'); print(gymnasium.spec('repricer/Grocery-v0').id)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "repricer/Grocery-v0\n"
    late = "import repricer, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium; "
    late += "print('repricer/Grocery-v0' in gymnasium.registry)"
    assert subprocess.check_output([sys.executable, "-c", late], text=True) == "True\n"


def test_without_gymnasium_the_package_still_works():
    code = "import sys; sys.modules['gymnasium'] = None; import repricer; print(repricer.load_scenario('scarce').name)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "scarce\n"
