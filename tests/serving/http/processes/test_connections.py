"""Callers who say little or nothing cannot stop the service for the others."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import sys
from pathlib import Path

import pytest
from repricer.serving import Bundle, example_state
from repricer.serving.http.processes.connections import Listener

from .slow_callers import EMPTY_LINES, HEAD, IDLE, SLOW_BODIES, SLOW_HEADERS, Held, held, limited_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_slow_callers_are_put_out_and_health_answers(one_path: Path) -> None:
    callers = [IDLE] * 300 + [SLOW_HEADERS] * 50 + [SLOW_BODIES] * 50 + [EMPTY_LINES] * 50
    found: Held = held(one_path, callers, seconds=7)
    assert found.slowest < 0.5, found  # 0.1 in the acceptance check; tests share the machine
    assert found.closed_after < 6.9, found
    assert found.lines <= 100, found
    assert found.cpu < 0.5, found


def test_quick_callers_keep_their_connection(one_path: Path, one: Bundle) -> None:
    body = json.dumps([example_state(one.catalogue)] * 300).encode()
    with limited_service(one_path) as (_, port, _log):
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(2):
            kept.request("POST", "/v1/prices", body, {"content-type": "application/json"})
            assert len(json.loads(kept.getresponse().read())) == 300
            assert kept.sock is not None
        request = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", port), timeout=10) as pipelined:
            pipelined.sendall(request * 2 + HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n[]")
            answers = b"".join(iter(lambda: pipelined.recv(1 << 16), b""))
        assert [answers.count(status) for status in (b"HTTP/1.1 200", b"HTTP/1.1 422")] == [2, 1]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as endless:
            endless.sendall(HEAD + b"x: " + b"y" * 70_000)
            with contextlib.suppress(ConnectionResetError):
                assert endless.recv(1) == b""


def test_a_process_without_files_left_tries_again_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(_: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    with Listener() as listener:
        with pytest.raises(OSError, match="Too many"):
            listener.accept()
        for _ in range(2000):
            with pytest.raises(BlockingIOError):
                listener.accept()
