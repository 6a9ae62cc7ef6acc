"""The client of a price service that is killed, or hangs, for a minute."""

from __future__ import annotations

import functools
import sys

from .checks import check
from .outages import Outage, outage
from .service import bundle_path, folder

_SECONDS = 60.0


@functools.cache
def _outage(how: str) -> Outage:
    found = outage(bundle_path(), folder() / f"client-{how}.db", _SECONDS, hangs=how == "hangs")
    print(f"client, service {how}: {found}", file=sys.stderr)
    return found


def _checks(how: str, words: str) -> None:
    of = f"client, service {words} for {_SECONDS:g} s"

    @check("serving", f"{of}: prices asked for", ">=", 1000)
    def calls() -> float:
        return _outage(how).calls

    @check("serving", f"{of}: of them not answered, or after the time-out of 1 s", "==", 0)
    def unanswered() -> float:
        return len(_outage(how).failed) + _outage(how).late

    @check("serving", f"{of}: answered by the service and not once in the log, with the same prices", "==", 0)
    def lost() -> float:
        return _outage(how).lost

    @check("serving", f"{of}: answered locally", ">=", 100)
    def local() -> float:
        return _outage(how).sources["local"]

    @check("serving", f"{of}: not answered by the service, and not named so", "==", 0)
    def unnamed() -> float:
        return _outage(how).unnamed

    @check("serving", f"{of}: prices outside the price rules", "==", 0)
    def outside() -> float:
        return _outage(how).outside


_checks("killed", "killed")
_checks("hangs", "that hangs")
