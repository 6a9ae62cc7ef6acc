"""States that arrive at the same time are priced in one pass: thirty cost little more than one."""

from __future__ import annotations

import asyncio

from ..decision import Decision
from ..market_state import State, StateError
from .deployment import Deployment


class Batcher:
    """Collects the states of two rounds of the event loop and prices them together.

    The second round costs a few microseconds and adds the requests that were being received in the
    first.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
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
            found = self._deployment.answer([state for state, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for (_, future), one in zip(waiting, found, strict=True):
            if not future.cancelled():
                future.set_result(one)
