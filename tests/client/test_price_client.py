"""The client in front of a service that answers, is away, hangs, or says other things than before."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from repricer.benchmarks.loopback import free_port
from repricer.client import AnsweredPrices, PriceClient, RefusedError, UnansweredError
from repricer.serving import Bundle, DecisionLog, example_state, export
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.tests.serving.http.conftest import serving

_PATIENCE = 5.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def state(one: Bundle) -> dict[str, Any]:
    return example_state(one.catalogue)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a look at the switches brings."""
    last = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < last, "it did not come"
        time.sleep(0.02)


def shown(priced: AnsweredPrices) -> dict[str, Any]:
    """An answer without what differs from one to the next."""
    return {key: value for key, value in priced.answer.items() if key not in ("request_id", "milliseconds")}


def test_importing_it_needs_no_server_and_without_a_bundle_the_standard_library_alone(one_path: Path) -> None:
    code = (
        "import sys; from repricer.client import PriceClient; print(*sys.modules); "
        f"PriceClient('http://127.0.0.1:9', {str(one_path)!r}).close(); print(*sys.modules)"
    )
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    alone, with_bundle = (set(line.split()) for line in lines)
    assert not alone & {"numpy", "onnxruntime", "msgspec", "cryptography", "repricer.serving"}
    heavy = {"torch", "pandas", "scipy", "numba", "gymnasium", "starlette", "uvicorn", "sqlalchemy", "orjson"}
    assert "onnxruntime" in with_bundle
    assert not with_bundle & {*heavy, "prometheus_client", "repricer.envs", "repricer.agents"}


