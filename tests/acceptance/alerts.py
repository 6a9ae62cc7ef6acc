"""The alerts as Prometheus' own tool sees them: they fire when they should, and the metrics have conventional names."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

from repricer.benchmarks.loopback import free_port, running, serve_command

from .checks import check
from .debian import program
from .service import ROOT, bundle_path


@check("fleet", "alerts: exit code of promtool's tests of the rules", "==", 0)
def alerts() -> float:
    rules = ROOT / "deploy/prometheus/repricer.test.yaml"
    return float(subprocess.run([program("promtool", "promtool"), "test", "rules", rules], check=False).returncode)


@check("fleet", "metrics: names and units that promtool complains of", "==", 0)
def names() -> float:
    port = free_port()
    with running(serve_command(sys.executable, bundle_path(), port), port):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
    lint = [program("promtool", "promtool"), "check", "metrics"]
    done = subprocess.run(lint, input=text, capture_output=True, check=False)
    return float(len(done.stderr.splitlines() + done.stdout.splitlines()))
