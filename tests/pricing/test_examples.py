"""The examples in the docstrings run, and every public class and function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from repricer import pricing

MODULES = [f"repricer.pricing.{module.name}" for module in pkgutil.iter_modules(pricing.__path__)]
PUBLIC = [
    name for name in pricing.__all__ if inspect.isroutine(member := getattr(pricing, name)) or inspect.isclass(member)
]


@pytest.mark.parametrize("module", [*MODULES, "repricer.scenarios.choice", "repricer.evaluation.optimum.logit"])
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name):
    assert ">>>" in (getattr(pricing, name).__doc__ or "")
