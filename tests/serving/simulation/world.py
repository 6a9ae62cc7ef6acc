"""A virtual world around the real service: two instances, with their routes, deployment and decision log on one SQLite
file. Only the clock, the order in which things happen, the storage's failures and the network are virtual, drawn from a
seed: the same seed gives the same history.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import functools
import json
import tempfile
import zlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from repricer.pricing import Catalogue
from repricer.serving import Bundle, DecisionLog, load_bundle
from repricer.serving.bundle.files import MANIFEST, SIGNATURE, open_seal, read_files, read_private_key, seal, sha256
from repricer.serving.decision_log import storage
from repricer.serving.decision_log.storage import PATIENCE, LogError, _Job
from repricer.serving.decision_log.tables import DECISIONS, EVENTS, OUTCOMES
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.canary.guards import GuardRules
from repricer.serving.http.desk_app import create_desk
from repricer.serving.http.settings import AccessSettings
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.rows import PriceRow, sealed
from sqlalchemy import Engine, text
from sqlalchemy.util import LRUCache

NAMES = ("one", "two")
APPROVERS = ("Ann", "Bob", "Cem")
"""Who decides about the price list, each with a key of their own."""
GUARDS = GuardRules(least_products=45, least_markets=2, money_decisions=24, money_seconds=0.9)
"""What the guards of a trial judge by, where there are six markets and four decisions a second."""
_NOON = dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC)
"""When a world begins, by a clock that is right."""
_OWNER: contextvars.ContextVar[Instance | None] = contextvars.ContextVar("owner", default=None)
"""The instance whose code runs; None outside of all."""


_STATEMENTS: Any = LRUCache(500)
"""Compiled once for all worlds."""
_DIALECTS = list[Any]()
"""That of the first engine, for all: what is compiled belongs to a dialect."""


class Crashed(BaseException):
    """The process ended here; nothing of it handles that."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time passes only where nothing is left to do, and whose threads are callbacks.

    Args:
        random: Draws how long a thread takes.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random, self._now, self._selector = random, 0.0, self

    def time(self) -> float:
        """Seconds since the world began."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass until the next callback."""
        assert timeout is not None, "everything waits for something that never comes"
        self._now += timeout
        return []

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do it later, in one piece."""
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                result = func(*args)
            except BaseException as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._random.uniform(0, 0.02), work)
        return future


class _Awaited(Future):
    """A job's result; who waits for it in a thread has it committed now, or is told that storage does not answer."""

    def __init__(self, log: VirtualLog) -> None:
        super().__init__()
        self._log = log

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self._log.write()
            self._log.check_running()
        if not self.done():
            raise LogError("the decision log does not answer") if timeout is None else TimeoutError
        return super().result()


