"""Calls of the command line in this process."""

import json
from typing import Any

from click.testing import CliRunner, Result
from repricer.cli import main


def run(*words: object, code: int = 0, **given: Any) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)), **given)
    assert result.exit_code == code, f"{result.output}{result.exception!r}"
    return result


def document(*words: object, code: int = 0) -> Any:
    """What it prints with --json; where it fails, what it says."""
    result = run(*words, "--json", code=code)
    return json.loads(result.stdout) if code == 0 else result.output
