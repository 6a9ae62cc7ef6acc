"""What stands before every route: Starlette's router behind small middlewares. Needs the `serve` extra."""

from .calls import IDEMPOTENCY_KEY, Answer, Call, Endpoint, Routes
from .operation import BundleExample, Examples, Operation, docstring, operation_id
from .problems import problem

__all__ = [
    "IDEMPOTENCY_KEY",
    "Answer",
    "BundleExample",
    "Call",
    "Endpoint",
    "Examples",
    "Operation",
    "Routes",
    "docstring",
    "operation_id",
    "problem",
]
