from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, ClassVar

import pytest
from repricer.serving.decision_log.storage import LogError
from repricer.serving.http import batching
from repricer.serving.http.batching import committed


def test_an_error_is_raised_where_the_result_is_awaited():
    job = Future[int]()
    job.set_exception(ValueError("no"))

    async def ask() -> int:
        return await committed(job)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ask())


def test_a_caller_that_leaves_takes_nothing_from_the_others():
    async def ask() -> int:
        jobs = [Future[int](), Future[int]()]
        first, second = (asyncio.ensure_future(committed(job)) for job in jobs)
        await asyncio.sleep(0)
        first.cancel()
        for number, job in enumerate(jobs):
            job.set_result(number)
        return await second

    assert asyncio.run(ask()) == 1


def test_a_result_after_the_end_of_the_loop_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    job = Future[int]()
    job.set_running_or_notify_cancel()  # it is being committed

    async def leave() -> None:
        waiting = asyncio.ensure_future(committed(job))
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
        asyncio.run(committed(job))
    assert job.cancelled()