class VirtualLog(DecisionLog):
    """The decision log of one process, which commits when the world says so.

    Args:
        world: Where it is.
        owner: Whose it is; None for a command.
    """

    def __init__(self, world: World, owner: Instance | None) -> None:
        super().__init__(world.log_path)
        self._jobs.put(None)  # its thread ends
        self._world, self._owner, self._queue = world, owner, list[Any]()

    def submit(self, work: Any) -> Future[Any]:
        world, job = self._world, _Job(work, _Awaited(self))
        if self._is_stalled and world.now - self._owner.stalled_since > PATIENCE:
            raise LogError("the decision log has not answered")
        if self._is_stalled and world.random.random() < 0.5:
            job.done.set_running_or_notify_cancel()  # storage has it, and may write it later
        self._queue.append(job)
        world.loop.call_later(world.random.uniform(0, 0.01), self.write)
        return job.done

    def write(self) -> None:
        """Commit what waits, unless storage stalls; the process may end right after."""
        if self._is_stalled or not self._queue or (self._owner and not self._owner.is_up):
            return
        waiting, self._queue = self._queue, []
        jobs = [job for job in waiting if job.done.running() or job.done.set_running_or_notify_cancel()]
        if self._owner and self._owner.is_full:
            for job in jobs:
                job.done.set_exception(LogError("disk full"))
            return
        ends = self._owner is not None and self._world.random.random() < self._world.crash_after_commit
        switches = ["record_switches" in getattr(job.work, "__qualname__", "") for job in jobs]
        works = [self._noted(job.work) if switch else job.work for job, switch in zip(jobs, switches, strict=True)]
        done = [_Job(work, Future()) for work in works]
        for job in done:
            job.done.set_running_or_notify_cancel()
        if done:
            self._commit(done)
        if any(switches):
            self._world.note_switches(self)
        if ends and self._owner:
            self._owner.crash()
            return
        for job, own in zip(jobs, done, strict=True):
            error = own.done.exception()
            if error is None:
                job.done.set_result(own.done.result())
            else:
                job.done.set_exception(error)

    def _noted(self, work: Any) -> Any:
        """The work, which notes what stood in the log before its events."""

        def noted(writing: Any) -> Any:
            before = [storage.end_of(table, writing.read).rows for table in (DECISIONS, OUTCOMES, EVENTS)]
            result = work(writing)
            last = storage.end_of(EVENTS, writing.read).rows
            for number in range(before[2] + 1, last + 1):
                self._world.history.ends[number] = before[0], before[1]
            return result

        return noted

    def check_running(self) -> None:
        """Raise Crashed where the process has ended."""
        if self._owner is not None and not self._owner.is_up:
            raise Crashed

    def rows(self, query: Any, **values: Any) -> Iterator[dict[str, Any]]:
        if self._is_stalled:
            raise LogError("the decision log does not answer")
        return super().rows(query, **values)

    def close(self) -> None:
        self.engine.dispose()

    @property
    def _is_stalled(self) -> bool:
        return self._owner is not None and self._owner.stalled_since is not None


class Instance:
    """One service, which may end at any time.

    Args:
        world: Where it is.
        name: Its name.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.path = world, name, world.folder / f"bundle-{name}"
        self.clock = dt.timedelta()
        """How far its clock is off."""
        self.started = 0.0, 0
        """When it was started last, and the last decision in the log by then."""
        self.stalled_since: float | None = None
        self.is_full, self.is_up = False, False
        self.cut_off: list[list[float]] = []
        """Spans of time in which it could not use its log."""
        self._tasks = dict[asyncio.Task[Any], None]()
        self.log: VirtualLog | None = None
        self.app: Any = None

    def put(self, bundle: int) -> None:
        """Put a bundle at its path, which is a link."""
        if self.path.is_symlink():
            self.path.unlink()
        self.path.symlink_to(self.world.bundles[bundle])

    def start(self) -> None:
        """Start it; a start that the log refuses is none."""
        assert not self.is_up
        _OWNER.set(self)
        self.is_up = True
        settings = ServiceSettings(rate=1e6, burst=1e6, fallback="regular", seed=3)
        self.started = self.world.now, self.world.last_decision()
        try:
            self.app = create_app(self.path, log=self.world.log_path, settings=settings, guards=GUARDS)
        except (Crashed, ValueError, OSError):
            self.crash()
        else:
            canary = self.app.state.deployment.status()["canary"]
            if canary is not None:
                resumed = Resumed(*self.started, canary["bundle"], canary["guards"]["price_move"])
                self.world.history.resumed.append(resumed)
            self.run(self.app.state.deployment.follow(None))
        finally:
            _OWNER.set(None)

    def crash(self) -> None:
        """End it: what it has not written is lost."""
        self.is_up, self.app = False, None
        for task in list(self._tasks):
            task.cancel()
        self._tasks.clear()
        if self.log is not None:
            self.log.close()
            self.log = None

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something as a part of it."""
        owner = _OWNER.get()
        _OWNER.set(self)
        task = self.world.loop.create_task(work)
        _OWNER.set(owner)
        self._tasks[task] = None
        task.add_done_callback(lambda done: (self._tasks.pop(done, None), done.cancelled() or done.exception()))
        return task

    def cut(self, is_cut: bool) -> None:
        """Note that it cannot use its log, or can again."""
        if is_cut:
            self.cut_off.append([self.world.now, float("inf")])
        elif self.cut_off:
            self.cut_off[-1][1] = self.world.now

    async def respond(
        self, method: str, path: str, body: Any, key: str | None = None, caller: str | None = None
    ) -> tuple[int, Any]:
        """What it answers to a request, through all of its routes."""
        payload = b"" if body is None else json.dumps(body).encode()
        headers = [(b"host", b"prices"), (b"content-type", b"application/json")]
        headers.append((b"content-length", str(len(payload)).encode()))
        if key is not None:
            headers.append((b"idempotency-key", key.encode()))
        if caller is not None:
            headers.append((b"authorization", f"Bearer {_keys()[1][caller]}".encode()))
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "http_version": "1.1"}
        sent = list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": payload, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope | {"query_string": b""}, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])


