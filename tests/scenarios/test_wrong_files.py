"""Wrong scenario files, as files: each gets one line that names the key, what is allowed, what came and what to do."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.scenarios import ScenarioError, load_scenario, scenario_name

from .wrong_sections import CHAIN, RAW, RIVAL, SHOP, STOCK, WRONG


def toml(content) -> str:
    """A value in TOML, which writes tables in line with `=`."""
    if isinstance(content, RAW):
        return str(content)
    if isinstance(content, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in content.items()) + "}"
    if isinstance(content, list):
        return "[" + ", ".join(toml(item) for item in content) + "]"
    return json.dumps(content)


def changed(section: str, change: dict) -> str:
    """The shop's file with some keys of a section replaced, left out (None) or added."""
    parts = SHOP.split("\n[")
    bodies = {"": parts[0].splitlines()[1:]} | {p.split("]")[0]: p.splitlines()[1:] for p in parts[1:]}
    lines = [line for line in bodies.get(section, []) if line.split(" = ")[0] not in change]
    bodies[section] = lines + [f"{key} = {toml(item)}" for key, item in change.items() if item is not None]
    return "\n".join("\n".join([f"[{name}]"] * bool(name) + body) for name, body in bodies.items())


def test_the_file_that_the_others_are_made_from_is_right(tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(changed("market", {"horizon_periods": 8}), encoding="utf-8")
    assert load_scenario(path).sizes == {
        "T": 8,
        "C": 2,
        "J": 2,
        "N": 3,
        "K": 2,
        "G": 0,
        "P": 0,
        "I": 0,
        "F": 0,
        "R": 0,
        "Z": 0,
        "H": 0,
        "B": 0,
        "Y": 0,
        "M": 0,
    }
    for section, content in {"competitors": RIVAL, "regimes": CHAIN, "stock": STOCK}.items():
        path.write_text(changed(section, content), encoding="utf-8")
        assert load_scenario(path).name == "small-shop"


@pytest.mark.parametrize(("section", "change", "words"), WRONG, ids=[words[:60] for *_, words in WRONG])
def test_a_wrong_file_gets_one_line_and_exit_code_2(tmp_path, section, change, words):
    path = tmp_path / "shop.toml"
    path.write_text(changed(section, change), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))
    result = CliRunner().invoke(main, ["scenarios", str(path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line == f"repricer: {' '.join(message.split())}"


BROKEN = [
    (b"name = ", "must be a TOML file; got a syntax error"),
    (b'name = "a"\nname = "b"', "must be a TOML file; got a syntax error"),
    (b'name = "\xff"', "must be a TOML file; got a syntax error"),
    (b"a = " + b"[" * 5000, "must be a TOML file; got a syntax error"),
    (b"version = " + b"9" * 5000, "must be a TOML file; got a syntax error"),
    (b"", "name is missing"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_a_file_that_is_no_scenario_gets_one_line(tmp_path, content, words):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    result = CliRunner().invoke(main, ["scenarios", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line


def test_regimes_count_where_a_rate_is_a_probability(tmp_path):
    path = tmp_path / "x.toml"
    text = changed("arrivals", {"process": "single", "rate": 0.9})
    path.write_text(text, encoding="utf-8")
    load_scenario(path)
    chain = "\n".join(f"{key} = {toml(item)}" for key, item in {**CHAIN, "arrivals": [1.0, 1.5]}.items())
    path.write_text(f"{text}\n[regimes]\n{chain}", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"arrivals.rate .* must be at most 1 .* got 1.35"):
        load_scenario(path)


def test_what_a_family_excludes_is_refused(make_shop):
    alone = {
        "products": {"category": list("xyz")},
        "arrivals": {"rate": 30.0, "segment_share": [0.6, 0.4]},
        "demand": {"family": "linear"},
    }
    with pytest.raises(ScenarioError, match=r"recommendation must be left out with demand.family 'linear'"):
        make_shop(**alone)
    with pytest.raises(ScenarioError, match=r"strategic must be left out with demand.family 'cheapest'"):
        make_shop(demand={"family": "cheapest"}, strategic={"share": 0.1, "patience": 0.5})


def test_arrays_from_python_may_be_of_any_numeric_kind(make_shop):
    shop = make_shop(recommendation={"candidates": np.array([[True, True, False], [True, True, True]])})
    assert shop.recommendation.candidates.dtype == np.float64
    assert make_shop(products={"regular_price": np.array([4, 5, 3], np.int32)}).products.regular_price.tolist() == [
        4,
        5,
        3,
    ]
    assert make_shop(products={"regular_price": range(3, 6)}).products.regular_price.tolist() == [3, 4, 5]
    with pytest.raises(ScenarioError, match="regular_price must be numbers"):
        make_shop(products={"regular_price": np.array(["4", "5", "3"])})


@pytest.mark.parametrize(
    ("text", "name"), [("My Shop", "my-shop"), ("Épicerie_2", "epicerie-2"), ("..", "market"), ("out", "out")]
)
def test_a_name_from_any_text(text, name):
    assert scenario_name(text) == name
