from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from repricer.serving.decision_log.transactions import LogError
from repricer.serving.http import batching
from repricer.serving.http.batching import Commits


class _Slow(batching.deque):  # pyright: ignore[reportUntypedBaseClass]
    """A queue on which two threads meet: each has added before one of them looks at the length."""

    def __init__(self) -> None:
        super().__init__()
        self.meeting = threading.Barrier(2)

    def append(self, item: Any) -> None:
        super().append(item)
        try:
            self.meeting.wait(0.2)
        except threading.BrokenBarrierError:
            self.meeting.reset()


def test_jobs_that_end_in_two_threads_at_once_are_both_handed_over():
    async def both() -> list[int]:
        results: Any = Commits()
        results._done = _Slow()
        late, now = Future[int](), Future[int]()
        now.set_result(2)
        waiting = asyncio.ensure_future(results.of(late))
        await asyncio.sleep(0)
        with ThreadPoolExecutor(1) as other:
            other.submit(late.set_result, 1)
            # Done already, so that this thread adds it.
            found = await asyncio.wait_for(results.of(now), 2)
        return [await asyncio.wait_for(waiting, 2), found]

    assert asyncio.run(both()) == [1, 2]


def test_an_error_is_raised_where_the_result_is_awaited():
    job = Future[int]()
    job.set_exception(ValueError("no"))

    async def ask() -> int:
        return await Commits().of(job)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ask())


def test_a_caller_that_leaves_takes_nothing_from_the_others():
    async def ask() -> int:
        results, jobs = Commits(), [Future[int](), Future[int]()]
        first, second = (asyncio.ensure_future(results.of(job)) for job in jobs)
        await asyncio.sleep(0)
        first.cancel()
        for number, job in enumerate(jobs):
            job.set_result(number)
        return await second

    assert asyncio.run(ask()) == 1


def test_results_that_are_there_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> tuple[list[int], int]:
        results, jobs, woken = Commits(), [Future[int]() for _ in range(5)], []
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *given: woken.append(given) or wake(*given))
        waiting = [asyncio.ensure_future(results.of(job)) for job in jobs]
        await asyncio.sleep(0)
        for number, job in enumerate(jobs):
            job.set_result(number)
        return await asyncio.gather(*waiting), len(woken)

    assert asyncio.run(ask()) == ([0, 1, 2, 3, 4], 1)


def test_a_result_after_the_end_of_the_loop_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    job = Future[int]()

    async def leave() -> None:
        waiting = asyncio.ensure_future(Commits().of(job))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    job.set_result(1)
    assert not caplog.records


def test_states_that_come_together_are_priced_together() -> None:
    class Policies:
        """Answers states, and notes how many at a time."""

        sizes: ClassVar[list[int]] = []

        def answer(self, states: list[Any]) -> list[Any]:
            self.sizes.append(len(states))
            return states

    async def ask() -> list[Any]:
        policies: Any = Policies()
        batcher = batching.Batcher(policies)
        return [await batcher.ask(1), *await asyncio.gather(*[batcher.ask(n) for n in range(5)])]

    assert asyncio.run(ask()) == [1, 0, 1, 2, 3, 4]
    assert Policies.sizes == [1, 5]


def test_a_commit_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 0.05)
    job = Future[int]()
    with pytest.raises(LogError, match="has not answered for"):
        asyncio.run(Commits().of(job))
    assert job.cancelled()
