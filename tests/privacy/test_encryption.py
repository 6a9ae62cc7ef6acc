"""Encrypted files: what was changed in any way is refused, in one line."""

import io
import stat

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from repricer.privacy import encryption
from repricer.privacy.encryption import (
    EncryptionError,
    change_folder,
    decrypt,
    decrypted,
    encrypt,
    encrypted,
    overhead,
    secret,
)

KEY = bytes(range(32))
HEAD = overhead(0) - 16


@pytest.fixture
def small(monkeypatch):
    """Chunks of 8 bytes, so that a short content has several."""
    monkeypatch.setattr(encryption, "_CHUNK", 8)


@given(st.binary(max_size=50))
def test_what_is_encrypted_comes_back_at_any_length(content):
    found = encrypted(content, "a.csv", KEY)
    assert decrypted(found, "a.csv", KEY) == content
    assert len(found) == len(content) + overhead(len(content))


@pytest.mark.parametrize("size", [0, 7, 8, 9, 16, 40])
def test_chunks_are_read_one_at_a_time(small, size):
    class Counted(io.BytesIO):
        most = 0

        def read(self, size=-1):
            self.most = max(self.most, size)
            return super().read(size)

    source, out, back = Counted(bytes(size)), io.BytesIO(), io.BytesIO()
    encrypt(source, out, "a", KEY)
    assert source.most == 8
    assert len(out.getvalue()) == size + overhead(size)
    decrypt(io.BytesIO(out.getvalue()), back, "a", KEY)
    assert back.getvalue() == bytes(size)


def chunks(whole):
    body = whole[HEAD:]
    return whole[:HEAD], [body[at : at + 24] for at in range(0, len(body), 24)]


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[:-1],
        lambda parts: [parts[1], parts[0], *parts[2:]],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [*parts[:2], *parts[3:]],
        lambda parts: [],
        lambda parts: [bytes([parts[0][0] ^ 1]) + parts[0][1:], *parts[1:]],
    ],
    ids=["cut", "moved", "repeated", "left out", "empty", "flipped"],
)
def test_chunks_that_were_tampered_with_are_refused(small, change):
    head, parts = chunks(encrypted(bytes(range(40)), "a.csv", KEY))
    assert len(parts) == 5
    with pytest.raises(EncryptionError, match=r"a\.csv\.enc must be as it was encrypted"):
        decrypted(head + b"".join(change(parts)), "a.csv", KEY)


def test_the_layout_is_that_of_stream(small):
    """By the library alone: nonces are the position and a flag for the last chunk."""
    whole = encrypted(b"0123456789", "a", KEY)
    head, parts = chunks(whole)
    own, _ = encryption._derived(KEY, head[len(encryption._MAGIC) :][:32])
    assert isinstance(own, AESGCM)
    assert own.decrypt(bytes(12), parts[0], b"a") == b"01234567"
    assert own.decrypt(bytes(10) + b"\x01\x01", parts[1], b"a") == b"89"


def test_another_key_another_name_and_another_file_are_told_apart():
    found = encrypted(b"1001", "a.csv", KEY)
    with pytest.raises(EncryptionError, match="must be opened with its own key; got another"):
        decrypted(found, "a.csv", bytes(32))
    with pytest.raises(EncryptionError, match="or another name"):
        decrypted(found, "b.csv", KEY)
    with pytest.raises(EncryptionError, match="must be a file that repricer encrypted"):
        decrypted(b"1001", "a.csv", KEY)
    assert b"1001" not in found
    assert encrypted(b"1001", "a.csv", KEY) != found


def test_a_key_comes_from_variable_file_or_command(tmp_path, monkeypatch):
    (tmp_path / "hex").write_text(KEY.hex() + "\n", encoding="ascii")
    (tmp_path / "raw").write_bytes(KEY)
    monkeypatch.setenv("SHOP", KEY.hex())
    sources = ["env:SHOP", f"file:{tmp_path / 'hex'}", f"file:{tmp_path / 'raw'}", f"command:cat {tmp_path / 'hex'}"]
    assert [secret(source) for source in sources] == [KEY] * 4
    monkeypatch.setenv("REPRICER_KEY", bytes(32).hex())
    assert secret() == bytes(32)
    monkeypatch.setenv("REPRICER_KEY_FROM", "env:SHOP")
    assert secret() == KEY


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("env:NOWHERE", "no such environment variable"),
        ("file:nowhere", "No such file"),
        ("command:false", "exit code 1"),
        ("command:no-such-program", "No such file"),
        ("vault:x", "must be named by env:NAME, file:PATH or command:WORDS; got 'vault'"),
        ("command:echo short-secret", "must be 64 hexadecimal digits"),
        ("command:printf %032d 7", "must be 64 hexadecimal digits"),
    ],
)
def test_a_key_that_is_not_there_is_said_in_one_line(source, match):
    with pytest.raises(EncryptionError, match=match) as caught:
        secret(source)
    assert "\n" not in str(caught.value)
    assert "short-secret; got" not in str(caught.value)


def test_a_folder_changes_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir(mode=0o700)
    (folder / "a.csv").write_bytes(b"1001")
    (folder / "b.csv").write_bytes(b"1002")
    assert change_folder(folder, KEY) == ["a.csv", "b.csv"]
    assert {path.name for path in folder.iterdir()} == {"a.csv.enc", "b.csv.enc"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(EncryptionError):
        change_folder(folder, bytes(32), back=True)
    assert {path.name for path in folder.iterdir()} == {"a.csv.enc", "b.csv.enc"}
    assert change_folder(folder, KEY) == []
    change_folder(folder, KEY, back=True)
    assert (folder / "b.csv").read_bytes() == b"1002"
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
