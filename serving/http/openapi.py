"""The OpenAPI document of the service: a file, with the products, periods and an example of the bundle filled in."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..bundle.reading import Bundle
from ..documents import schemas
from ..market_state import state_type
from ..sample_states import example_state

DOCUMENT = Path(__file__).parent / "page" / "openapi.json"
"""Its schemas are those of the structs, which a test compares; STATE and PRODUCT stand for examples."""


@lru_cache(maxsize=1)
def openapi(bundle: Bundle, paths: frozenset[str]) -> bytes:
    """The document for a bundle, and for a service with these paths."""
    catalogue, text = bundle.catalogue, DOCUMENT.read_text(encoding="utf-8")
    examples = {"STATE": example_state(catalogue), "PRODUCT": catalogue.products[0], "VERSION": version("repricer")}
    for name, example in examples.items():
        text = text.replace(f'"{name}"', json.dumps(example))
    document: dict[str, Any] = json.loads(text)
    own = schemas(state_type(catalogue)) | {"Product": {"enum": catalogue.products}}
    document["components"]["schemas"] |= own
    document["paths"] = {path: found for path, found in document["paths"].items() if path in paths}
    return json.dumps(document).encode()
