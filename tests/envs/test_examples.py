"""The examples in the docstrings of the package run, and every public name has one."""

import doctest
import importlib
import pkgutil

import pytest
from repricer import envs

MODULES = [module.name for module in pkgutil.walk_packages(envs.__path__, "repricer.envs.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_name_has_an_example():
    without = [name for name in envs.__all__ if ">>>" not in (getattr(envs, name).__doc__ or "")]
    assert without == ["OWN"]
