"""Elementary functions that one formula can use on numpy arrays, on torch tensors and
in compiled loops.

The market compiles the formulas of this room (features, guardrails, decoding) into loops over many
markets; `envs` gives each of these functions its compiled meaning. A formula therefore stands in
one place. Torch is never imported: a tensor is recognised by its methods.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Written out, since a compiled loop would take a bare 1 for double precision.
ZERO = np.float32(0)
HALF = np.float32(0.5)
ONE = np.float32(1)
THREE = np.float32(3)


def exp(x: Any) -> Any:
    """e to the x."""
    return x.exp() if hasattr(x, "exp") else np.exp(x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return x.log() if hasattr(x, "log") else np.log(x)


def where(condition: Any, then: Any, otherwise: Any) -> Any:
    """`then` where the condition holds, else `otherwise`."""
    if not hasattr(then, "where"):
        return np.where(condition, then, otherwise)
    return then.where(condition, otherwise if hasattr(otherwise, "where") else float(otherwise))


def clip(x: Any, low: Any, high: Any) -> Any:
    """x cut to [low, high]; `high` wins where the two cross."""
    return x.clip(low, high) if hasattr(x, "exp") else np.minimum(np.maximum(x, low), high)


def larger(x: Any, y: Any) -> Any:
    """The larger of the two."""
    return np.maximum(x, y)


def smaller(x: Any, y: Any) -> Any:
    """The smaller of the two."""
    return np.minimum(x, y)


def like(x: Any, values: Any) -> Any:
    """The values as a tensor where x is one, else as a float64 array; a tensor stays as it is."""
    if hasattr(values, "new_tensor"):
        return values
    return x.new_tensor(np.asarray(values)) if hasattr(x, "new_tensor") else np.asarray(values, dtype=np.float64)


def detached(x: Any) -> Any:
    """The numbers of an array or tensor as a numpy array, without their gradient."""
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
