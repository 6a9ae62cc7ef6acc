"""The repository root is the package: no room may be missing from the wheel, and no other name be installed."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_room_is_listed():
    listed = set(CONFIG["tool"]["setuptools"]["packages"])
    apart = {"tests", "benchmarks", "docs", "deploy", "build", "dist", "demo", "runs", "site"}
    rooms = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in apart and path.name[0] != "."]
    folders = [Path()] + [file.parent.relative_to(ROOT) for room in rooms for file in room.rglob("__init__.py")]
    assert {".".join(["repricer", *folder.parts]) for folder in folders} == listed


def test_files_that_are_no_code_are_listed_too():
    data = CONFIG["tool"]["setuptools"]["package-data"]
    for package, patterns in data.items():
        folder = ROOT.joinpath(*package.split(".")[1:])
        for pattern in patterns:
            assert list(folder.glob(pattern)), f"{package}: {pattern}"
    known = {
        p
        for package, patterns in data.items()
        for x in patterns
        for p in ROOT.joinpath(*package.split(".")[1:]).glob(x)
    }
    for suffix in ("*.toml", "*.jinja"):
        for folder in ("agents", "evaluation", "scenarios"):
            assert set((ROOT / folder).rglob(suffix)) <= known


def test_extras_are_those_that_make_installs():
    # `make` installs the first three, `make docs` the fourth; the others are for those who ask for them.
    extras = {"train", "serve", "dev", "docs", "postgres", "privacy", "scale", "text"}
    assert set(CONFIG["project"]["optional-dependencies"]) == extras
    torch = next(d for d in CONFIG["project"]["optional-dependencies"]["train"] if d.startswith("torch"))
    assert "==" not in torch
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not any(line.startswith("torch==") for line in pins)
