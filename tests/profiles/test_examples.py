"""The examples in the docstrings run, and every public class and function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from repricer import profiles

MODULES = [module.name for module in pkgutil.walk_packages(profiles.__path__, "repricer.profiles.")]
PUBLIC = [
    name for name in profiles.__all__ if inspect.isroutine(member := getattr(profiles, name)) or inspect.isclass(member)
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name):
    assert ">>>" in (getattr(profiles, name).__doc__ or "")
