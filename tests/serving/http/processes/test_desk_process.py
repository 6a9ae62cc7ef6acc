"""The page of a price list as a process: it says when it is ready, records decisions, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from repricer.benchmarks.loopback import free_port
from repricer.serving import DecisionLog
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import PriceRow

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")


def test_it_is_ready_decides_and_ends(dated_bundle: Path, price_rows: list[PriceRow], tmp_path: Path) -> None:
    listed, log, port = tmp_path / "prices.csv", tmp_path / "log.db", free_port()
    write_list(listed, price_rows)
    words = ["desk", str(listed), "--bundle", str(dated_bundle), "--log", str(log), "--port", str(port)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "repricer.cli", *words],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        try:
            assert systemd.recv(100) == b"READY=1"
            url = f"http://127.0.0.1:{port}"
            row = json.loads(urllib.request.urlopen(f"{url}/v1/price-list?limit=1", timeout=10).read())["rows"][0]
            made = {name: row[name] for name in ("zone", "product", "week", "seen")} | {"status": "approved"}
            body = json.dumps({"decisions": [made], "by": "Ann"}).encode()
            json_body = {"content-type": "application/json"}
            request = urllib.request.Request(f"{url}/v1/admin/price-list/decisions", body, json_body)
            assert urllib.request.urlopen(request, timeout=10).status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.wait()
    assert [one.decided_by for one in read_list(listed) if one.status == "approved"] == ["Ann"]
    with closing(DecisionLog(log)) as decisions:
        assert [act["decided_by"] for act in decisions.events("decision")] == ["Ann"]
        decisions.verify()
