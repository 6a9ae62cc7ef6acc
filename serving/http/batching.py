"""States that arrive at the same time are priced in one pass: an array of thirty costs little more than one."""

from __future__ import annotations

import asyncio

from ..decision import Decision
from ..market_state import State, StateError
from .deployment import Operation


class Batcher:
    """Collects what is asked in two rounds of the event loop, and answers it then: the second brings those who were
    just writing, for some microseconds of waiting."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._waiting: list[tuple[State, asyncio.Future[Decision | StateError]]] = []

    async def ask(self, state: State) -> Decision:
        """The decision for one state. Raises StateError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decision | StateError] = loop.create_future()
        self._waiting.append((state, future))
        if len(self._waiting) == 1:
            loop.call_soon(loop.call_soon, self._answer)
        found = await future
        if isinstance(found, StateError):
            raise found
        return found

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            found = self._operation.answer([state for state, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for (_, future), one in zip(waiting, found, strict=True):
            if not future.cancelled():
                future.set_result(one)
