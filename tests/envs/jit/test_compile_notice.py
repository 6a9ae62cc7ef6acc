import logging

from numba import njit
from numba.core.event import register, unregister
from repricer.envs.jit.compiling import CompilationNotice


def compile_one(module):
    def more(x):
        return x + 1

    more.__module__ = module
    assert njit(more)(1) == 2


def test_the_notice_is_logged_once(caplog):
    notice = CompilationNotice()
    register("numba:compile", notice)
    try:
        with caplog.at_level(logging.INFO, logger="repricer.envs"):
            compile_one("another.package")
            assert not caplog.messages
            for _ in range(3):
                compile_one("repricer.envs.kernels.period")
    finally:
        unregister("numba:compile", notice)
    logged = [line for line in caplog.messages if "compiling the market's loops" in line]
    assert 1 <= len(logged) <= 2  # the package's own notice may have been waiting, too
