"""Bring the generated parts of README and docs up to date: what stands between markers comes from the commands."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

from repricer.evaluation.plots import learning_plot

ROOT = Path(__file__).parents[1]


def between(page: str, marker: str, text: str) -> None:
    """Put the text between the page's markers."""
    path = ROOT / page
    old = path.read_text(encoding="utf-8")
    pattern = rf"(<!-- {marker}:begin.*?-->\n).*?(<!-- {marker}:end -->)"
    new, count = re.subn(pattern, lambda m: m[1] + text.rstrip() + "\n" + m[2], old, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{page} must hold the markers {marker}:begin and {marker}:end once; got {count}; add them")
    path.write_text(new, encoding="utf-8")


def main() -> None:
    """Run the demo (a finished one is read again) and write what it said."""
    command = [sys.executable, "-m", "repricer.cli", "demo", "--out", "demo"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    said = "\n".join(line.rstrip().replace(" (done before)", "") for line in said.strip().splitlines())
    between("README.md", "demo", f"```text\n{said}\n```\n")
    history = json.loads((ROOT / "demo" / "run" / "run.json").read_text(encoding="utf-8"))["history"]
    plot = learning_plot(history, objective="profit", unit="%")
    (ROOT / "docs" / "learning.svg").write_bytes(base64.b64decode(plot.source.partition(",")[2]))


if __name__ == "__main__":
    main()
