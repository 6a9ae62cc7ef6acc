from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.serving.http import api_keys
from repricer.serving.http.api_keys import KeyFileError, KeyRing, add_key, read_keys, remove_key


def test_a_key_is_found_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    token = add_key(path, role="price", name="till")
    found = KeyRing(path).find(token)
    assert found is not None
    assert (found.name, found.role) == ("till", "price")
    assert token.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_other_key_is_found(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    token, other = (add_key(path, role="read", name=name) for name in ("a", "b"))
    swapped = f"rp_{token.split('_', 2)[1]}_{other.split('_', 2)[2]}"
    for wrong in ("", "rp", token[:-1], token + "x", swapped, token.replace("rp_", "xx_"), "rp__", "é" * 40):
        assert KeyRing(path).find(wrong) is None
    remove_key(path, "a")
    assert KeyRing(path).find(token) is None
    assert KeyRing(path).find(other) is not None


@pytest.mark.parametrize(("role", "may"), [("read", 1), ("price", 2), ("admin", 3)])
def test_a_role_holds_those_before_it(tmp_path: Path, role: str, may: int) -> None:
    path = tmp_path / "keys.json"
    token = add_key(path, role=role, name="x")
    key = KeyRing(path).find(token)
    assert key is not None
    assert [key.may(other) for other in ("read", "price", "admin")] == [i < may for i in range(3)]


@pytest.mark.parametrize("text", [None, "", "{}", '{"keys": [{}]}', '{"keys": []}', '{"keys": [1]}'])
def test_what_is_no_file_of_keys_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json") as caught:
        KeyRing(path)
    assert "\n" not in str(caught.value)


def test_the_command_tells_a_key_once(tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    told = CliRunner().invoke(main, ["keys", "add", path, "--role", "admin", "--name", "boss", "--json"])
    assert KeyRing(path).find(json.loads(told.stdout)["key"]) is not None
    again = CliRunner().invoke(main, ["keys", "add", path, "--role", "read", "--name", "boss"])
    assert (again.exit_code, "must be unique" in again.stderr) == (2, True)
    plain = CliRunner().invoke(main, ["keys", "add", path, "--role", "read"])
    assert KeyRing(path).find(plain.stdout.strip()) is not None
    assert "boss: admin" in CliRunner().invoke(main, ["keys", "list", path]).stdout
    refused = CliRunner().invoke(main, ["keys", "remove", path, "boss"])
    assert (refused.exit_code, "pass --yes" in refused.stderr) == (2, True)
    assert len(read_keys(Path(path))) == 2
    assert CliRunner().invoke(main, ["keys", "remove", path, "boss", "--yes"]).exit_code == 0
    assert [key.name for key in read_keys(Path(path))] == ["read"]


def test_a_changed_file_counts_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "keys.json", [0.0]
    monkeypatch.setattr(api_keys, "time", SimpleNamespace(monotonic=lambda: now[0]))
    first, ring = add_key(path, role="price", name="till"), KeyRing(path)
    second = add_key(path, role="price", name="other")
    remove_key(path, "till")
    assert ring.find(second) is None  # it looks once a second
    now[0] += 2
    assert (ring.find(first), ring.find(second) is not None) == (None, True)
    kept = path.read_text()
    path.write_text("{")  # who was removed in it is not known
    now[0] += 2
    assert ring.find(second) is None
    path.write_text(kept)
    now[0] += 2
    assert ring.find(second) is not None
    monkeypatch.setattr(Path, "read_bytes", MagicMock(side_effect=OSError(24, "Too many open files")))
    now[0] += 2
    assert ring.find(second) is not None


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, role="price", name="till")
    path.chmod(0o666)
    with pytest.raises(KeyFileError, match="must be open to its owner alone"):
        KeyRing(path)


def test_keys_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_key(path, role="price", name=f"till {i}"), range(24)))
    assert len(read_keys(path)) == 24


def test_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    """Kubernetes swaps a link to a folder, and the files are links into it."""
    tokens = {}
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        tokens[version] = add_key(tmp_path / version / "keys.json", role="price", name="till")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    ring = KeyRing(tmp_path / "keys.json")
    assert ring.find(tokens["..1"]) is not None
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    ring._looked -= 2
    assert (ring.find(tokens["..1"]), ring.find(tokens["..2"]) is not None) == (None, True)


def test_the_last_key_is_refused_once_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "keys.json", [0.0]
    monkeypatch.setattr(api_keys, "time", SimpleNamespace(monotonic=lambda: now[0]))
    last, ring = add_key(path, role="admin", name="boss"), KeyRing(path)
    remove_key(path, "boss")
    now[0] += 2
    assert ring.find(last) is None
    newer = add_key(path, role="admin", name="boss")
    now[0] += 2
    assert ring.find(newer) is not None
