"""The end of a log that a service has written."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from ..decision_log.log import DecisionLog
from ..decision_log.storage import LogError

_log = logging.getLogger(__name__)


async def is_closed(log: DecisionLog) -> bool:
    """Close a log. Says whether it answered: storage that stalls does not keep a service."""
    try:  # the other threads may wait for the log themselves
        await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1, "closing"), log.close)
    except LogError as error:
        _log.error("stopped without the log", extra={"facts": {"reason": str(error)}})
        return False
    return True
