import logging

from numba import njit
from numba.core.event import register, unregister
from repricer.envs.compiling import CompilationNotice


def test_whoever_waits_is_told_once(caplog):
    notice = CompilationNotice()
    register("numba:compile", notice)
    try:
        with caplog.at_level(logging.INFO, logger="repricer.envs"):
            for module in ("another.package", "repricer.envs.period", "repricer.envs.period"):

                def more(x):
                    return x + 1

                more.__module__ = module
                compiled = njit(more)
                assert (compiled(1), compiled(2)) == (2, 3)
    finally:
        unregister("numba:compile", notice)
    told = [line for line in caplog.messages if "compiling the market's loops" in line]
    assert 1 <= len(told) <= 2  # the package's own notice may have been waiting, too
