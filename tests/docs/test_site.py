"""The site builds without a warning, holds every public name, and loads nothing from another origin."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason="the site needs the extra `docs`: make docs")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr  # with --quiet, a warning would not count
    return folder


def test_every_page_of_the_navigation_is_built(site):
    pages = re.findall(r": ([\w/.]+)\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(pages) > 30
    for page in pages:
        assert (site / f"{page}.html").exists(), page


def test_every_public_name_has_an_entry(site):
    rooms = [path.stem for path in (site / "api").glob("*.html") if path.stem != "repricer"]
    assert len(rooms) > 10
    for room in rooms:
        tree = ast.parse(ROOT.joinpath(*room.split("."), "__init__.py").read_text(encoding="utf-8"))
        names = [
            name
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            for name in ast.literal_eval(node.value)
        ]
        page = (site / "api" / f"{room}.html").read_text(encoding="utf-8")
        missing = [name for name in names if f'id="repricer.{room}.{name}"' not in page]
        assert not missing, f"{room}: no docstring to show for {missing}"


def test_nothing_is_loaded_from_another_origin(site):
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"' >]+)", text)
        loaded += re.findall(r"<link\b(?![^>]*canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"' >]+)", text)
        assert not loaded, f"{page.name}: {loaded}"
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style.name
