"""What cannot be taken back is asked on a terminal, and refused without one unless `--yes` says so."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from repricer.serving.http.api_keys import add_key, read_keys


@pytest.mark.parametrize(("typed", "code", "left"), [(b"n\n", 1, 1), (b"y\n", 0, 0)])
def test_a_terminal_is_asked(tmp_path: Path, typed: bytes, code: int, left: int) -> None:
    path = tmp_path / "keys.json"
    add_key(path, role="price", name="till")
    terminal, own = pty.openpty()
    os.write(terminal, typed)
    words = [sys.executable, "-m", "repricer.cli", "keys", "remove", str(path), "till"]
    done = subprocess.run(words, stdin=own, capture_output=True, text=True, timeout=60, check=False)
    os.close(own)
    os.close(terminal)
    assert done.returncode == code
    assert f"Remove the key 'till' from {path} for ever? [y/N]" in done.stderr
    assert len(read_keys(path)) == left
