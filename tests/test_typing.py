"""What a type checker makes of the installed package: the wheel carries py.typed, and public names have types."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """\
import repricer

spec = repricer.load_scenario("stationary-logit")
run = repricer.train(spec, steps=1)
table = repricer.evaluate(spec, policies=[run.policy, "best-fixed"])
market, report, proof = repricer.fit("tables/")
reveal_type(spec)
reveal_type(run)
reveal_type(run.policy)
reveal_type(table.row("best-fixed").value)
reveal_type(market)
reveal_type(report)
reveal_type(repricer.Action)
reveal_type(repricer.Predictor.price)
repricer.load_scenario(3)
"""
REVEALED = {
    "spec": "MarketSpec",
    "run": "Run",
    "run.policy": "NetworkPolicy | RecurrentPolicy",
    'table.row("best-fixed").value': "float",
    "market": "MarketSpec",
    "report": "dict[str, Any]",
    "repricer.Action": "type[Action]",
    "repricer.Predictor.price": "(self: Predictor, state: Mapping[str, Any]) -> PriceAnswer",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as `pip install` leaves it, apart from the checkout and without its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "tests", "docs", "build", "dist", "*.egg-info", "demo", "runs"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    target = folder / "site"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=120)
    shutil.rmtree(source)
    return target


def checked(installed: Path, folder: Path) -> list[tuple[str, str]]:
    """(severity, message) of everything that basedpyright says of the script.

    The package lies on the interpreter's path, as in site-packages, and untyped libraries are not read: without
    py.typed it is one of them.
    """
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    settings = {"typeCheckingMode": "standard", "useLibraryCodeForTypes": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "script.py"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return [(item["severity"], item["message"]) for item in json.loads(done.stdout)["generalDiagnostics"]]


def test_public_names_have_their_types(installed, tmp_path):
    said = checked(installed, tmp_path)
    found = [re.fullmatch(r'Type of "(.*)" is "(.*)"', message) for severity, message in said]
    assert {match[1]: match[2] for match in found if match} == REVEALED
    (wrong,) = [message for severity, message in said if severity == "error"]
    assert '"Literal[3]"' in wrong


def test_without_the_marker_there_are_no_types(installed, tmp_path):
    marker = installed / "repricer" / "py.typed"
    marker.unlink()
    try:
        messages = [message for _, message in checked(installed, tmp_path)]
    finally:
        marker.touch()
    assert 'Type of "spec" is "MarketSpec"' not in messages
