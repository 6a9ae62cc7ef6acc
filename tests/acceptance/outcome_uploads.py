"""Uploads of 10,000 outcomes, of each form that the docs describe, beside prices: nobody waits for another."""

from __future__ import annotations

import functools
import http.client
import json
import threading
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

from .checks import Skip, check
from .kills import postgres, postgres_programs
from .service_load import _percentile, bundle, folder, served, state

_OUTCOMES, _STATES = 10_000, 500
_FORMS = {
    "request id": lambda name, market: {"request_id": name},
    "market and period": lambda name, market: {"market": market, "period": 0},
    "market and date": lambda name, market: {"market": market, "date": str(bundle().catalogue.calendar.first_day)},
}
"""What names the decision of an outcome, by its request id or its market."""


class Figures(NamedTuple):
    """Seconds."""

    price: float
    upload: float
    retry: float
    kill_switch: float


def _asked(port: int, method: str, path: str, content: Any) -> tuple[Any, float]:
    """The answer to a request, and the seconds that it took."""
    started = time.perf_counter()
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    caller.request(method, path, json.dumps(content), {"content-type": "application/json"})
    answer = caller.getresponse()
    found = answer.read()
    assert answer.status == 200, found[:500]
    caller.close()
    return json.loads(found), time.perf_counter() - started


class _Uploads(threading.Thread):
    """Uploads the outcomes of one form, twice."""

    def __init__(self, port: int, outcomes: list[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._port, self._outcomes = port, outcomes
        self.seconds, self.new = list[float](), list[int]()

    def run(self) -> None:
        for _ in range(2):
            answer, seconds = _asked(self._port, "POST", "/v1/outcomes", {"outcomes": self._outcomes})
            self.seconds.append(seconds)
            self.new.append(answer["new"])


@functools.cache
def uploaded(database: str) -> dict[str, Figures]:
    """The figures of each form."""
    with ExitStack() as stack:
        if database == "PostgreSQL" and postgres_programs() is None:
            raise Skip("no PostgreSQL on this machine")
        log = str(folder() / "uploads.db") if database == "SQLite" else stack.enter_context(postgres())
        port = stack.enter_context(served("--log", log))
        _percentile(port, seconds=2)
        names = dict[str, str]()
        while len(names) < _OUTCOMES:
            markets = [f"store {len(names) + n}" for n in range(_STATES)]
            answers, _ = _asked(port, "POST", "/v1/prices", [state(market=market) for market in markets])
            names |= {answer["request_id"]: market for answer, market in zip(answers, markets, strict=True)}
        return {
            form: _figures(port, [{**named(*one), "product": product, "units": 1} for one in names.items()])
            for (form, named), product in zip(_FORMS.items(), bundle().catalogue.products, strict=False)
        }


def _figures(port: int, outcomes: list[dict[str, Any]]) -> Figures:
    uploads = _Uploads(port, outcomes)
    uploads.start()
    switched = list[float]()

    def switch() -> None:
        time.sleep(0.3)
        for on in (True, False):
            switched.append(_asked(port, "PUT", "/v1/admin/kill-switch", {"on": on, "by": "Ann"})[1])

    switching = threading.Thread(target=switch, daemon=True)
    switching.start()
    price = _percentile(port, seconds=5)
    uploads.join()
    switching.join()
    assert uploads.new == [_OUTCOMES, 0], uploads.new
    upload, retry = uploads.seconds
    return Figures(price, upload, retry, max(switched))


_BARS = {"price": 0.06, "upload": 3.0, "retry": 3.0, "kill_switch": 0.5}
_WORDS = {"price": "99th percentile of a price", "upload": "upload", "retry": "retry", "kill_switch": "kill switch"}


def _registered(database: str, form: str, figure: str) -> None:
    @check("serving", f"{database}, {_OUTCOMES:,} outcomes by {form}: {_WORDS[figure]}", "<=", _BARS[figure], "seconds")
    def measure() -> float:
        return getattr(uploaded(database)[form], figure)


for _database in ("SQLite", "PostgreSQL"):
    for _form in _FORMS:
        for _figure in _BARS:
            _registered(_database, _form, _figure)
