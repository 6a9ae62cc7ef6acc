"""What stands before every route: Starlette's router behind small middlewares. Needs the `serve` extra."""

from .calls import IDEMPOTENCY_KEY, Call, Routes
from .problems import problem

__all__ = ["IDEMPOTENCY_KEY", "Call", "Routes", "problem"]
