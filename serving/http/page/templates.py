"""The pages' templates, and the headers that keep a page to its own origin."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse

from ....pricing.wording import feature_words, policy_words, rule_words

FOLDER = Path(__file__).parent
CONTENT_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
CONTENT_POLICY += "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
HEADERS = {**NO_SNIFFING, "Content-Security-Policy": CONTENT_POLICY, "Referrer-Policy": "no-referrer"}
HEADERS["Cache-Control"] = "no-store"


def rendered(name: str, **shown: Any) -> str:
    """A template with what it shows."""
    return _template(name).render(**shown)


def page(text: str) -> HTMLResponse:
    """The answer that a page is."""
    return HTMLResponse(text, headers=HEADERS)


@cache
def _template(name: str) -> Any:
    # Not before somebody looks at the page: that would make a start a tenth longer.
    from jinja2 import Environment, FileSystemLoader

    loader = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    loader.filters |= {"policy_words": policy_words, "feature_words": feature_words, "rule_words": rule_words}
    return loader.get_template(f"{name}.html.jinja")
