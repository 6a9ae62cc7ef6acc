"""Every example of the guides runs as a reader would run it, and the links between the pages lead somewhere."""

import contextlib
import doctest
import io
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import repricer
from click.testing import CliRunner
from repricer.agents import best_fixed
from repricer.cli.data import command
from repricer.data import TableMapping, load_mapping
from repricer.profiles import FEATURES

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/guide.md",
    "docs/competition.md",
    "docs/evaluation.md",
    "docs/market.md",
    "docs/scenario_files.md",
    "docs/training.md",
    "docs/what_if.md",
)
"""Pages whose Python blocks run in order, in one namespace a page."""
SESSIONS = {
    "docs/data.md": 9,
    "docs/forecasting.md": 37,
    "docs/profiles.md": 13,
}
"""Pages of interactive sessions, whose outputs are compared, and the fewest examples that each has."""

_FIGURE = re.compile(r"[\d.]+(?=%)")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page, monkeypatch):
    found = blocks(page, "python")
    assert found, f"{page} has no example"
    if page != "README.md":  # nothing of what these print is compared: any opening and any fixed prices will do
        monkeypatch.setattr("repricer.agents.cloning._BATCHES", 5)
        monkeypatch.setattr("repricer.agents.classical._GENERATIONS", (7, 3))
    namespace: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in found:
            exec(compile(block, page, "exec"), namespace)
    best_fixed.cache_clear()  # other tests find theirs by a whole search
    if page == "README.md":
        # The output stands below the example. What is learned differs in its last bits from processor to processor.
        shown, found = text_of(page).partition("```text\n")[2].partition("```")[0], printed.getvalue()
        assert _FIGURE.sub("", found) == _FIGURE.sub("", shown)
        assert list(map(float, _FIGURE.findall(found))) == pytest.approx(
            list(map(float, _FIGURE.findall(shown))), abs=0.5
        )


@pytest.fixture
def files_of_the_data_page(tmp_path):
    """The tables that docs/data.md shows, as files."""
    for name, text in zip(["sales", "products", "customers", "export"], blocks("docs/data.md", "csv"), strict=True):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    (mapping,) = blocks("docs/data.md", "toml")
    (tmp_path / "mapping.toml").write_text(mapping, encoding="utf-8")


@pytest.mark.parametrize(("page", "fewest"), SESSIONS.items())
def test_the_sessions_of_a_page_print_what_it_shows(page, fewest, files_of_the_data_page):
    test = doctest.DocTestParser().get_doctest(text_of(page), {}, page, page, 0)
    assert len(test.examples) >= fewest
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_commands_of_the_data_page(files_of_the_data_page):
    lines = re.findall(r"^\$ repricer data (.*)$", text_of("docs/data.md").replace("\\\n", ""), flags=re.MULTILINE)
    assert lines
    codes = {line.split()[0]: CliRunner().invoke(command, line.split()).exit_code for line in lines}
    assert codes == {"check": 2, "import": 0, "summary": 0, "mapping": 0}


def test_the_guessed_mapping_names_what_the_worked_example_maps(files_of_the_data_page, tmp_path):
    """All of it but the meaning of the discount, which no header tells."""
    CliRunner().invoke(command, ["mapping", "--sales", "export.csv", "--out", "guess.toml"])
    guess, worked = (load_mapping(tmp_path / name)["sales"] for name in ("guess.toml", "mapping.toml"))
    assert guess.columns == {column: own for column, own in worked.columns.items() if column != "regular_price"}
    assert guess.convert == {"price_paid": ("line-total",)}
    layout = ("encoding", "separator", "decimal", "thousands", "date_format")
    assert [getattr(guess, name) for name in layout] == [getattr(worked, name) for name in layout]


def test_every_key_of_a_mapping_is_documented():
    mapping = text_of("docs/data.md").split("## Mapping")[1].split("## Tables")[0]
    documented = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", mapping, re.MULTILINE)
    assert sorted(documented) == sorted(item.name for item in fields(TableMapping))


def test_every_feature_of_a_customer_is_described():
    rows = [f"| `{name}` | {meaning} |" for name, meaning in FEATURES.items()]
    assert "\n".join(rows) in text_of("docs/profiles.md")


def test_the_examples_of_the_serving_page_run(tmp_path, capsys):
    small = {"evaluations": 1, "validation_episodes": 8, "clone_epochs": 1}
    run = repricer.train("stationary-logit", algo="ppo", steps=2_000, settings=small)
    repricer.export(run, tmp_path / "bundle")
    found = blocks("docs/serving.md", "python")
    assert len(found) == 7
    exec("\n".join(found), {})
    assert "pinned" in capsys.readouterr().out


@pytest.mark.parametrize("notebook", ["analyst", "experiments", "operator", "rl_engineer"])
def test_a_notebook_was_run_in_order_and_without_an_error(notebook):
    """It takes a minute, so the tests only look at what is stored; `make docs NOTEBOOKS=1` runs it."""
    text = text_of(f"docs/notebooks/{notebook}.ipynb")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(counts[0], counts[0] + len(cells)))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    assert not re.findall(r"(?:/home|/root|/tmp|/Users|site-packages)/", text)
    assert len(text) < 150_000


LINKED = [
    *PAGES,
    *SESSIONS,
    "CHANGELOG.md",
    "docs/experiments.md",
    "docs/extending.md",
    "docs/fitted_market.md",
    "docs/notation.md",
    "docs/operating.md",
    "docs/serving.md",
]


@pytest.mark.parametrize("page", LINKED)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", text_of(page)):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", LINKED)
def test_the_files_that_a_page_names_exist(page):
    rooms = "agents|benchmarks|cli|client|data|docs|envs|evaluation|fitting|forecasting|pricing|profiles|scenarios|serving|tests"
    for named in re.findall(rf"`((?:{rooms})/[\w./-]*)`", text_of(page)):
        made_up = ("NAME", "ALGO")
        assert (ROOT / named).exists() or any(word in named for word in made_up), named
