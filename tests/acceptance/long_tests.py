"""The tests that `make test` leaves out: more sizes and variants of what shorter ones assert too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .checks import check
from .service import ROOT


@check("tests", "tests marked long that fail", "==", 0)
def failed() -> float:
    """Of all that were collected; none collected is a failure too."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "long",
            "--numprocesses",
            "auto",
            "--dist",
            "loadfile",
            "--quiet",
        ]
        done = subprocess.run(
            [*command, f"--junit-xml={found}"],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
            stdout=sys.stderr,
        )
        suites = ElementTree.parse(found).getroot().iter("testsuite")
        wrong = sum(int(suite.get(what, 0)) for suite in suites for what in ("failures", "errors"))
    return max(wrong, int(done.returncode != 0))
