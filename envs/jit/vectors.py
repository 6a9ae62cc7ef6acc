"""The width of the vectors that loops are compiled to: 512 bits where the processor gains from them.

LLVM keeps to 256 bits on processors of Intel, as the first that had wider ones lower their clock while
they use them. Later ones do not, and the market's loops are a fifth faster with all bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite.binding import get_host_cpu_name
from numba.core import config as numba_config
from numba.core.codegen import get_host_cpu_features

_LOWER_THEIR_CLOCK = ("skylake-avx512", "cascadelake", "cooperlake", "cannonlake")


def wide_features(processor: str, features: str) -> str | None:
    """The features to compile for with 512 bits, or None to leave the choice to LLVM.

    Args:
        processor: LLVM's name of the processor.
        features: Its features, in LLVM's notation.
    """
    if "+avx512f" not in features.split(",") or processor in _LOWER_THEIR_CLOCK:
        return None
    return features + ",-prefer-256-bit"


config: Any = numba_config
# What the user has chosen for Numba stands.
if config.CPU_NAME is None and config.CPU_FEATURES is None:
    config.CPU_FEATURES = wide_features(get_host_cpu_name(), get_host_cpu_features())
