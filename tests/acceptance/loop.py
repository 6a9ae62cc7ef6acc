"""The whole loop: the demo, the first training, the wheel."""

from __future__ import annotations

import atexit
import functools
import json
import math
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from .checks import check

ROOT = Path(__file__).parents[2]
REPRICER = [sys.executable, "-m", "repricer.cli"]


def said(*command: str, cwd: Path = ROOT) -> Any:
    """The JSON document of a command."""
    return json.loads(subprocess.run([*REPRICER, *command, "--json"], cwd=cwd, check=True, capture_output=True).stdout)


@functools.cache
def compiled() -> str:
    """A folder for compiled code, empty at first."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


@functools.cache
def demo(turn: str = "warm") -> dict[str, Any]:
    """A demo in a folder of its own: its document, wall seconds and peak memory in GiB.

    The first turn, "cold", has no compiled code; "warm" has what "cold" left.
    """
    if turn == "warm":
        demo("cold")
    with tempfile.TemporaryDirectory() as folder:
        script = (
            "import json, resource, subprocess, sys, time; start = time.perf_counter();"
            f"out = subprocess.run({[*REPRICER, 'demo', '--json', '--out', folder + '/demo']!r}, capture_output=True, check=True);"
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
            "scale = 2**30 if sys.platform == 'darwin' else 2**20;"
            "seconds = time.perf_counter() - start;"
            "print(json.dumps({'seconds': seconds, 'gib': peak / scale, 'document': json.loads(out.stdout)}))"
        )
        environment = os.environ | {"NUMBA_CACHE_DIR": compiled()}
        found = json.loads(subprocess.check_output([sys.executable, "-c", script], env=environment))
        return found | {"report": looked_at(Path(folder, "demo/report.html"))}


def looked_at(report: Path) -> dict[str, float]:
    """What the tests of the report find wrong with this one at a desk and on a phone, and its weight in MB.

    Without a Chromium nothing is known of the rest (NaN), and the checks fall short.
    """
    eyes = runpy.run_path(str(ROOT / "tests/evaluation/report/test_browser.py"))
    found = {"megabytes": report.stat().st_size / 1e6}
    if eyes["CHROMIUM"] is None:
        return found | dict.fromkeys(("serious", "sideways", "empty"), math.nan)
    found |= dict.fromkeys(("serious", "sideways", "empty"), 0.0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=eyes["CHROMIUM"], args=["--no-sandbox"])
        for width in (eyes["DESK"], eyes["PHONE"]):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.goto(report.as_uri())
            found["serious"] += len(eyes["serious"](tab))
            found["sideways"] += eyes["sideways"](tab)
            found["empty"] += len(eyes["empty_plots"](tab, report.parent))
        browser.close()
    return found


@check("loop", "demo without compiled code, wall time", "<=", 150, "s")
def cold_demo_seconds() -> float:
    return demo("cold")["seconds"]


@check("loop", "demo with compiled code, wall time", "<=", 75, "s")
def demo_seconds() -> float:
    return demo()["seconds"]


@check("loop", "demo, peak memory of its largest process", "<=", 4, "GiB")
def demo_memory() -> float:
    return demo()["gib"]


@check("loop", "demo --json holds comparison, timings, fit scores, paths", "==", 4, "parts")
def demo_document() -> float:
    document = demo()["document"]
    timed = {row["stage"] for row in document["timings"]} == {"data", "fit", "train", "compare", "export", "price"}
    judged = len(document["comparison"]["policies"]) >= 4
    return float(judged + timed + ("forecast_wape" in document["fit"]) + ("report" in document["paths"]))


@check("loop", "the demo's report, its weight", "<=", 6, "MB")
def report_weight() -> float:
    return demo()["report"]["megabytes"]


@check(
    "loop", "the demo's report, at a desk and on a phone: serious findings of axe, and pixels it is too wide", "==", 0
)
def report_accessible() -> float:
    return demo()["report"]["serious"] + demo()["report"]["sideways"]


@check("loop", "the demo's report, at a desk and on a phone: plots with nothing drawn in them", "==", 0)
def report_plots() -> float:
    return demo()["report"]["empty"]


@check("loop", "demo killed at 3 random moments, then finished with the same policy", "==", 3, "times")
def demo_survives_kills() -> float:
    small = ("demo", "--steps", "300000", "--episodes", "50", "--json")
    same = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = said(*small, "--out", f"{folder}/whole")
        seconds = sum(row["seconds"] for row in whole["timings"])
        generator = random.Random(0)
        for i in range(3):
            command = [*REPRICER, *small, "--out", f"{folder}/cut{i}"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0.1, 0.9) * seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
            again = json.loads(subprocess.check_output(command))
            same += figures(again) == figures(whole)
    return float(same)


def figures(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What a demo says of its policies."""
    return document["comparison"]["policies"]


@functools.cache
def first_training() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        said("train", "stationary-logit", "--algo", "ppo", "--out", folder + "/run")
        document = said("evaluate", "stationary-logit", "--policy", folder + "/run", "--episodes", "100")
        (row,) = (row for row in document["policies"] if row["policy"].endswith("/run"))
        return {"seconds": time.perf_counter() - started, "share": row["share_of_optimum"], "method": row["method"]}


@check("loop", "stationary-logit after `repricer train`, exact share of the optimum", ">=", 0.99)
def logit_share() -> float:
    return first_training()["share"] if first_training()["method"].startswith("exact") else 0.0


@check("loop", "stationary-logit, train and evaluate, wall time", "<=", 180, "s")
def logit_seconds() -> float:
    return first_training()["seconds"]


@check("loop", "wheel in an empty environment: commands that work there", "==", 4, "of 4")
def wheel() -> float:
    """--help, scenarios, import, and one top-level name, with the `train` extra, from outside the repository."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        # From a copy: a build in the checkout would leave files that the next wheel picks up.
        apart = shutil.ignore_patterns(".*", "build", "demo", "runs", "*.egg-info")
        shutil.copytree(ROOT, folder / "source", ignore=apart)
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", text, str(folder / "source")], check=True)
        (built,) = folder.glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        install = [python, *pip[1:], "install", *constraints, f"{built}[train]"]
        subprocess.run(install, check=True, cwd=text)
        worked = 0
        command = str(folder / "venv" / "bin" / "repricer")
        for arguments in (
            [command, "--help"],
            [command, "scenarios"],
            [python, "-c", "import repricer; repricer.train"],
        ):
            worked += subprocess.run(arguments, cwd=text, capture_output=True).returncode == 0
        names = subprocess.check_output([sys.executable, "-m", "zipfile", "--list", str(built)], text=True)
        tops = {line.split("/")[0].split()[0] for line in names.splitlines()[1:]}
        return float(worked + (len([t for t in tops if not t.endswith(".dist-info")]) == 1 and "repricer" in tops))
