"""The client of a price service: every price within its time-out, with its source."""

from __future__ import annotations

import importlib
import json
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .answers import AnsweredPrices, RefusedError, Source, UnansweredError
from .connections import BusyError, Connections, HttpReply, Request, UnreachableError
from .last_known import LastKnown
from .switches import Switches, switches_of

if TYPE_CHECKING:
    from .local import LocalPrices

_PRICES_PATH = "/v1/prices"
_SWITCHES_PATH = "/v1/operation"
_EACH = 0.45
"""Share of the time-out that a try has; the rest is for an answer at hand."""
_LEAST_SECONDS = 0.001
"""The least that a time-out or a pause may have."""
_MOST_SECONDS = 600.0
"""The most that they may have."""
_log = logging.getLogger("repricer.client")


class PriceClient:
    """Asks a price service, and answers in its place where it is away.

    Thread-safe; connections are kept and shared. A price is asked for at most twice, with one idempotency key, so that
    the service's log, which it must have (`--log`), holds it once. Where no answer comes in time, the bundle at hand
    answers under the same price rules and the switches that the service last named, while that bundle is the active
    or the former one; otherwise the last known price of the market, while nothing took it back. A service that was
    never heard may have its kill switch on: the bundle keeps the current prices then, as far as its rules allow. What
    is not from the service is counted, and logged (`repricer.client`), as its log does not hold it; a decision that
    came too late may stand there. Make a client after a fork, not before.

    Args:
        url: http(s)://HOST[:PORT][/PATH] of the service or its proxy.
        bundle: Folder of the bundle; it is read again when another one is active. Without one, last known prices alone.
        public_key: PEM file of the key that must have signed the bundle; any key by default.
        api_key: A key of the role price.
        timeout: Seconds within which each price is answered.
        poll: Seconds between two looks at the switches, each of which the rate limit counts as five requests.

    Raises:
        ValueError: An argument is wrong, or the bundle cannot be trusted.

    Example:
        >>> from repricer.serving import example_state, load_bundle
        >>> state = example_state(load_bundle("bundle").catalogue)
        >>> with PriceClient("http://127.0.0.1:9", "bundle") as client:  # nobody listens there
        ...     priced = client.price(state)
        >>> priced.source, priced.answer["arm"], sorted(priced.prices) == ["anchovy", "biscuit", "cider"]
        ('local', 'fallback', True)
    """

    def __init__(
        self,
        url: str,
        bundle: str | os.PathLike[str] | None = None,
        *,
        public_key: str | os.PathLike[str] | None = None,
        api_key: str | None = None,
        timeout: float = 1.0,
        poll: float = 1.0,
    ) -> None:
        self._timeout = _seconds("timeout", timeout)
        self._poll = _seconds("poll", poll)
        headers = {"content-type": "application/json"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        self._bundle_path = bundle
        self._public_key = public_key
        self._local = None if bundle is None else _loaded(bundle, public_key)
        self._connections = Connections(url, headers)
        self._url = url
        self._last = LastKnown()
        self._switches: Switches | None = None
        self._away = ""
        """Why the service is not asked now; empty while it is."""
        self._complaint = ""
        self._counts = Counter[Source]()
        self._counting = threading.Lock()
        self._look = threading.Event()
        self._closed = False
        self._follow()
        self._following = threading.Thread(target=self._keep_following, name="price-client-switches", daemon=True)
        self._following.start()

    def __enter__(self) -> PriceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def counts(self) -> dict[Source, int]:
        """How many prices came from each source."""
        with self._counting:
            return dict(self._counts)

    def price(self, state: Mapping[str, Any]) -> AnsweredPrices:
        """Prices for one market state, within the time-out.

        Args:
            state: Plain data, as `repricer price BUNDLE --example` shows.

        Raises:
            RefusedError: The state or the key is wrong.
            UnansweredError: The service is away, and nothing at hand may answer.
        """
        if self._closed:
            raise UnansweredError("a client must be open to price; got one that was closed; make another")
        deadline = time.monotonic() + self._timeout
        body = _json(state)
        key = uuid.uuid4().hex
        why_away = self._away
        priced = self._at_hand(state, why_away, key) if why_away else None
        if priced is None:
            # The service is there, or away with nothing at hand to answer in its place.
            try:
                answer = self._asked(Request("POST", _PRICES_PATH, body, (("idempotency-key", key),)), deadline)
            except UnreachableError as error:
                priced = self._at_hand(state, str(error), key)
                if priced is None:
                    raise self._unanswered(str(error)) from error
            else:
                self._last.keep(state, answer)
                priced = AnsweredPrices("service", answer, "", 0.0)
        with self._counting:
            self._counts[priced.source] += 1
        if priced.source != "service":
            facts = {"source": priced.source, "request_id": priced.answer["request_id"], "reason": priced.reason}
            _log.info("answered without the service: %s", priced.source, extra={"facts": facts})
        return priced

    def close(self) -> None:
        """End the connections and the looks at the switches."""
        self._closed = True
        self._look.set()
        self._following.join(self._timeout)
        self._connections.close()

    def _asked(self, request: Request, deadline: float) -> dict[str, Any]:
        """The service's answer, of the first or the second try. Raises RefusedError, UnreachableError.

        A busy service is not tried again, and does not count as away.
        """
        share = self._timeout * _EACH
        try:
            return self._tried(request, share)
        except BusyError:
            raise
        except UnreachableError:
            # The second try has what the first one left of both shares.
            reserved_for_answer_at_hand = self._timeout - 2 * share
            left = deadline - reserved_for_answer_at_hand - time.monotonic()
        try:
            return self._tried(request, max(left, _LEAST_SECONDS))
        except BusyError:
            raise
        except UnreachableError as error:
            if not self._away:
                self._look.set()  # it may be back already
            self._leave(str(error))
            raise

    def _tried(self, request: Request, seconds: float) -> dict[str, Any]:
        reply = self._connections.ask(request, seconds)
        if reply.status == 200:
            answer = _object(reply)
            if "prices" in answer:
                return answer
            raise UnreachableError("an answer without prices")
        line = str(_object(reply).get("detail", f"status {reply.status}"))
        if reply.status == 429:
            raise BusyError(f"status 429: {line}")
        if 400 <= reply.status < 500 and reply.status != 408:
            raise RefusedError(reply.status, line)
        raise UnreachableError(f"status {reply.status}: {line}")

    def _at_hand(self, state: Mapping[str, Any], reason: str, key: str) -> AnsweredPrices | None:
        """An answer in the place of the service's, None where nothing may stand for it. Raises RefusedError."""
        local = self._local
        switches = self._switches
        now = time.monotonic()
        if local is not None and (switches is None or switches.allows(local.digest)):
            age = float("inf") if switches is None else now - switches.heard
            return AnsweredPrices("local", local.price(state, switches, f"local-{key}"), reason, age)
        known = self._last.find(state)
        if known is None or (switches is not None and not switches.stands_behind(known.answer)):
            return None
        return AnsweredPrices("last-known", known.answer, reason, now - known.given)

    def _unanswered(self, reason: str) -> UnansweredError:
        local = self._local
        switches = self._switches
        got = f"got no answer of {self._url} ({reason})"
        if local is not None and switches is not None:
            got += f", and a bundle, {local.digest[:12]}, that is neither the active nor the former one"
        fix = "start the service, or put its active bundle at hand"
        return UnansweredError(f"a price needs the service, its bundle or a last known price; {got}; {fix}")

    def _leave(self, reason: str) -> None:
        """Answer without the service until it is heard again."""
        if not self._away:
            _log.warning("the service is away: %s", reason, extra={"facts": {"reason": reason}})
        self._away = reason

    def _keep_following(self) -> None:
        while not self._closed:
            self._look.wait(self._poll)
            self._look.clear()
            if self._closed:
                return
            try:
                self._follow()
            except Exception:  # the next look may succeed; without one, no switch would be followed
                _log.exception("switches not followed")

    def _follow(self) -> None:
        """Hear the switches, and read the bundle again where another one is active."""
        try:
            reply = self._connections.ask(Request("GET", _SWITCHES_PATH), self._timeout)
            if reply.status >= 500:
                raise UnreachableError(f"status {reply.status}")
        except UnreachableError as error:
            self._leave(str(error))
            return
        if self._away:
            _log.warning("the service is back", extra={"facts": {"counts": self.counts}})
        self._away = ""
        complaint = ""
        try:
            if reply.status != 200:
                raise ValueError(f"status {reply.status}: {_object(reply).get('detail', '')}")
            self._switches = switches_of(reply.body, time.monotonic())
            self._read_again(self._switches.active)
        except (ValueError, OSError) as error:
            complaint = str(error)
        if complaint and complaint != self._complaint:
            _log.error("switches not followed: %s", complaint, extra={"facts": {"reason": complaint}})
        self._complaint = complaint

    def _read_again(self, active: str) -> None:
        """Read the bundle anew where another one is active and the one at the path has changed. Raises ValueError."""
        if self._local is None or self._local.digest == active:
            return
        assert self._bundle_path is not None
        if self._local.is_at(self._bundle_path):
            return
        self._local = _loaded(self._bundle_path, self._public_key)


def _loaded(bundle: str | os.PathLike[str], public_key: str | os.PathLike[str] | None) -> LocalPrices:
    """What prices by a bundle: its libraries are loaded only where there is one. Raises BundleError."""
    return importlib.import_module(".local", __package__).LocalPrices(bundle, public_key)


def _json(state: Mapping[str, Any]) -> bytes:
    """A state as JSON. Raises RefusedError."""
    try:
        return json.dumps(dict(state), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedError(422, f"state must be plain data of finite numbers; got {error}; fix it") from None


def _object(reply: HttpReply) -> dict[str, Any]:
    """The JSON object of an answer. Raises UnreachableError: what answers otherwise is not the service."""
    try:
        found = json.loads(reply.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnreachableError(f"status {reply.status}, with a body that is not the service's")
    return found


def _seconds(name: str, value: float) -> float:
    """A number of seconds. Raises ValueError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not _LEAST_SECONDS <= value <= _MOST_SECONDS:
        raise ValueError(
            f"{name} must be a number of seconds from {_LEAST_SECONDS:g} to {_MOST_SECONDS:g}; got {value!r}; change it"
        )
    return float(value)
