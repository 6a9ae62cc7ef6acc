from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from repricer.serving.bundle.signing import own_key_paths

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_python_of_the_page_runs(
    one_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(one_path, tmp_path / "bundle")
    shutil.copy(own_key_paths(one_path)[1], tmp_path / "bundle.pub.pem")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 5
    exec("\n".join(blocks), {})
    assert "pinned" in capsys.readouterr().out
