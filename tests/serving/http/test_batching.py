from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from repricer.serving.http import batching
from repricer.serving.http.batching import Results, Turns


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
        results: Any = Results()
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
        return await Results().of(job)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ask())


def test_a_caller_that_leaves_takes_nothing_from_the_others():
    async def ask() -> int:
        results, jobs = Results(), [Future[int](), Future[int]()]
        first, second = (asyncio.ensure_future(results.of(job)) for job in jobs)
        await asyncio.sleep(0)
        first.cancel()
        for number, job in enumerate(jobs):
            job.set_result(number)
        return await second

    assert asyncio.run(ask()) == 1


def test_results_that_are_there_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> tuple[list[int], int]:
        results, jobs, woken = Results(), [Future[int]() for _ in range(5)], []
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
        waiting = asyncio.ensure_future(Results().of(job))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    job.set_result(1)
    assert not caplog.records


class _Policies:
    """Answers states, and notes how many at a time."""

    def __init__(self) -> None:
        self.sizes = list[int]()

    def answer(self, states: list[Any]) -> list[Any]:
        self.sizes.append(len(states))
        return states


def test_under_load_states_gather_and_one_alone_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_PAUSE", 0.05)
    monkeypatch.setattr(batching, "_LONGEST_PAUSE", 0.1)

    async def ask() -> tuple[list[int], float, float]:
        policies: Any = _Policies()
        batcher, loop = batching.Batcher(policies), asyncio.get_running_loop()
        for alone in range(3):
            await batcher.ask(alone)
        asked_alone = loop.time()
        await batcher.ask(3)
        alone = loop.time() - asked_alone
        await asyncio.gather(*[batcher.ask(n) for n in range(5)])
        begun, more = loop.time(), []
        for n in range(4):
            more.append(asyncio.ensure_future(batcher.ask(n)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*more)
        return policies.sizes, alone, loop.time() - begun

    sizes, alone, gathered = asyncio.run(ask())
    assert sizes == [1, 1, 1, 1, 5, 4]
    assert alone < 0.04 <= 0.09 < gathered


@pytest.mark.parametrize(
    ("busy", "seconds", "least", "most"),
    [(True, 0.002, 0.25, 2.0), (True, 0.1, 0.4, 2.0), (False, 0.002, 0.0, 0.2)],
    ids=["a share of the time", "not for ever", "nobody asks for prices"],
)
def test_long_transactions_take_turns_while_prices_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, busy: bool, seconds: float, least: float, most: float
) -> None:
    monkeypatch.setattr(batching, "_LONGEST_WAIT", 0.4)

    async def commit() -> float:
        started = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        return started

    async def both() -> float:
        turns = Turns(lambda: busy)
        first, second = await asyncio.gather(turns.take(commit), turns.take(commit))
        return second - first - seconds

    assert least - 0.02 <= asyncio.run(both()) < most


def test_a_transaction_that_fails_ends_its_turn() -> None:
    async def fail() -> None:
        raise ValueError("disk full")

    async def succeed() -> int:
        return 1

    async def both() -> int:
        turns = Turns(lambda: False)
        with pytest.raises(ValueError, match="disk full"):
            await turns.take(fail)
        return await turns.take(succeed)

    assert asyncio.run(both()) == 1
