"""Compiled functions are kept on disk for as long as nothing changes that they are made from."""

import importlib
import sys

import pytest
from repricer.envs.jit.reach import reached

_FILES = {
    "functions": """
from collections import namedtuple
from repricer.envs.jit.compiling import compiled
from . import formulas
from .formulas import inner
from .shapes import Pair

@compiled
def total(x):
    return formulas.SCALE * inner(x) + later(x).right

@compiled
def later(x):
    return Pair(x, x + 1)

@compiled
def first(pair):
    return pair[0]
""",
    "formulas": """
from repricer.envs.jit.compiling import compiled
from .constants import STEP
from .plain import shifted
SCALE = 2
TABLE = {"unused": 1}

@compiled
def inner(x):
    return shifted(x) + STEP
""",
    "plain": """
from numba.extending import register_jitable

@register_jitable
def shifted(x):
    return x + 0
""",
    "constants": "STEP, OTHER = 1, 5\n",
    "shapes": "from collections import namedtuple\nPair = namedtuple('Pair', 'left right')\n",
    "wording": "HELLO = 'hello'\n",
    "__init__": "",
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Import a small package of compiled functions anew, as a new process does, with a text replaced in one file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "compiled_here"
    folder.mkdir()
    for name, text in _FILES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")

    def imported(file="wording", old="", new=""):
        path = folder / f"{file}.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        for name in [name for name in sys.modules if name.startswith("compiled_here")]:
            del sys.modules[name]
        for kept in folder.glob("__pycache__/*.pyc"):
            kept.unlink()
        importlib.invalidate_caches()
        return importlib.import_module("compiled_here.functions")

    yield imported
    for name in [name for name in sys.modules if name.startswith("compiled_here")]:
        del sys.modules[name]


def called(module):
    """The result of a call, and whether its machine code came from the disk."""
    result = module.total(3)
    return result, sum(module.total.stats.cache_hits.values()) == 1


def test_a_new_process_compiles_nothing(load):
    assert called(load()) == (12, False)
    assert called(load()) == (12, True)


@pytest.mark.parametrize(
    ("file", "old", "new", "result"),
    [
        pytest.param("plain", "x + 0", "x + 10", 32, id="a function called by one in another file"),
        pytest.param("constants", "STEP, OTHER = 1", "STEP, OTHER = 2", 14, id="an imported constant of a callee"),
        pytest.param("formulas", "SCALE = 2", "SCALE = 3", 16, id="a constant of a module"),
        pytest.param("shapes", "left right", "right left", 11, id="the fields of a named tuple"),
        pytest.param("formulas", "@compiled", "@compiled\n", 12, id="nothing, but a line moved"),
        pytest.param("constants", "OTHER = 1, 5", "OTHER = 1, 6", 12, id="a constant that it does not name"),
        pytest.param("formulas", '"unused": 1', '"unused": 2', 12, id="a table that it does not name"),
        pytest.param("wording", "hello", "good morning", 12, id="a word"),
    ],
)
def test_machine_code_is_as_old_as_what_it_is_made_from(load, file, old, new, result):
    assert called(load()) == (12, False)
    unchanged = result == 12
    assert called(load(file, old, new)) == (result, unchanged)
    assert called(load()) == (result, True)


def test_fields_of_an_argument_belong_to_the_key(load):
    def hits(module):
        assert module.first(module.Pair(1, 2)) == 1
        return sum(module.first.stats.cache_hits.values())

    assert hits(load()) == 0
    assert hits(load()) == 1
    assert hits(load("shapes", "left right", "low high")) == 0


def test_options_of_a_callee_belong_to_the_key(load):
    before = reached(load().total.py_func)
    decorator = "import inlined as compiled"
    assert reached(load("formulas", "import compiled", decorator).total.py_func) != before


def test_what_compiled_code_cannot_name_is_refused():
    thing = object()

    def names_it():
        return thing

    with pytest.raises(TypeError, match="thing must be a function"):
        reached(names_it)
