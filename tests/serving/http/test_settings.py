from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.cli.serve import command
from repricer.serving.documents import fields
from repricer.serving.http.settings import ServiceSettings


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("rate", 0, "service: rate must be a number from 0.001 to 1e+09; got 0; fix it"),
        ("rate", 1e-9, "service: rate must be a number from 0.001"),
        ("rate", float("nan"), "got nan"),
        ("burst", 0, "service: burst must be a number from 1"),
        ("holdout", 1.0, "holdout must be a number from 0 to below 1; got 1.0; use the kill switch for all markets"),
        ("holdout", "0.1", "holdout must be a number from 0 to below 1; got '0.1'"),
        ("fallback", "lottery", "fallback must be one of in-force, regular, base; got 'lottery'; known are"),
        ("fallback", "regulr", "did you mean 'regular'?"),
        ("killed", 1, "killed must be true or false; got 1"),
        ("seed", -1, "seed must be a whole number from 0"),
        (
            "hosts",
            ("https://a.example",),
            "hosts must be a list of names without scheme or path; got ('https://a",
        ),
        ("hosts", ("",), "hosts must be a list of names without scheme or path; got ('',)"),
        ("keys", 3, "keys must be text, or null; got 3"),
    ],
)
def test_a_setting_out_of_range_is_one_line(name: str, value: Any, line: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the line is compared below
        ServiceSettings(**{name: value})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_is_taken_as_text() -> None:
    assert ServiceSettings(keys=Path("keys.json")).keys == "keys.json"  # pyright: ignore


def test_the_command_offers_every_setting_with_its_meaning() -> None:
    words = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for field in fields(ServiceSettings).values():
        # Twice the rate; the seed of every command; of the former release.
        if field.name not in ("burst", "seed", "price_list"):
            assert field.description.replace("`", "") in words.replace("- ", "-"), field.name
