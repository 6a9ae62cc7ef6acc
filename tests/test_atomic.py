"""A file or a folder is there completely or not at all, with the permission bits it should have."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from repricer.atomic import whole_file, whole_folder, without_nan, write_json, write_new, write_whole


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_text_and_bytes_replace_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_numpy(tmp_path):
    write_json(tmp_path / "a.json", {"x": np.float64(0.5), "y": np.arange(2)})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 0.5,\n  "y": [\n    0,\n    1\n  ]\n}\n'
    with pytest.raises(TypeError, match="set has no JSON form"):
        write_json(tmp_path / "a.json", {"x": set()})


def test_what_json_does_not_know_is_none():
    document = {"a": np.array([1.0, np.nan]), "b": [float("inf"), ("x", 2)], "c": np.float32("nan"), "d": None}
    text = json.dumps(without_nan(document), allow_nan=False)
    assert json.loads(text) == {"a": [1.0, None], "b": [None, ["x", 2]], "c": None, "d": None}


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failure_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "a.csv"
    if old:
        path.write_bytes(old)

    def write():
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [item.read_bytes() for item in tmp_path.iterdir()] == ([old] if old else [])


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(stat.S_IFMT(os.fstat(descriptor).st_mode)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (calls.append("rename"), replace(path, target)))
    write_whole(tmp_path / "a", b"x")
    assert calls == [stat.S_IFREG, "rename", stat.S_IFDIR]


def test_permission_bits(tmp_path):
    before = os.umask(0o022)
    try:
        path = tmp_path / "a"
        write_whole(path, b"1")
        assert mode(path) == 0o644
        for kept in (0o600, 0o664, 0o444):
            path.chmod(kept)
            write_whole(path, b"2")
            assert mode(path) == kept
        write_whole(path, b"3", mode=0o600)
        assert mode(path) == 0o600
        with whole_file(path) as temporary:
            assert mode(temporary) == 0o600
    finally:
        os.umask(before)


def test_the_temporary_file_keeps_the_ending(tmp_path):
    with whole_file(tmp_path / "a.tar.npz") as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".npz")


def test_a_new_file_is_never_written_over_another(tmp_path):
    path = tmp_path / "key"
    write_new(path, b"first")
    assert mode(path) == 0o600
    with pytest.raises(FileExistsError):
        write_new(path, b"second")
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"first"]


def test_a_folder_is_filled_and_then_put_in_place(tmp_path):
    out = tmp_path / "deep" / "out"
    for content in ("one", "two"):
        with whole_folder(out, mode=0o700) as temporary:
            (temporary / content).write_text(content)
            assert content != "one" or not out.exists()
        assert [item.name for item in out.iterdir()] == [content]
        assert mode(out) == 0o700
    with pytest.raises(OSError, match="full"), whole_folder(out) as temporary:
        raise OSError("full")
    assert [item.name for item in out.iterdir()] == ["two"]
    assert list(out.parent.iterdir()) == [out]


_WRITER = """
import sys
from pathlib import Path
from repricer.atomic import write_whole
print("ready", flush=True)
for i in range(10**9):
    write_whole(Path(sys.argv[1]), str(i % 10) * 1_000_000)
"""


def test_a_killed_process_leaves_one_content_or_the_other(tmp_path):
    path = tmp_path / "a.txt"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.05)
            os.kill(writer.pid, signal.SIGKILL)
        text = path.read_text()
        assert len(text) == 1_000_000
        assert text == text[0] * len(text)


@pytest.mark.parametrize("in_the_way", [None, b"a file"])
def test_errors_name_the_file_that_was_asked_for(tmp_path, in_the_way):
    path = tmp_path / "folder" / "prices.csv"
    if in_the_way:
        path.parent.write_bytes(in_the_way)
    for write in (lambda: write_whole(path, "x"), lambda: write_new(path, b"x")):
        with pytest.raises(NotADirectoryError if in_the_way else FileNotFoundError) as caught:
            write()
        assert caught.value.filename == str(path)