class DeskProcess(Instance):
    """The process of the price list's page."""

    def start(self) -> None:
        """Start it; a start that the list or the log refuses is none."""
        assert not self.is_up
        _OWNER.set(self)
        self.is_up = True
        settings = AccessSettings(rate=1e6, burst=1e6, keys=str(_keys()[0]))
        try:
            self.app = create_desk(self.world.list_path, self.path, log=self.world.log_path, settings=settings)
        except (Crashed, ValueError, OSError):
            self.crash()
        finally:
            _OWNER.set(None)


class Customers:
    """What is bought.

    Args:
        random: Draws it.
        bundles: How many there are: the prices of some sell more than those of others.
    """

    def __init__(self, random: Random, bundles: int) -> None:
        self._appeal = [random.choice([0.3, 1.0, 3.0]) for _ in range(bundles)]
        self._is_at_a_loss = random.random() < 0.3

    def sold(self, answer: dict[str, Any], bundle: int, catalogue: Catalogue) -> list[dict[str, Any]]:
        """The outcomes of an answer, the same each time."""
        found = list[dict[str, Any]]()
        for n, item in enumerate(answer["prices"]):
            outcome = {"request_id": answer["request_id"], "product": item["product"]}
            drawn = zlib.crc32(f"{answer['request_id']} {n}".encode()) % 100
            outcome["units"] = round((100 + drawn) * self._appeal[bundle])
            if self._is_at_a_loss:
                outcome["price_paid"] = 0.8 * float(catalogue.unit_cost[n])
            found.append(outcome)
        return found