def test_a_service_that_answers_is_the_source_and_its_log_has_the_decision(
    one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    with serving(create_app(one_path, log=log)) as url, PriceClient(url, one_path) as client:
        found = [client.price(state) for _ in range(3)]
        assert client.counts == {"service": 3}
    assert {(priced.source, priced.reason, priced.age_seconds) for priced in found} == {("service", "", 0.0)}
    recorded = {row["request_id"]: row for row in DecisionLog(log).export() if row["product"] == "anchovy"}
    assert {priced.request_id for priced in found} == recorded.keys()
    assert all(recorded[str(one.request_id)]["price"] == one.prices["anchovy"] for one in found)


def test_what_is_answered_locally_is_what_the_service_would_have_answered(
    one_path: Path, log: Path, one: Bundle
) -> None:
    states = [example_state(one.catalogue) | {"market": f"m{number}", "period": number % 8} for number in range(30)]
    settings = ServiceSettings(holdout=0.5, seed=7, fallback="regular")
    with serving(create_app(one_path, log=log, settings=settings)) as url, PriceClient(url, one_path) as client:
        by_service = [client.price(state) for state in states]
        client._away = "as if"
        by_bundle = [client.price(state) for state in states]
    assert {priced.source for priced in by_bundle} == {"local"}
    assert {priced.answer["arm"] for priced in by_bundle} == {"policy", "fallback"}
    assert [shown(priced) for priced in by_bundle] == [shown(priced) for priced in by_service]
    assert all(priced.request_id is None for priced in by_bundle)


def test_a_service_that_is_gone_is_named_and_asked_again_when_it_is_back(
    one_path: Path, log: Path, state: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "repricer.client")
    with serving(create_app(one_path, log=log)) as url:
        client = PriceClient(url, one_path, timeout=0.5, poll=0.05)
        assert client.price(state).source == "service"
    away = client.price(state)
    assert (away.source, away.answer["arm"]) == ("local", "policy")
    assert away.reason
    assert 0 < away.age_seconds < _PATIENCE
    assert str(away.answer["request_id"]).startswith("local-")
    assert client.counts == {"service": 1, "local": 1}
    logged = [vars(record)["facts"] for record in caplog.records if "answered without" in record.message]
    assert [(facts["source"], facts["request_id"]) for facts in logged] == [("local", away.answer["request_id"])]
    with serving(create_app(one_path, log=log), int(url.rpartition(":")[2])):
        until(lambda: client.price(state).source == "service")
    assert any("is back" in record.message for record in caplog.records)
    client.close()


def test_a_kill_switch_is_followed_when_the_service_is_gone_afterwards(
    one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    app = create_app(one_path, log=log, settings=ServiceSettings(fallback="base"))
    with serving(app) as url:
        client = PriceClient(url, one_path, poll=0.05)
        policy = client.price(state)
        app.state.deployment.kill(True, "Ann")
        killed = client.price(state)
        assert (killed.answer["arm"], killed.prices != policy.prices) == ("fallback", True)
        until(lambda: client._switches is not None and client._switches.killed)
    away = client.price(state)
    assert (away.source, away.answer["arm"], away.prices) == ("local", "fallback", killed.prices)
    client.close()


def test_a_service_that_was_never_heard_may_have_its_kill_switch_on(one_path: Path, state: dict[str, Any]) -> None:
    with PriceClient(f"http://127.0.0.1:{free_port()}", one_path) as client:
        priced = client.price(state)
    assert (priced.source, priced.answer["policy"], priced.age_seconds) == ("local", "in-force", float("inf"))


def test_without_a_bundle_the_last_known_price_of_a_market_stands_in(
    one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    with serving(create_app(one_path, log=log)) as url:
        client = PriceClient(url, poll=0.05)
        known = client.price(state | {"market": "Oslo"})
    again = client.price(state | {"market": "Oslo", "period": 1})
    assert (again.source, again.answer, again.request_id) == ("last-known", known.answer, None)
    assert again.age_seconds > 0
    for other in (state | {"market": "Bergen"}, state | {"market": "Oslo", "products": state["products"][:1]}):
        with pytest.raises(UnansweredError, match="needs the service, its bundle or a last known price; got no answer"):
            client.price(other)
    client.close()


def test_a_last_known_price_of_the_policy_ends_with_the_kill_switch(
    one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    app = create_app(one_path, log=log)
    with serving(app) as url:
        client = PriceClient(url, poll=0.05)
        client.price(state | {"market": "before"})
        app.state.deployment.kill(True, "Ann")
        until(lambda: client._switches is not None and client._switches.killed)
        client.price(state | {"market": "after"})
    assert client.price(state | {"market": "after"}).answer["arm"] == "fallback"
    with pytest.raises(UnansweredError):
        client.price(state | {"market": "before"})
    client.close()


def test_a_bundle_that_was_taken_back_prices_nothing_here_either(
    one_path: Path, one_run: Any, log: Path, tmp_path: Path, state: dict[str, Any], one: Bundle
) -> None:
    path, own = Path(shutil.copytree(one_path, tmp_path / "bundle")), Path(shutil.copytree(one_path, tmp_path / "own"))
    newer = export(one_run, tmp_path / "newer", seed=5, key=own_key_paths(one_path)[0])
    app = create_app(path, log=log)
    with serving(app) as url:
        client = PriceClient(url, own, poll=0.05)
        for folder in (path, own):
            shutil.copytree(newer, folder, dirs_exist_ok=True)
        app.state.deployment.reload("Ann")
        until(lambda: client._local is not None and client._local.digest != one.digest)
        client.price(state)
        app.state.deployment.rollback("Ann")
        until(lambda: client._switches is not None and client._switches.active == one.digest)
    with pytest.raises(UnansweredError, match="neither the active nor the former one"):
        client.price(state)
    client.close()


def test_the_former_bundle_prices_until_the_active_one_is_at_hand(
    one_path: Path, one_run: Any, log: Path, tmp_path: Path, state: dict[str, Any], one: Bundle
) -> None:
    path = Path(shutil.copytree(one_path, tmp_path / "bundle"))
    app = create_app(path, log=log)
    with serving(app) as url:
        client = PriceClient(url, one_path, poll=0.05)
        newer = export(one_run, tmp_path / "newer", seed=5, key=own_key_paths(one_path)[0])
        shutil.copytree(newer, path, dirs_exist_ok=True)
        app.state.deployment.reload("Ann")
        until(lambda: client._switches is not None and client._switches.active != one.digest)
    priced = client.price(state)
    assert (priced.source, priced.answer["bundle"]) == ("local", one.digest)
    client.close()


def test_what_is_wrong_is_refused_by_the_service_and_at_hand_alike(
    one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    wrong = state | {"period": -1}
    with serving(create_app(one_path, log=log)) as url:
        client = PriceClient(url, one_path)
        with pytest.raises(RefusedError) as by_service:
            client.price(wrong)
    with pytest.raises(RefusedError) as at_hand:
        client.price(wrong)
    assert (by_service.value.status, str(by_service.value)) == (at_hand.value.status, str(at_hand.value))
    with pytest.raises(RefusedError, match="must be plain data of finite numbers"):
        client.price(state | {"period": float("nan")})
    client.close()
    with pytest.raises(UnansweredError, match="got one that was closed"):
        client.price(state)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"url": "localhost:8000"}, "url must be http://HOST"),
        ({"url": "http://localhost:port"}, "url must be http://HOST"),
        ({"url": "http://ann:secret@localhost"}, "got one with a name or password; give the key as api_key"),
        ({"timeout": 0}, "timeout must be a number of seconds from 0.001 to 600; got 0;"),
        ({"poll": "1"}, "poll must be a number of seconds from 0.001 to 600; got '1';"),
        ({"bundle": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line) as refusal:
        PriceClient(**{"url": "http://localhost", **arguments})
    assert "secret" not in str(refusal.value)


class Relay:
    """A proxy that counts connections, and may lose the answer to a price, or give it away one byte at a time."""

    def __init__(self, url: str) -> None:
        self._target = int(url.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted, self.lost, self.drips = 0, 0, False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller = self._listener.accept()[0]
                self.accepted += 1
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._target)) as service, suppress(OSError):
            while text := _whole(caller):
                service.sendall(text)
                answer = _whole(service)
                if self.lost and text.startswith(b"POST"):
                    self.lost -= 1
                    return
                for piece in [answer[i : i + 1] for i in range(len(answer))] if self.drips else [answer]:
                    caller.sendall(piece)
                    time.sleep(0.05 if self.drips else 0)

    def close(self) -> None:
        self._listener.close()


def _whole(peer: socket.socket) -> bytes:
    """One request or answer: its head, and as many bytes as the head says; nothing where the connection ends."""
    text = b""
    while b"\r\n\r\n" not in text:
        if not (piece := peer.recv(1 << 20)):
            return b""
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    stated = head.lower().partition(b"content-length:")[2].split()
    while len(body) < (int(stated[0]) if stated else 0):
        body += peer.recv(1 << 20)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def relay(one_path: Path, log: Path) -> Iterator[Relay]:
    with serving(create_app(one_path, log=log)) as url:
        relay = Relay(url)
        yield relay
        relay.close()


def test_a_lost_answer_is_asked_for_again_and_recorded_once(
    relay: Relay, one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    with PriceClient(relay.url, one_path, timeout=5) as client:
        relay.lost = 1
        priced = client.price(state)
    assert priced.source == "service"
    rows = [row["request_id"] for row in DecisionLog(log).export() if row["product"] == "anchovy"]
    assert rows == [priced.request_id]


def test_two_lost_answers_are_answered_at_hand_and_what_was_recorded_stands_once(
    relay: Relay, one_path: Path, log: Path, state: dict[str, Any]
) -> None:
    with PriceClient(relay.url, one_path, timeout=5) as client:
        relay.lost = 2
        assert client.price(state).source == "local"
    assert DecisionLog(log).verify().rows == 1


def test_connections_are_kept(relay: Relay, one_path: Path, state: dict[str, Any]) -> None:
    with PriceClient(relay.url, one_path, timeout=5, poll=60) as client:
        for _ in range(20):
            assert client.price(state).source == "service"
    assert relay.accepted <= 2


def test_an_answer_that_drips_ends_at_the_time_out(relay: Relay, one_path: Path, state: dict[str, Any]) -> None:
    with PriceClient(relay.url, one_path, timeout=1, poll=60) as client:
        client.price(state)
        relay.drips = True
        started = time.monotonic()
        priced = client.price(state)
        seconds = time.monotonic() - started
    assert priced.source == "local"
    assert seconds < 1


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of something that gives everybody the same answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    text = b"HTTP/1.1 %d Odd\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body)

    def answer() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as caller:
                    caller.recv(1 << 20)
                    caller.sendall(text)

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>welcome</html>", "body that is not the service's"),
        (200, b"{}", "an answer without prices"),
        (502, b"bad gateway", "status 502"),
        (503, json.dumps({"detail": "the log of decisions must be at hand"}).encode(), "the log of decisions"),
        (429, json.dumps({"detail": "requests must keep to the rate limit"}).encode(), "rate limit"),
    ],
)
def test_what_is_no_answer_of_the_service_is_answered_at_hand(
    status: int, body: bytes, reason: str, one_path: Path, state: dict[str, Any]
) -> None:
    with answering(status, body) as url, PriceClient(url, one_path, poll=60) as client:
        client._away = ""
        priced = client.price(state)
    assert (priced.source, reason in priced.reason) == ("local", True)
