"""Every block of the page "Use it with ..." runs, where its library is installed."""

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "use_it_with.md"
BLOCKS = dict(
    re.findall(r"^## (.*?)$.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
)
BESIDE = {"d3rlpy": "d3rlpy", "ray.rllib": "tree"}
"""Libraries that cannot be installed beside this package's versions, and a module that tells whether they are there:
Ray itself comes with the extra `scale`, without what RLlib needs.
"""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("library", BLOCKS)
def test_a_block_of_the_page_runs(library, tmp_path, monkeypatch):
    missing = [
        name
        for name, module in BESIDE.items()
        if re.search(rf"^(import|from) {name}\b", BLOCKS[library], re.MULTILINE)
        and not importlib.util.find_spec(module)
    ]
    if missing:
        pytest.skip(f"needs {missing[0]}, in an environment of its own")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    exec(compile(BLOCKS[library], PAGE.name, "exec"), {})


def test_every_section_has_a_block():
    assert len(BLOCKS) == PAGE.read_text(encoding="utf-8").count("\n## ")