@dataclass
class Asked:
    """A request for prices, and what its caller got."""

    key: str
    units: float
    """Units on hand, by which the log tells one request from all others."""
    market: str
    sent: float
    acknowledged: float = float("inf")
    answers: list[dict[str, Any]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    """The instances that were asked, the last of which answered."""


@dataclass
class Approved:
    """A decision about a row of the price list, and what became of it."""

    by: str
    """Who decided, by the key."""
    seen: str
    """The row's check as the approver saw it."""
    proposal: int
    """Number of the list in which the row stood."""
    reason: str
    """Names the decision, so that no two rows are alike."""
    price: float | None
    sent: float
    row: dict[str, Any] | None = None
    """The row as it was answered; None where it was refused, or no answer came."""


class Resumed(NamedTuple):
    """What an instance that starts knows of a trial.

    Attributes:
        time: When.
        last: The number of the last decision by then.
        bundle: The bundle on trial.
        price_move: What its guards say of its prices.
    """

    time: float
    last: int
    bundle: str
    price_move: float


@dataclass
class History:
    """What callers, operators and the clerk saw."""

    asked: list[Asked] = field(default_factory=list)
    sold: dict[tuple[str, str], float] = field(default_factory=dict)
    """Units that were reported and acknowledged, by request id and product."""
    maybe_sold: dict[tuple[str, str], float] = field(default_factory=dict)
    """Units that were reported."""
    switched: dict[int, float] = field(default_factory=dict)
    """When each row of the switches was committed."""
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Numbers of the last decision and the last outcome before that row."""
    resumed: list[Resumed] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    rotated: set[str] = field(default_factory=set)
    """Request ids that rotation took."""
    too_young: list[str] = field(default_factory=list)
    """Those of them that were too young for it."""
    heads: list[dict[str, Any]] = field(default_factory=list)
    """Ends of the log as they were noted."""
    approved: list[Approved] = field(default_factory=list)
    listed: list[float] = field(default_factory=list)
    """When each price list was written."""
    refused: list[str] = field(default_factory=list)
    """What `verify` complained of."""


class World:
    """Two instances on one log, and everything around them.

    Args:
        seed: Draws all that happens.
        bundles: Folders of bundles, each newer than the one before.
        folder: An empty folder for the log.
    """

    def __init__(self, seed: int, bundles: list[Path], folder: Path) -> None:
        self.random, self.bundles, self.folder = Random(seed), bundles, folder
        self.loop, self.log_path, self.history = VirtualLoop(self.random), folder / "log.db", History()
        self.digests = [sha256((path / MANIFEST).read_bytes()) for path in bundles]
        self.crash_after_commit = self.random.choice([0.0, 0.01])
        self.instances = [Instance(self, name) for name in NAMES]
        self.bundle: Bundle = loaded(bundles[0])
        self.customers = Customers(self.random, len(bundles))
        self.tried = self.random.choice([None, self.random.randrange(1, len(bundles))])
        """The bundle that is tried, by an operator who does little else; None where that is not the story."""
        self.desk, self.list_path = DeskProcess(self, "desk"), folder / "list.csv"

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.loop.time()

    def wall(self, instance: Instance | None = None) -> dt.datetime:
        """The time by the clock of an instance; by a right one without."""
        off = dt.timedelta() if instance is None else instance.clock
        return _NOON + dt.timedelta(seconds=self.now) + off

    def opened(self, _: Any) -> VirtualLog:
        """The log of the instance that starts."""
        owner = _OWNER.get()
        log = VirtualLog(self, owner)
        if owner is not None:
            owner.log = log
        return log

    @contextlib.contextmanager
    def command(self) -> Iterator[VirtualLog]:
        """The log as a command opens it."""
        with contextlib.closing(VirtualLog(self, None)) as log:
            yield log

    def bundle_of(self, digest: str) -> Bundle:
        """A bundle by its digest."""
        return loaded(self.bundles[self.digests.index(digest)])

    def last_decision(self) -> int:
        """The number of the last decision in the log."""
        with self.command() as log:
            return log.ends()[0]

    def note_switches(self, log: VirtualLog) -> None:
        """Note when switches were committed."""
        with log.engine.connect() as connection:
            last = connection.execute(text("SELECT max(id) FROM events")).scalar() or 0
        for number in range(len(self.history.switched) + 1, last + 1):
            self.history.switched[number] = self.now

    def write_list(self) -> None:
        """Write the next price list over the one before."""
        self.history.listed.append(self.now)
        number, catalogue, rows = len(self.history.listed), self.bundle.catalogue, list[PriceRow]()
        for n, name in enumerate(catalogue.products):
            current = float(catalogue.regular_price[n])
            new = round(current + 0.05 * self.random.choice([-1, 1]), 2)
            facts = {"zone": "all stores", "product_id": str(n), "product": name, "category": "all"}
            facts |= {"week": _NOON.date(), "current_price": current, "new_price": new, "change": new / current - 1}
            rows.append(sealed(PriceRow(**facts, reason=f"Proposal {number}", check="")))
        self.write_rows(rows)

    def write_rows(self, rows: list[PriceRow]) -> None:
        """Write rows as the price list."""
        write_list(self.list_path, rows, currency=self.bundle.manifest["scenario"]["currency"])

    async def ask(self, instance: Instance, method: str, path: str, body: Any, **own: str) -> Any:
        """Send a request, with an idempotency key or a caller, over the network, which may lose it or its answer. Raises
        OSError.
        """
        random = self.random
        await asyncio.sleep(random.uniform(0, 0.02))
        is_lost, is_answer_lost = random.random() < 0.03, random.random() < 0.05
        if is_lost or not instance.is_up:
            raise ConnectionError
        answering = instance.run(instance.respond(method, path, body, **own))
        await asyncio.wait([answering])
        if answering.cancelled() or answering.exception() is not None:
            if not answering.cancelled() and not isinstance(answering.exception(), Crashed):
                raise AssertionError("the service failed") from answering.exception()
            raise ConnectionError
        await asyncio.sleep(random.uniform(0, 0.02))
        if is_answer_lost:
            raise ConnectionError
        return answering.result()

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The service's clocks, log and loaded bundles are the world's."""
        world = self

        class Clock(dt.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> dt.datetime:
                return world.wall(_OWNER.get()).astimezone(tz)

        days = SimpleNamespace(datetime=Clock, timedelta=dt.timedelta, UTC=dt.UTC, timezone=dt.timezone)
        with pytest.MonkeyPatch.context() as patch:
            for module in ("decision_log.chain", "decision_log.replies", "decision_log.maintenance", "http.deployment"):
                patch.setattr(f"repricer.serving.{module}.dt", days)
            patch.setattr("repricer.serving.http.deployment.time", SimpleNamespace(monotonic=self.loop.time))
            patch.setattr("repricer.serving.http.app.DecisionLog", self.opened)
            patch.setattr("repricer.serving.http.desk_app.DecisionLog", self.opened)
            for module in ("bundles", "bundle_at_path"):
                patch.setattr(f"repricer.serving.http.{module}.load_bundle", loaded)
            patch.setattr(storage, "_engine_of", functools.partial(_engine_of, storage._engine_of))
            # Pauses for others, who have none here; and no power fails.
            patch.setattr("repricer.serving.decision_log.log.time", SimpleNamespace(sleep=lambda _: None))
            patch.setattr("repricer.serving.decision_log.storage._PRAGMAS", ("journal_mode = WAL", "synchronous = OFF"))
            yield

    def live(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """Let a story happen."""
        with self.patched():
            try:
                self.log_path.touch(0o600)
                self.log_path.write_bytes(_empty_log())
                self.loop.run_until_complete(story(self))
            finally:
                for instance in (*self.instances, self.desk):
                    instance.crash()
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                self.loop.run_until_complete(asyncio.sleep(0))
                self.loop.close()


def _engine_of(make: Callable[..., Engine], url: Any, is_read_only: bool) -> Engine:
    """The service's engine, with what all of them share."""
    engine: Any = make(url, is_read_only)
    _DIALECTS.append(engine.dialect)
    del _DIALECTS[1:]
    engine.dialect = engine.pool._dialect = _DIALECTS[0]
    engine._compiled_cache = _STATEMENTS
    return engine


_BUNDLES = dict[str, Bundle]()


def loaded(path: Any, **_: Any) -> Bundle:
    """A bundle, verified once for all worlds."""
    digest = sha256((Path(path) / MANIFEST).read_bytes())
    if digest not in _BUNDLES:
        _BUNDLES[digest] = load_bundle(path)
    return _BUNDLES[digest]


@functools.cache
def _keys() -> tuple[Path, dict[str, str]]:
    """A file of API keys, and the key of each approver."""
    path = Path(tempfile.mkdtemp(prefix="simulation-keys-")) / "keys.json"
    return path, {name: add_key(path, role="admin", name=name) for name in APPROVERS}


@functools.cache
def _empty_log() -> bytes:
    """A log without rows, made once: to make its tables takes as long as many requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        DecisionLog(path).close()
        return path.read_bytes()


def newer_bundles(paths: Sequence[Path], key: Path, folder: Path) -> list[Path]:
    """Copies of bundles, each made a day after the one before."""
    signer, made = read_private_key(key), list[Path]()
    first = dt.datetime.fromisoformat(open_seal(read_files(paths[0]), None)["created"])
    for number, path in enumerate(paths):
        files = read_files(path)
        facts = open_seal(files, None)
        content = {name: data for name, data in files.items() if name not in (MANIFEST, SIGNATURE)}
        out = folder / f"bundle-{number}"
        out.mkdir()
        created = (first + dt.timedelta(days=number)).isoformat()
        for name, data in seal(content, {**facts, "created": created}, signer).items():
            (out / name).write_bytes(data)
        made.append(out)
    return made
