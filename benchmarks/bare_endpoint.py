"""The least that a price service over HTTP can cost on a machine: it reads a JSON body, and answers as many bytes as prices.

`python -m repricer.benchmarks.bare_endpoint PORT ANSWER_FILE` serves it at `/v1/prices`; what the price service does beside
it is measured over it, so that figures of two machines can be compared.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def application(answer: Any) -> Starlette:
    """An application that parses what it is asked, and writes the same answer each time.

    Args:
        answer: What it answers, as JSON is read.
    """

    async def prices(request: Request) -> Response:
        msgspec.json.decode(await request.body())
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return Starlette(routes=[Route("/v1/prices", prices, methods=["POST"])])


def main() -> None:
    """Serve it."""
    port, path = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    answer = msgspec.json.decode(Path(path).read_bytes())
    uvicorn.run(application(answer), port=int(port), ws="none", access_log=False)


if __name__ == "__main__":
    main()
