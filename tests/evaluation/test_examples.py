"""The examples in the docstrings run, and every public class and function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from repricer import evaluation
from repricer.evaluation import report
from repricer.serving import explanation

MODULES = [
    module.name
    for package in (evaluation, explanation)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
]
PUBLIC = [
    (package, name)
    for package in (evaluation, report)
    for name in package.__all__
    if inspect.isroutine(member := getattr(package, name)) or inspect.isclass(member)
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_every_public_name_has_an_example(package, name):
    assert ">>>" in (getattr(package, name).__doc__ or "")
