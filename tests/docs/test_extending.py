"""The page on extensions, installed: its pyproject becomes the entry points of a package that nobody else sees."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"

USE_IT = """
import numpy as np
import gymnasium
import repricer
from click.testing import CliRunner
from repricer.cli import main
from repricer.pricing import FixedPrice, competitor
from repricer.scenarios import load_scenario, registered
from repricer.scenarios.checks import demand_families, family_function

assert {"corner-shop", "corner-shop-cloglog", "corner-shop-two-minds", "grocery"} <= set(registered())
spec = load_scenario("corner-shop")
assert spec.competitors.rule == ("happy-hour:7:30",) and spec.sizes["R"] == 1
assert competitor("happy-hour:7:30").share == 0.3
other = load_scenario("corner-shop-cloglog")
assert other.demand.family == "cloglog" and "cloglog" in demand_families()
assert abs(family_function("cloglog")(np.zeros(1))[0] - (1 - np.exp(-1))) < 1e-12
assert "repricer/CornerShop-v0" in gymnasium.registry
assert load_scenario("corner-shop@demand-halved").arrivals.rate[0, 0] == 20.0
listed = CliRunner().invoke(main, ["scenarios"]).output
assert "other packages: registered" in listed and "Tea and coffee" in listed
for name in ("corner-shop", "corner-shop-cloglog", "corner-shop-two-minds"):
    market = repricer.Market(name, num_markets=50)
    sold = market.step(FixedPrice(market.catalogue.regular_price).act(market.view)).units
    assert 0 < sold.mean() < 1000, name
card = CliRunner().invoke(main, ["scenarios", "corner-shop"]).output
# A narrow terminal breaks lines at hyphens.
assert "names café" in card and "rulehappy-hour:7:30" in "".join(card.split()), card
"""


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def install(tmp_path):
    """Make a distribution of a module and its entry points; gives the way to run code beside it."""

    def make(name: str, module: str, points: dict[str, dict[str, str]]) -> None:
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(module, encoding="utf-8")
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = [
            line
            for group, names in points.items()
            for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(code: str) -> subprocess.CompletedProcess:
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    make.run = run
    return make


def test_the_example_of_the_page_works_once_installed(install):
    project = tomllib.loads(block("toml"))["project"]
    install(project["name"], block("python"), project["entry-points"])
    done = install.run(USE_IT)
    assert done.returncode == 0, done.stderr


LOAD = """
import repricer
from repricer.scenarios import load_scenario
try:
    load_scenario({name!r})
except ValueError as error:
    print(error)
"""

WRONG = [
    ("grocery", "x = {}", "grocery", "names must differ; got 'grocery' from repricer and 'grocery' from extra;"),
    ("bench1", "x = {}", "grocery", "names must differ; got 'bench-1' from repricer and 'bench1' from extra;"),
    ("market", "x = {}", "grocery", "names must differ; got 'market' from repricer and 'market' from extra;"),
    ("My shop", "x = {}", "grocery", "names must be lower-case words joined by dashes; got 'My shop' from extra;"),
    ("new", "x = 3", "new", "scenario 'new' of extra must load; got ScenarioError: it must be a path, a table"),
    ("new", "x = {'nam': 'new'}", "new", "nam is no known key; did you mean 'name'?"),
    ("new", "import nowhere", "new", "must load; got ModuleNotFoundError: No module named 'nowhere'"),
    ("new", "x = lambda: 1 / 0", "new", "must load; got ZeroDivisionError"),
    (
        "new",
        "from repricer.scenarios import load_scenario\nx = load_scenario('grocery')",
        "new",
        "must have the name it is registered under; got 'grocery'",
    ),
]


@pytest.mark.parametrize(("name", "module", "wanted", "words"), WRONG, ids=[words[:50] for *_, words in WRONG])
def test_a_wrong_extension_is_one_line_and_leaves_the_package_importable(install, name, module, wanted, words):
    install("extra", module, {"repricer.scenarios": {name: "extra:x"}})
    done = install.run(LOAD.format(name=wanted))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert words in line


def test_an_extension_may_give_a_file_or_a_market(install, tmp_path):
    module = """
from pathlib import Path
from repricer.scenarios import load_scenario, save_scenario
from dataclasses import replace
x = replace(load_scenario("grocery"), name="another")
y = str(Path(__file__).parent / "file")
"""
    install("extra", module, {"repricer.scenarios": {"another": "extra:x", "from-file": "extra:y"}})
    code = f"""
from dataclasses import replace
from repricer.scenarios import load_scenario, save_scenario
save_scenario(replace(load_scenario("scarce"), name="from-file"), {str(tmp_path / "file")!r})
print(load_scenario("another").name, load_scenario("from-file").stock.initial_units[0])
"""
    done = install.run(code)
    assert done.stdout.split() == ["another", "20.0"], done.stderr
